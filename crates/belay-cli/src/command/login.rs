//! `belay login`: trades a password or a token for a kept login.

use crate::client::Client;
use crate::command::server::API_AUTHORITY_FILE;
use crate::failure::{Exit, Failure};
use crate::home::{Home, Login};
use crate::output::Out;
use crate::prompt;
use belay_server::server::API_FILE;
use belay_web::shape::{self, LoggedIn, Me};
use secrecy::ExposeSecret;
use std::path::{Path, PathBuf};

/// Where the administrator's first token is, in the data directory.
const TOKEN_FILE: &str = "admin.token";

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay login https://gateway.example.org:7443 --ca ca.pem --user ann
  belay login https://gateway.example.org:7443 --token-file -      token on stdin
  belay login --local                                              the server on this machine, as its administrator
")]
pub(crate) struct Args {
    /// The server, `https://HOST:7443`
    #[arg(required_unless_present = "local", conflicts_with = "local")]
    url: Option<String>,
    /// The authority that signed the server's certificate; without it the system's are used
    #[arg(long, value_name = "FILE", conflicts_with = "local")]
    ca: Option<PathBuf>,
    /// Your login; the password is asked for
    #[arg(long, value_name = "NAME", conflicts_with_all = ["local", "token_file"])]
    user: Option<String>,
    /// The password, from a file or from stdin for `-`, in place of asking
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// An API token, from a file or from stdin for `-`
    #[arg(long, value_name = "FILE", conflicts_with = "local")]
    token_file: Option<PathBuf>,
    /// The server on this machine, by its data directory
    #[arg(long, value_name = "DATA_DIR", num_args = 0..=1)]
    #[allow(clippy::option_option, reason = "absent, present, and present with a directory are three things")]
    local: Option<Option<PathBuf>>,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let home = Home::find()?;
    let (url, ca, token) = match &args.local {
        Some(dir) => local(dir.as_deref())?,
        None => remote(args, out).await?,
    };
    let client = Client::anonymous(&url, ca.as_deref())?.with_token(&token);
    let me: Me = client.get(&["me"], &[]).await?;
    let login = Login { url, user: me.name.clone(), token, own_ca: ca.is_some() };
    home.keep(&login, ca.as_deref())?;
    out.say(&format!("logged in to {} as {} ({})", login.url, me.name, me.roles.join(", ")));
    out.next("belay target ls");
    Ok(())
}

type Found = (String, Option<Vec<u8>>, String);

/// What a server on this machine left in its data directory for its owner.
fn local(dir: Option<&Path>) -> Result<Found, Failure> {
    let dir = if let Some(dir) = dir {
        dir.to_owned()
    } else {
        let config = belay_server::config::Config::load(None, &|name| std::env::var(name).ok());
        config.map_err(|error| Failure::usage(error.to_string()))?.data_dir
    };
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(Exit::Failure, format!("`{}` cannot be read: {error}", path.display()))
                .hint("start the server first, and run this as the user it runs as: belay server")
        })
    };
    let url = read(API_FILE)?.trim().to_owned();
    let authority = std::fs::read(dir.join(API_AUTHORITY_FILE)).ok();
    Ok((url, authority, read(TOKEN_FILE)?.trim().to_owned()))
}

async fn remote(args: &Args, out: &Out) -> Result<Found, Failure> {
    let url = args.url.clone().ok_or_else(|| Failure::usage("no server").hint("belay login https://HOST:7443"))?;
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))
    };
    let ca = args.ca.as_ref().map(read).transpose()?;
    if let Some(path) = &args.token_file {
        let token = prompt::secret_from(path)?;
        let token: belay_model::Token = token
            .expose_secret()
            .trim()
            .parse()
            .map_err(|error: belay_model::TokenError| Failure::usage(error.to_string()))?;
        return Ok((url, ca, token.reveal().to_owned()));
    }
    let name = match &args.user {
        Some(name) => name.clone(),
        None => prompt::line(out, "login", "name it: --user NAME, or hand in a token: --token-file FILE")?,
    };
    let password = match &args.password_file {
        Some(path) => prompt::secret_from(path)?,
        None => prompt::secret(out, "password", "hand it in: --password-file -, or a token: --token-file -")?,
    };
    let client = Client::anonymous(&url, ca.as_deref())?;
    let label = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let login = shape::Login { name, password: password.expose_secret().to_owned(), label };
    let logged_in: LoggedIn = client.post(&["login"], &login).await?;
    Ok((url, ca, logged_in.secret))
}
