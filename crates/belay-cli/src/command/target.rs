//! `belay target`: the production systems that Belay guards.

use crate::client::Client;
use crate::complete;
use crate::failure::{Exit, Failure};
use crate::output::{Out, Row};
use crate::prompt;
use belay_model::{Name, Resource};
use belay_web::shape::{ArmTable, ArmedTable, List, NewTarget, Target, TargetReport};
use reqwest::{Method, Url};
use secrecy::ExposeSecret;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay target add orders postgres://belay_admin@db1.example.org/orders    the password is asked for
  belay target check orders                                                which protection layers are active
  belay target ls
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Add one, and check it
    Add(Add),
    /// List them
    Ls,
    /// Show one
    Show {
        /// The target
        #[arg(add = complete::targets())]
        target: String,
    },
    /// Which protection layers are active, and the SQL for those that are not
    Check {
        /// The target
        #[arg(add = complete::targets())]
        target: String,
    },
    /// Arm a table above the scan limit: a trigger there writes down what sessions of Belay's change, so that such changes can be given back
    Arm(OneTable),
    /// Disarm a table: its trigger goes
    Disarm(OneTable),
    /// Remove one: its pending requests are denied, its grants revoked
    Rm {
        /// The target
        #[arg(add = complete::targets())]
        target: String,
    },
}

#[derive(clap::Args)]
struct OneTable {
    /// The target
    #[arg(add = complete::targets())]
    target: String,
    /// The table, as `SCHEMA.TABLE`
    table: Resource,
}

#[derive(clap::Args)]
struct Add {
    /// The name people connect to
    name: Name,
    /// `postgres://USER@HOST:PORT/DATABASE`, without a password; `?sslmode=` says how TLS is done
    url: String,
    /// The password of that user, from a file or from stdin for `-`, in place of asking
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// PEM file with the authority that signed the target's certificate
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Do not check it
    #[arg(long)]
    no_check: bool,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    match args.act {
        Act::Add(add) => self::add(&client, &add, out).await,
        Act::Ls => {
            let list: List<Target> = client.get(&["targets"], &[]).await?;
            out.list(&list);
            if list.items.is_empty() {
                out.next("belay target add NAME postgres://USER@HOST/DATABASE");
            }
            Ok(())
        }
        Act::Show { target } => show(&client, &target, out).await,
        Act::Check { target } => check(&client, &target, out).await,
        Act::Arm(OneTable { target, table }) => {
            client.order(Method::POST, &["targets", &target, "armed"], &ArmTable { table: table.clone() }).await?;
            out.say(&format!("{table} of {target} is armed"));
            out.next(&format!("belay target show {target}"));
            Ok(())
        }
        Act::Disarm(OneTable { target, table }) => {
            client.order(Method::DELETE, &["targets", &target, "armed", &table.to_string()], &()).await?;
            out.say(&format!("{table} of {target} is disarmed"));
            out.next(&format!("belay target show {target}"));
            Ok(())
        }
        Act::Rm { target } => {
            prompt::confirm(out, &format!("Remove {target}, deny its requests and revoke its grants?"))?;
            client.order(Method::DELETE, &["targets", &target], &()).await?;
            out.say(&format!("{target} is removed"));
            out.next("belay target ls");
            Ok(())
        }
    }
}

async fn add(client: &Client, add: &Add, out: &Out) -> Result<(), Failure> {
    let mut new = parse(&add.name, &add.url)?;
    if let Some(path) = &add.ca {
        let pem = std::fs::read_to_string(path);
        new.ca_pem =
            Some(pem.map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))?);
    }
    new.password = match &add.password_file {
        Some(path) => prompt::secret_from(path)?.expose_secret().to_owned(),
        None if out.may_ask() => {
            prompt::secret(out, &format!("password of {}", new.user), "")?.expose_secret().to_owned()
        }
        None => String::new(),
    };
    let target: Target = client.post(&["targets"], &new).await?;
    out.one(&target);
    if add.no_check {
        out.next(&format!("belay target check {}", target.name));
        return Ok(());
    }
    let report: Result<TargetReport, Failure> = client.post(&["targets", &target.name, "check"], &()).await;
    match report {
        Ok(report) => show_on_stderr(&report, out),
        // The target is added all the same: it may come up later.
        Err(failure) => out.failure(&failure),
    }
    out.next(&format!("belay request {} --for 1h -m REASON", target.name));
    Ok(())
}

