//! `belay grants`: what you may do, for how long.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::home::Home;
use crate::kept::{self, Turn};
use crate::native;
use crate::output::Out;
use belay_model::{Resource, Span};
use belay_web::shape::{Extend, Grant, List, Narrow};

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    before_help = "Examples:
  belay grants                         live ones
  belay grants extend g_31 --by 30m    once, where the rule allows it
  belay grants narrow g_31 --resource public.orders
"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(clap::Args, Default)]
pub(crate) struct Shown {
    /// Ended ones too
    #[arg(long)]
    pub(crate) all: bool,
    /// Only your own
    #[arg(long)]
    pub(crate) mine: bool,
}

#[derive(clap::Subcommand)]
enum Act {
    /// List them
    Ls(Shown),
    /// Show one
    Show {
        /// The grant
        #[arg(add = complete::all_grants())]
        grant: String,
    },
    /// Move the end of your own grant, once, where the rule allows it
    Extend {
        /// The grant
        #[arg(add = complete::own_grants())]
        grant: String,
        /// How much longer
        #[arg(long, value_name = "SPAN")]
        by: Span,
    },
    /// Take resources or effects away; its sessions start anew with less
    Narrow {
        /// The grant
        #[arg(add = complete::grants())]
        grant: String,
        /// All tables it keeps; several times for several
        #[arg(long = "resource", value_name = "TABLE", required_unless_present = "effect")]
        resources: Vec<Resource>,
        /// All effects it keeps
        #[arg(long, value_name = "EFFECT", value_parser = ["read", "write", "direct"])]
        effect: Vec<String>,
    },
    /// Make the token that native clients log in with; the former one stops working
    Token {
        /// The grant
        #[arg(add = complete::own_grants())]
        grant: String,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    let home = Home::find()?;
    let client = Client::of(&home)?;
    match args.act.unwrap_or(Act::Ls(args.shown)) {
        Act::Ls(shown) => ls(&client, &home, &shown, out).await,
        Act::Show { grant } => {
            out.one(&client.get::<Grant>(&["grants", &grant], &[]).await?);
            Ok(())
        }
        Act::Extend { grant, by } => {
            let grant: Grant = client.post(&["grants", &grant, "extend"], &Extend { by }).await?;
            out.one(&grant);
            out.say(&format!("{} now ends at {}; that was its one extension", grant.id, grant.ends_at));
            Ok(())
        }
        Act::Narrow { grant, resources, effect } => {
            let keep = Narrow { resources: (!resources.is_empty()).then_some(resources), effects: effect };
            let grant: Grant = client.post(&["grants", &grant, "narrow"], &keep).await?;
            out.one(&grant);
            out.say("its connections were ended and start anew with less");
            out.next(&format!("belay grants show {}", grant.id));
            Ok(())
        }
        Act::Token { grant } => token(&client, &home, &grant, out).await,
    }
}

async fn ls(client: &Client, home: &Home, shown: &Shown, out: &Out) -> Result<(), Failure> {
    let query = [("all", shown.all.to_string()), ("mine", shown.mine.to_string())];
    let list: List<Grant> =
        client.get(&["grants"], &query.each_ref().map(|(key, value)| (*key, value.as_str()))).await?;
    list.items.iter().for_each(|grant| kept::forget_if_over(home, grant));
    out.list(&list);
    if list.items.is_empty() {
        out.say("no grants");
        out.next("belay request TARGET --for 1h -m REASON");
    }
    Ok(())
}

async fn token(client: &Client, home: &Home, grant: &str, out: &Out) -> Result<(), Failure> {
    let turn = Turn::take(home).await?;
    let token = native::claim(client, &turn, grant).await?;
    if out.is_for_people() {
        out.say(&format!(
            "user {}, database {}, until {}; the token is the password:",
            token.login, token.target, token.ends_at
        ));
        out.data(&token.secret);
    } else {
        out.data(&serde_json::to_string(&token).unwrap_or_default());
    }
    Ok(())
}
