//! Sends checkpoints to where this machine cannot take them back.
//!
//! Only the newest counts: it says everything that those before it said. What cannot be delivered is tried again with
//! what is the newest by then.

use super::checkpoint::Signed;
use crate::config::{Witness, WitnessPlace};
use crate::desk::Clock;
use crate::signature;
use secrecy::ExposeSecret as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::watch;

/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(30);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(10);
const FAILURES: &str = "belay_ledger_witness_failures_total";

type Latest = watch::Receiver<Option<Arc<Signed>>>;

/// Keeps sending to each of them, until the ledger is not signed any more.
pub fn start(witnesses: &[Witness], latest: &Latest, clock: &Arc<dyn Clock>) {
    for witness in witnesses {
        tokio::spawn(send_all(witness.clone(), latest.clone(), Arc::clone(clock)));
    }
}

async fn send_all(witness: Witness, mut latest: Latest, clock: Arc<dyn Clock>) {
    let every = Duration::from_secs(u64::from(witness.every.seconds()));
    let mut sent = 0;
    loop {
        let newest = latest.borrow_and_update().clone().filter(|signed| signed.checkpoint.size > sent);
        if let Some(newest) = newest {
            let delivery = tokio::time::timeout(DELIVERY, deliver(&witness.to, &newest, &*clock)).await;
            match delivery.unwrap_or_else(|_| Err("it took too long".to_owned())) {
                Ok(()) => sent = newest.checkpoint.size,
                Err(why) => {
                    let to = witness.to.word();
                    metrics::counter!(FAILURES, "to" => to).increment(1);
                    tracing::warn!("a checkpoint could not be delivered to the witness ({to}): {why}");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
        }
        tokio::time::sleep(every).await;
        if sent > 0 && latest.borrow().as_ref().is_some_and(|signed| signed.checkpoint.size > sent) {
            continue;
        }
        if latest.changed().await.is_err() {
            return;
        }
    }
}

async fn deliver(to: &WitnessPlace, signed: &Signed, clock: &dyn Clock) -> Result<(), String> {
    let note = signed.note.to_string();
    match to {
        WitnessPlace::Webhook { url, secret } => {
            let header = signature::sign(secret.expose_secret(), note.as_bytes(), clock.now());
            let client = reqwest::Client::builder().timeout(DELIVERY).build().map_err(|error| plain(&error))?;
            let post = client.post(url).header(signature::HEADER, header).header("content-type", "text/plain");
            let answer = post.body(note).send().await.map_err(|error| plain(&error))?;
            if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
        }
        WitnessPlace::Git(clone) => commit(clone, &note, signed.checkpoint.size).await,
        WitnessPlace::Folder(folder) => {
            let name = format!("{:020}.checkpoint", signed.checkpoint.size);
            tokio::fs::write(folder.join(name), note).await.map_err(|error| error.to_string())
        }
    }
}

/// The error without the address, which may hold a secret.
fn plain(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { "it cannot be reached".to_owned() }
}

async fn commit(clone: &Path, note: &str, size: u64) -> Result<(), String> {
    tokio::fs::write(clone.join("checkpoint"), note).await.map_err(|error| error.to_string())?;
    git(clone, &["add", "checkpoint"]).await?;
    let message = format!("Checkpoint of {size} records");
    let identity = ["-c", "user.name=belay", "-c", "user.email=belay@localhost"];
    git(clone, &[&identity[..], &["commit", "--quiet", "--allow-empty", "-m", &message]].concat()).await?;
    if git(clone, &["remote"]).await?.trim().is_empty() {
        Ok(())
    } else {
        git(clone, &["push", "--quiet"]).await.map(drop)
    }
}

async fn git(clone: &Path, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(clone).args(words).env("GIT_TERMINAL_PROMPT", "0").kill_on_drop(true);
    let output = command.output().await.map_err(|error: io::Error| format!("git: {error}"))?;
    let verb = words.iter().find(|word| !word.starts_with('-') && !word.contains('=')).copied().unwrap_or("git");
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // Remotes are addressed with secrets now and then; what git says of them stays out of the log.
    Err(format!("git {verb} ended with {}", output.status))
}