async fn show(client: &Client, target: &str, out: &Out) -> Result<(), Failure> {
    let target: Target = client.get(&["targets", target], &[]).await?;
    let armed: Result<List<ArmedTable>, Failure> = client.get(&["targets", &target.name, "armed"], &[]).await;
    let armed = match armed {
        Ok(list) => list.items.into_iter().map(|armed| OfTarget { table: armed.table, state: armed.state }).collect(),
        // What the gateway itself knows of it is shown all the same.
        Err(failure) => {
            out.failure(&failure);
            Vec::new()
        }
    };
    out.one(&Shown { target, armed });
    Ok(())
}

/// A target, with what the target itself says of its armed tables.
#[derive(serde::Serialize)]
struct Shown {
    #[serde(flatten)]
    target: Target,
    armed: Vec<OfTarget>,
}

#[derive(serde::Serialize)]
struct OfTarget {
    table: String,
    state: String,
}

impl Row for Shown {
    const COLUMNS: &'static [&'static str] = &["name", "protocol", "host", "port", "database", "user", "tls", "armed"];
    fn cells(&self) -> Vec<String> {
        let name = |armed: &OfTarget| match armed.state.as_str() {
            "armed" => armed.table.clone(),
            state => format!("{} ({state})", armed.table),
        };
        let armed = self.armed.iter().map(name).collect::<Vec<_>>().join(", ");
        self.target.cells().into_iter().chain([armed]).collect()
    }
}

async fn check(client: &Client, target: &str, out: &Out) -> Result<(), Failure> {
    let report: TargetReport = client.post(&["targets", target, "check"], &()).await?;
    if out.is_for_people() {
        out.data(&written(&report));
    } else {
        out.one(&report);
    }
    match report.layers.iter().filter(|layer| layer.state == "missing").count() {
        0 => {
            out.next(&format!("belay request {target} --for 1h -m REASON"));
            Ok(())
        }
        missing => {
            let message = format!("{missing} of {} layers are missing on {target}", report.layers.len());
            Err(Failure::new(Exit::Failure, message)
                .hint(format!("run the SQL as {target}'s owner, then: belay target check {target}")))
        }
    }
}

fn show_on_stderr(report: &TargetReport, out: &Out) {
    written(report).lines().for_each(|line| out.say(line));
}

fn written(report: &TargetReport) -> String {
    let mut lines = vec![format!("{}: {}", report.target, report.server)];
    for layer in &report.layers {
        lines.push(format!("  {:<8}  {}: {}", layer.state, layer.name, layer.detail));
        lines.extend(layer.sql.iter().map(|sql| format!("            {sql}")));
    }
    lines.join("\n")
}

impl Row for TargetReport {
    const COLUMNS: &'static [&'static str] = &["target", "server", "ok", "missing", "optional"];
    fn cells(&self) -> Vec<String> {
        let names = |state: &str| {
            let layers = self.layers.iter().filter(|layer| layer.state == state);
            layers.map(|layer| layer.name.clone()).collect::<Vec<_>>().join("; ")
        };
        vec![self.target.clone(), self.server.clone(), names("ok"), names("missing"), names("optional")]
    }
}

