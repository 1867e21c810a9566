//! `belay user`: people.

use crate::client::Client;
use crate::complete;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::prompt;
use belay_model::Name;
use belay_web::shape::{List, Me, NewUser, Password, User, UserChange, UserWithToken};
use reqwest::Method;
use secrecy::ExposeSecret;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay user add ann --group support --token-file ann.token    hand the file to ann
  belay user add bob --role approver --password-file -         password on stdin
  belay user change ann --disable                              ends her grants and tokens
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Add somebody; without a password a token is made, to be handed over
    Add(Add),
    /// List everybody
    Ls,
    /// Show one
    Show {
        /// The login
        #[arg(add = complete::users())]
        name: String,
    },
    /// Change roles, groups or password; disable or enable
    Change(Change),
}

#[derive(clap::Args)]
struct Add {
    /// The login
    name: Name,
    /// `requester`, `approver`, `administrator`, `auditor` or `break_glass`; several times for several
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group that rules speak of; several times for several
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// A first password, from a file or from stdin for `-`
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    password_file: Option<PathBuf>,
    /// Write the token into a new private file, not to stdout
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Change {
    /// The login
    #[arg(add = complete::users())]
    name: String,
    /// All roles they are to have
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// All groups they are to be in
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// Take all groups away
    #[arg(long, conflicts_with = "groups")]
    no_groups: bool,
    /// End their grants and tokens, and let them do nothing
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Let them in again
    #[arg(long)]
    enable: bool,
    /// Set a password
    #[arg(long)]
    password: bool,
    /// The new password, from a file or from stdin for `-`, in place of asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Your present password, from a file, in place of asking; needed to set your own
    #[arg(long, value_name = "FILE")]
    old_password_file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    match args.act {
        Act::Add(add) => self::add(&client, add, out).await,
        Act::Ls => {
            out.list(&client.get::<List<User>>(&["users"], &[]).await?);
            Ok(())
        }
        Act::Show { name } => {
            out.one(&client.get::<User>(&["users", &name], &[]).await?);
            Ok(())
        }
        Act::Change(change) => self::change(&client, change, out).await,
    }
}

async fn add(client: &Client, add: Add, out: &Out) -> Result<(), Failure> {
    let password = add.password_file.as_deref().map(prompt::secret_from).transpose()?;
    // Before the person is made: their only token must not get lost on a file that cannot be written.
    let mut file = add.token_file.as_deref().map(private_file).transpose()?;
    let roles = if add.roles.is_empty() { vec!["requester".to_owned()] } else { add.roles };
    let new = NewUser {
        name: add.name,
        password: password.map(|password| password.expose_secret().to_owned()),
        roles,
        groups: add.groups,
    };
    let added: Result<UserWithToken, Failure> = client.post(&["users"], &new).await;
    if let (Err(_), Some(path)) = (&added, &add.token_file) {
        let _ = std::fs::remove_file(path);
    }
    let UserWithToken { user, token } = added?;
    let name = user.name.clone();
    match (&token, &mut file) {
        (Some(token), Some(file)) => {
            writeln!(file, "{token}")
                .map_err(|error| Failure::new(Exit::Failure, format!("the token cannot be written: {error}")))?;
            out.one(&user);
            let path = add.token_file.unwrap_or_default();
            out.next(&format!(
                "hand `{}` to {name}, who runs: belay login {} --token-file FILE",
                path.display(),
                client.base()
            ));
        }
        (Some(token), None) if out.is_for_people() => {
            out.one(&user);
            out.say("their token, shown once:");
            out.data(token);
            out.next(&format!("hand it to {name}, who runs: belay login {} --token-file -", client.base()));
        }
        (Some(_), None) => out.data(&serde_json::to_string(&UserWithToken { user, token }).unwrap_or_default()),
        (None, _) => {
            out.one(&user);
            out.next(&format!("{name} runs: belay login {} --user {name}", client.base()));
        }
    }
    Ok(())
}

async fn change(client: &Client, change: Change, out: &Out) -> Result<(), Failure> {
    let name = change.name.as_str();
    let new = UserChange {
        roles: (!change.roles.is_empty()).then_some(change.roles),
        groups: (change.no_groups || !change.groups.is_empty()).then_some(change.groups),
        disabled: (change.disable || change.enable).then_some(change.disable),
    };
    let sets_password = change.password || change.password_file.is_some();
    let changes_person = new.roles.is_some() || new.groups.is_some() || new.disabled.is_some();
    if !sets_password && !changes_person {
        return Err(Failure::usage("nothing to change").hint(format!("belay user change {name} --help")));
    }
    if sets_password {
        let files = (change.old_password_file.as_deref(), change.password_file.as_deref());
        set_password(client, name, files, out).await?;
    }
    if changes_person {
        out.one(&client.patch::<User>(&["users", name], &new).await?);
    }
    out.next(&format!("belay user show {name}"));
    Ok(())
}

async fn set_password(
    client: &Client,
    name: &str,
    (old, new): (Option<&Path>, Option<&Path>),
    out: &Out,
) -> Result<(), Failure> {
    let own = name == client.user() && client.get::<Me>(&["me"], &[]).await?.has_password;
    let old = match old {
        Some(path) => Some(prompt::secret_from(path)?),
        None if own => Some(prompt::secret(out, "old password", "hand it in: --old-password-file FILE")?),
        None => None,
    };
    let new = match new {
        Some(path) => prompt::secret_from(path)?,
        None => prompt::new_secret(out, "new password", "hand it in: --password-file -")?,
    };
    let old = old.map(|old| old.expose_secret().to_owned());
    let password = Password { old, new: new.expose_secret().to_owned() };
    client.order(Method::PUT, &["users", name, "password"], &password).await?;
    out.say(&format!("the password of {name} is set"));
    Ok(())
}

fn private_file(path: &Path) -> Result<std::fs::File, Failure> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| Failure::usage(format!("`{}` cannot be made: {error}", path.display())))
}
