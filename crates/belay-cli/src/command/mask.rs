//! `belay mask`: columns whose values are not shown as they are.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_model::{MaskKind, Name, Resource};
use belay_web::shape::{List, Mask, MaskSuggestion, NewMask};
use reqwest::Method;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay mask suggest orders                                             columns that look as if they should be
  belay mask add orders public.customers.email --kind hash
  belay mask add orders public.customers.ssn --kind withheld            not even named
  belay mask ls orders
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Mask a column for everybody; live sessions on the target start anew
    Add {
        /// The target
        #[arg(add = complete::targets())]
        target: Name,
        /// The column: `schema.table.column`
        column: Resource,
        /// What is shown instead: `withheld` (it may not be named), `null`, `fixed=TEXT`, `last-four`, `hash` (equal
        /// values look equal within one grant), `format` (letters and digits replaced by others)
        #[arg(long)]
        kind: MaskKind,
    },
    /// List them
    Ls {
        /// Only of this target
        #[arg(add = complete::targets())]
        target: Option<Name>,
    },
    /// Show a column as it is again; live sessions on the target start anew
    Rm {
        /// The mask
        #[arg(add = complete::masks())]
        mask: String,
    },
    /// Propose masks by the names and types of columns; no row is read, and nothing is changed
    Suggest {
        /// The target
        #[arg(add = complete::targets())]
        target: Name,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    match args.act {
        Act::Add { target, column, kind } => {
            let new = NewMask { target, column, shows: kind.to_string() };
            let mask: Mask = client.post(&["masks"], &new).await?;
            out.one(&mask);
            for note in &mask.notes {
                out.say(&format!("note: {note}"));
            }
            out.say(&format!("sessions on {} were ended and start anew with it", mask.target));
            out.next(&format!("belay mask ls {}", mask.target));
        }
        Act::Ls { target } => {
            let query: Vec<(&str, &str)> = target.iter().map(|name| ("target", name.as_str())).collect();
            let list: List<Mask> = client.get(&["masks"], &query).await?;
            out.list(&list);
            if list.items.is_empty() {
                out.next("belay mask suggest TARGET proposes some");
            }
        }
        Act::Rm { mask } => {
            prompt::confirm(out, &format!("Remove mask {mask}, so that its column is shown as it is?"))?;
            client.order(Method::DELETE, &["masks", &mask], &()).await?;
            out.say(&format!("{mask} is removed; sessions on its target start anew without it"));
            out.next("belay mask ls");
        }
        Act::Suggest { target } => suggest(&client, &target, out).await?,
    }
    Ok(())
}

async fn suggest(client: &Client, target: &Name, out: &Out) -> Result<(), Failure> {
    let path = ["targets", target.as_str(), "mask-suggestions"];
    let list: List<MaskSuggestion> = client.post(&path, &()).await?;
    if !out.is_for_people() {
        out.list(&list);
        return Ok(());
    }
    for column in &list.items {
        out.data(&format!(
            "belay mask add {target} {} --kind {}  # seems to be {}, {}",
            shell_word(&column.column),
            column.shows,
            column.seems,
            column.column_type
        ));
    }
    match list.items.len() {
        0 => out.say("no column that is not masked looks as if it should be; names tell only so much"),
        _ => out.say("by their names and types only: no row was read, and nothing is masked until you say so"),
    }
    Ok(())
}

/// The column as one word of a shell.
fn shell_word(text: &str) -> String {
    let tame = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if tame { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposed_command_can_be_pasted_whatever_the_column_is_called() {
        assert_eq!(shell_word("app.c.email"), "app.c.email");
        assert_eq!(shell_word("app.c.it's; rm"), "'app.c.it'\\''s; rm'");
    }
}
