//! `belay connect`: connection settings for any client but psql.

use super::psql::{Need, grant};
use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::home::Home;
use crate::native::{self, Access};
use crate::output::{Out, Row};
use belay_model::Name;
use reqwest::Url;
use serde::Serialize;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay connect orders -m 'INC-4881 refund stuck'
  eval \"$(belay connect orders)\" && pg_dump -t public.orders
  belay connect orders --show-token -o json
")]
pub(crate) struct Args {
    /// The target
    #[arg(add = complete::targets())]
    target: Name,
    #[command(flatten)]
    need: Need,
    /// Show the token too, and a URL with it: others may see it in your terminal and process list
    #[arg(long)]
    show_token: bool,
}

/// How a native client connects.
#[derive(Serialize)]
struct Settings {
    kind: &'static str,
    api_version: &'static str,
    host: String,
    port: u16,
    user: String,
    dbname: String,
    sslmode: &'static str,
    sslrootcert: String,
    service: String,
    service_file: String,
    ends_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl Row for Settings {
    const COLUMNS: &'static [&'static str] =
        &["host", "port", "user", "dbname", "sslmode", "sslrootcert", "service", "service_file", "ends_at"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.host.clone(),
            self.port.to_string(),
            self.user.clone(),
            self.dbname.clone(),
            self.sslmode.to_owned(),
            self.sslrootcert.clone(),
            self.service.clone(),
            self.service_file.clone(),
            self.ends_at.clone(),
        ]
    }
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let home = Home::find()?;
    let client = Client::of(&home)?;
    let grant = grant(&client, &home, &args.target, &args.need, out).await?;
    let access = native::access(&client, &home, &grant).await?;
    let path = home.write(&format!("services/{}.conf", access.grant.target), access.service().as_bytes())?;
    let settings = settings(&access, &path.display().to_string(), args.show_token);
    if !out.is_for_people() {
        out.one(&settings);
        return Ok(());
    }
    out.data(&format!(
        "export PGSERVICEFILE={}\nexport PGSERVICE={}",
        quoted(&settings.service_file),
        settings.service
    ));
    if let (Some(password), Some(url)) = (&settings.password, &settings.url) {
        out.data(&format!("# password={password}\n# {url}"));
    }
    out.say(&format!(
        "host={} port={} user={} dbname={} sslmode=verify-full sslrootcert={}; until {}",
        settings.host, settings.port, settings.user, settings.dbname, settings.sslrootcert, settings.ends_at
    ));
    out.next("eval \"$(belay connect ...)\" in your shell, or point your client at the service file");
    Ok(())
}

fn settings(access: &Access, service_file: &str, show: bool) -> Settings {
    let root = access.root();
    Settings {
        kind: "connection",
        api_version: belay_web::shape::API_VERSION,
        host: access.host.clone(),
        port: access.port,
        user: access.login(),
        dbname: access.grant.target.clone(),
        sslmode: "verify-full",
        sslrootcert: root.clone(),
        service: access.grant.target.clone(),
        service_file: service_file.to_owned(),
        ends_at: access.grant.ends_at.to_string(),
        password: show.then(|| access.secret.clone()),
        url: if show { url(access, &root) } else { None },
    }
}

fn url(access: &Access, root: &str) -> Option<String> {
    let host = if access.host.contains(':') { format!("[{}]", access.host) } else { access.host.clone() };
    let mut url = Url::parse(&format!("postgresql://{host}:{}/{}", access.port, access.grant.target)).ok()?;
    url.set_username(&access.login()).ok()?;
    url.set_password(Some(&access.secret)).ok()?;
    url.query_pairs_mut().append_pair("sslmode", "verify-full").append_pair("sslrootcert", root);
    Some(url.into())
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
