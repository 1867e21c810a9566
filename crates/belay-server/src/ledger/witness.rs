//! Sends checkpoints to where this machine cannot take them back.
//!
//! Only the newest counts: it says everything that those before it said. What cannot be delivered is tried again with
//! what is the newest by then.

use super::checkpoint::Signed;
use crate::bucket::Bucket;
use crate::config::{Witness, WitnessPlace};
use crate::desk::Clock;
use crate::signed_post;
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
    let to = witness.to.word();
    let door = match Door::open(&witness.to) {
        Ok(door) => door,
        Err(why) => return tracing::error!("the witness ({to}) cannot be used: {why}"),
    };
    let mut sent = 0;
    loop {
        let newest = latest.borrow_and_update().clone().filter(|signed| signed.checkpoint.size > sent);
        if let Some(newest) = newest {
            let delivery = tokio::time::timeout(DELIVERY, deliver(&witness.to, &door, &newest, &*clock)).await;
            match delivery.unwrap_or_else(|_| Err("it took too long".to_owned())) {
                Ok(()) => sent = newest.checkpoint.size,
                Err(why) => {
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

/// How to reach it, made once.
enum Door {
    Webhook(reqwest::Client),
    Bucket(Box<Bucket>),
    /// Of this machine.
    Here,
}

impl Door {
    fn open(to: &WitnessPlace) -> Result<Door, String> {
        Ok(match to {
            WitnessPlace::Webhook { .. } => {
                Door::Webhook(signed_post::client(DELIVERY).build().map_err(signed_post::told)?)
            }
            WitnessPlace::Bucket(place) => Door::Bucket(Box::new(Bucket::open(place)?)),
            WitnessPlace::Git(_) | WitnessPlace::Folder(_) => Door::Here,
        })
    }
}

async fn deliver(to: &WitnessPlace, door: &Door, signed: &Signed, clock: &dyn Clock) -> Result<(), String> {
    let (note, size) = (signed.note.to_string(), signed.checkpoint.size);
    match (to, door) {
        (WitnessPlace::Webhook { url, secret }, Door::Webhook(client)) => {
            signed_post::post(client, url, secret, "text/plain", note.into_bytes(), clock).await
        }
        // One that is there was delivered, and the answer was lost; or another has been put in its place, which is for
        // the witness to find.
        (WitnessPlace::Bucket(_), Door::Bucket(bucket)) => {
            bucket.put(&format!("{size:020}.checkpoint"), note.into()).await.map(drop)
        }
        (WitnessPlace::Git(clone), _) => commit(clone, &note, size).await,
        (WitnessPlace::Folder(folder), _) => {
            let name = format!("{size:020}.checkpoint");
            tokio::fs::write(folder.join(name), note).await.map_err(|error| error.to_string())
        }
        _ => Err("it cannot be used".to_owned()),
    }
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