/// `postgres://user@host:port/database?sslmode=...`. A password in it is refused: others on this machine would see it.
fn parse(name: &Name, text: &str) -> Result<NewTarget, Failure> {
    let example = "write for example postgres://belay_admin@db1.example.org:5432/orders";
    let wrong = |what: &str| Failure::usage(format!("the target's address {what}")).hint(example);
    let url = Url::parse(text).map_err(|_| wrong("cannot be read"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong("has another scheme than postgres://"));
    }
    if url.password().is_some() {
        return Err(Failure::usage("the target's address holds a password, which everybody on this machine can see")
            .hint("leave it out: it is asked for, or handed in with --password-file FILE; and change that password"));
    }
    if url.username().is_empty() {
        return Err(wrong("names no user"));
    }
    let part = |text: &str| percent_decoded(text).ok_or_else(|| wrong("cannot be read"));
    let mut host = part(url.host_str().unwrap_or_default())?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut tls = None;
    for (key, value) in url.query_pairs() {
        match &*key {
            "sslmode" => tls = Some(value.into_owned()),
            "host" => host = value.into_owned(),
            _ => return Err(wrong(&format!("has `{key}`, which is not known here; known: sslmode, host"))),
        }
    }
    if host.is_empty() {
        return Err(wrong("names no host"));
    }
    let user = part(url.username())?;
    let database = match url.path().trim_start_matches('/') {
        "" => user.clone(),
        path => part(path)?,
    };
    let near = host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // What stays on this machine needs no TLS; everything else gets the strictest unless told otherwise.
    let tls = tls.unwrap_or_else(|| if near { "disable" } else { "verify-full" }.to_owned());
    Ok(NewTarget {
        name: name.clone(),
        protocol: "postgres".to_owned(),
        host,
        port: url.port().unwrap_or(5432),
        database,
        user,
        password: String::new(),
        tls,
        ca_pem: None,
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &str) -> String {
        match parse(&"orders".parse().unwrap(), url) {
            Ok(target) => {
                format!("{}@{}:{}/{} {}", target.user, target.host, target.port, target.database, target.tls)
            }
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn an_address_becomes_a_target() {
        assert_eq!(told("postgres://adm@db1.example.org/orders"), "adm@db1.example.org:5432/orders verify-full");
        assert_eq!(told("postgresql://a%40b@127.0.0.1:5499/x?sslmode=require"), "a@b@127.0.0.1:5499/x require");
        assert_eq!(told("postgres://adm@localhost"), "adm@localhost:5432/adm disable");
        assert_eq!(told("postgres://adm@[::1]:1/x"), "adm@::1:1/x disable");
        assert_eq!(told("postgres://adm@/x?host=/run/postgresql"), "the target's address cannot be read");
        assert_eq!(told("postgres://adm@s/x?host=/run/postgresql"), "adm@/run/postgresql:5432/x disable");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_repeating_its_secret() {
        let failure = parse(&"orders".parse().unwrap(), "postgres://adm:hunter2@db/x").err().unwrap();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!format!("{failure:?}").contains("hunter2"));
        assert_eq!(told("mysql://adm@db/x"), "the target's address has another scheme than postgres://");
        assert_eq!(told("postgres://db/x"), "the target's address names no user");
        assert_eq!(
            told("postgres://adm@db/x?sslmod=require"),
            "the target's address has `sslmod`, which is not known here; known: sslmode, host"
        );
    }

    #[test]
    fn a_report_says_what_is_missing_with_its_sql_and_what_is_optional() {
        let report: TargetReport = serde_json::from_value(serde_json::json!({
            "kind": "target_report", "api_version": "v1", "target": "orders", "server": "PostgreSQL 15.18",
            "layers": [
                {"name": "grammar", "state": "ok", "detail": "statements are read with PostgreSQL's own", "sql": []},
                {"name": "role per grant", "state": "missing", "detail": "adm may not create roles", "sql": ["ALTER ROLE adm CREATEROLE;"]},
                {"name": "hot standby", "state": "optional", "detail": "this server is a primary", "sql": []},
            ],
        }))
        .unwrap();
        assert_eq!(
            written(&report),
            "orders: PostgreSQL 15.18\n  ok        grammar: statements are read with PostgreSQL's own\n  \
             missing   role per grant: adm may not create roles\n            ALTER ROLE adm CREATEROLE;\n  \
             optional  hot standby: this server is a primary"
        );
    }
}
