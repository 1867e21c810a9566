//! `belay doctor`: looks for what is wrong, from here to the server. Changes nothing.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::output::Out;
use belay_web::shape::{EventOutput, Gateway, LedgerArchive, List, Me, SessionKeys, Target};
use std::process::{Command, ExitCode};

pub(crate) async fn run(out: &Out) -> ExitCode {
    let mut findings = Findings { out, worst: None };
    findings.note("psql", psql());
    let client = match Home::find().and_then(|home| local(&home).map(|()| home)) {
        Ok(home) => {
            findings.note("login", Ok(format!("kept in {}", home.dir().display())));
            Client::of(&home)
        }
        Err(failure) => Err(failure),
    };
    match client {
        Ok(client) => remote(&client, &mut findings).await,
        Err(failure) => findings.note("login", Err(failure)),
    }
    match findings.worst {
        None => {
            out.next("belay psql TARGET -m REASON");
            ExitCode::SUCCESS
        }
        Some(exit) => exit.into(),
    }
}

struct Findings<'a> {
    out: &'a Out,
    worst: Option<Exit>,
}

impl Findings<'_> {
    fn note(&mut self, what: &str, found: Result<String, Failure>) {
        match found {
            Ok(text) => self.out.data(&format!("ok       {what}: {text}")),
            Err(failure) => {
                self.out.data(&format!("missing  {what}: {}", failure.message));
                if let Some(hint) = failure.hint {
                    self.out.data(&format!("         {hint}"));
                }
                self.worst = self.worst.or(Some(failure.exit));
            }
        }
    }
}

fn psql() -> Result<String, Failure> {
    let missing = |_| Failure::new(Exit::Failure, "not installed").hint("apt-get install postgresql-client");
    let output = Command::new("psql").arg("--version").output().map_err(missing)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn local(home: &Home) -> Result<(), Failure> {
    home.login()?;
    if home.is_open_to_others() {
        let path = home.login_file();
        let message = format!("`{}` can be read by others", path.display());
        return Err(Failure::new(Exit::Failure, message).hint(format!("chmod 600 {}", path.display())));
    }
    Ok(())
}

async fn remote(client: &Client, findings: &mut Findings<'_>) {
    let gateway = client.get::<Gateway>(&["gateway"], &[]).await;
    let reached = gateway.is_ok();
    let port = gateway.as_ref().map(|gateway| gateway.postgres_port).ok();
    findings.note("server", gateway.map(|gateway| format!("{} answers, version {}", client.base(), gateway.version)));
    if !reached {
        return;
    }
    let me = client.get::<Me>(&["me"], &[]).await;
    findings.note("you", me.map(|me| format!("{} ({})", me.name, me.roles.join(", "))));
    if let Some(port) = port {
        findings.note("gateway", listens(&client.host(), port).await);
    }
    let targets = client.get::<List<Target>>(&["targets"], &[]).await;
    findings.note("targets", targets.map(|list| format!("{} configured", list.items.len())));
    // Others than auditors and administrators have no part in it.
    if let Ok(outputs) = client.get::<List<EventOutput>>(&["events"], &[]).await {
        outputs.items.into_iter().for_each(|output| findings.note(&format!("events to {}", output.name), fed(&output)));
    }
    if let Ok(archives) = client.get::<List<LedgerArchive>>(&["audit", "archive"], &[]).await {
        archives.items.iter().for_each(|archive| findings.note("archive", archived(archive)));
    }
    if let Ok(keys) = client.get::<List<SessionKeys>>(&["audit", "session-keys"], &[]).await {
        keys.items.iter().for_each(|keys| findings.note("session keys", sealed(keys)));
    }
}

fn fed(output: &EventOutput) -> Result<String, Failure> {
    let EventOutput { to, behind, sent, missed, error, .. } = output;
    match error {
        None => Ok(format!("{to}, {sent} sent since the start, {behind} records behind, {missed} never sent")),
        Some(error) => Err(Failure::new(Exit::Unreachable, format!("{behind} records behind: {error}"))
            .hint("nothing is lost: they go out once the receiver takes them; see `[[events]]`")),
    }
}

fn archived(archive: &LedgerArchive) -> Result<String, Failure> {
    let LedgerArchive { to, segments, bytes, oldest_seconds, odd, odd_count, locked, versions, lock, error, .. } =
        archive;
    let behind = match segments {
        0 => "nothing is behind".to_owned(),
        _ => format!("{segments} files ({bytes} bytes) are behind, the oldest for {oldest_seconds} s"),
    };
    if *odd_count > 0 {
        let message =
            format!("{odd_count} objects in {to} have another content than they were given: {}", odd.join(", "));
        let hint = "they are left as they are; see docs/archive.md";
        return Err(Failure::new(Exit::Integrity, message).hint(hint));
    }
    if let Some(error) = error {
        let hint = "nothing is lost: it is tried again; see `[archive]`";
        return Err(Failure::new(Exit::Unreachable, format!("{to}: {error}; {behind}")).hint(hint));
    }
    let on = |what: &str, is: Option<bool>| match is {
        Some(true) => format!("{what} on"),
        Some(false) => format!("{what} off"),
        None => format!("{what} unknown"),
    };
    let kept = if *locked > 0 { format!(", {locked} deleted files are kept there for now") } else { String::new() };
    Ok(format!("{to}, {behind}{kept}; {}, {}", on("versions", *versions), on("object lock", *lock)))
}

fn sealed(state: &SessionKeys) -> Result<String, Failure> {
    let SessionKeys { keys, bytes, bytes_most, damaged, .. } = state;
    if !damaged.is_empty() {
        let message =
            format!("{} of `session.keys` is no key: what it was to open reads as erased", damaged.join(", "));
        return Err(
            Failure::new(Exit::Integrity, message).hint("put it right from a backup; nothing else depends on it")
        );
    }
    if *bytes >= bytes_most / 5 * 4 {
        let message =
            format!("`session.keys` has {bytes} of {bytes_most} bytes; when it is full, new sessions are refused");
        let hint = "keys go with the records that they open: see `retention` in `[ledger]`";
        return Err(Failure::new(Exit::Failure, message).hint(hint));
    }
    Ok(format!("{keys}, {bytes} of {bytes_most} bytes"))
}

async fn listens(host: &str, port: u16) -> Result<String, Failure> {
    let connecting = tokio::net::TcpStream::connect((host, port));
    let failed = |why: String| {
        Failure::new(Exit::Unreachable, format!("{host}:{port} cannot be reached: {why}"))
            .hint("is a firewall between? the server's `[listen] postgres` says where it listens")
    };
    match tokio::time::timeout(std::time::Duration::from_secs(5), connecting).await {
        Ok(Ok(_)) => Ok(format!("PostgreSQL clients reach {host}:{port}")),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_with_odd_objects_points_to_its_document() {
        let archive = serde_json::json!({
            "kind": "ledger_archive", "api_version": "v1", "to": "s3://b/p", "segments": 0, "bytes": 0, "oldest_seconds": 0,
            "sent": 1, "odd": ["x"], "odd_count": 1, "locked": 0, "versions": null, "lock": null, "error": null,
        });
        let hint = archived(&serde_json::from_value(archive).unwrap()).unwrap_err().hint.unwrap();
        let document = hint.rsplit(' ').next().unwrap();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(std::fs::read_to_string(root.join(document)).unwrap().contains("another content"), "{hint}");
    }
}
