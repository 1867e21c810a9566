//! Feeds others: what the ledger records goes to standard output, syslog, a webhook or OpenTelemetry.
//!
//! Decides nothing and holds nothing up. The ledger is the queue, on the disk already; an output is a cursor in it.
//! Outputs know nothing of each other.

mod cursor;
mod ecs;
mod encode;
mod output;
mod reader;
mod status;
mod wire;

pub use status::OutputStatus;

use crate::config::{EventOutput, Start};
use crate::desk::Clock;
use crate::ledger::Ledger;
use crate::shutdown::Stopping;
use belay_ledger::Position;
use cursor::CursorFile;
use encode::Encoding;
use output::{Cursor, Output};
use status::Status;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::Wire;

/// How long an output may take to note where it stands.
const STOP_TIME: Duration = Duration::from_secs(5);

/// An output that cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("events cannot go to `{output}`: {why}")]
pub struct FeedError {
    /// The output.
    pub output: String,
    /// Why.
    pub why: String,
}

/// What outputs stand on.
pub struct FeedParts<'a> {
    /// The data directory.
    pub data_dir: &'a Path,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Where it stood when it was opened.
    pub opened: Position,
    /// The clock.
    pub clock: &'a Arc<dyn Clock>,
    /// The name this gateway goes by among others.
    pub name: Option<&'a str>,
}

/// The outputs that run.
#[derive(Default)]
pub struct Feeds {
    statuses: Vec<Arc<Status>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Feeds {
    /// Starts the outputs. Waits for no receiver.
    pub fn start(outputs: &[EventOutput], parts: &FeedParts<'_>, stopping: &Stopping) -> Result<Feeds, FeedError> {
        let mut feeds = Feeds::default();
        let observer = observer(parts.name);
        let mut ready = Vec::new();
        for output in outputs {
            let failed = |why: String| FeedError { output: output.name.clone(), why };
            let status = Arc::new(Status::new(&output.name, output.to.word()));
            feeds.statuses.push(Arc::clone(&status));
            let encoding = Encoding {
                format: Wire::format(&output.to),
                statements: output.statements,
                statement_bytes: output.statement_bytes,
                max_bytes: Wire::max_bytes(&output.to),
                observer: Arc::clone(&observer),
            };
            ready.push(Output {
                ledger: parts.ledger.clone(),
                cursor: find_cursor(output, parts).map_err(failed)?,
                filter: output.only.clone(),
                encoding: Arc::new(encoding),
                wire: Wire::to(&output.to, Arc::clone(parts.clock)).map_err(failed)?,
                status,
            });
        }
        let tasks = ready.into_iter().map(|output| tokio::spawn(output.run(stopping.clone()))).collect();
        feeds.tasks = Mutex::new(tasks);
        Ok(feeds)
    }

    /// How each is doing.
    pub fn statuses(&self) -> Vec<OutputStatus> {
        self.statuses.iter().map(|status| status.get()).collect()
    }

    /// Waits until they have stopped, for a little while.
    pub async fn stopped(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for mut task in tasks {
            if timeout(STOP_TIME, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Where the output stands. A new one is noted before anything is sent, so that a crash does not make it new again.
fn find_cursor(output: &EventOutput, parts: &FeedParts<'_>) -> Result<Cursor, String> {
    let file = CursorFile::of(parts.data_dir, &output.name);
    let at = match file.read() {
        Ok(Some(at)) => at,
        Ok(None) => {
            let at = match output.from {
                Start::Now => parts.opened,
                Start::Beginning => Position::START,
            };
            file.write(at).map_err(|error| format!("its place in the ledger cannot be noted: {error}"))?;
            at
        }
        Err(error) => {
            tracing::error!(output = output.name, "its place in the ledger cannot be read, so all goes out: {error}");
            Position::START
        }
    };
    Ok(Cursor::new(file, at))
}

/// As a host name in RFC 5424: printable ASCII, at most 255.
fn observer(name: Option<&str>) -> Arc<str> {
    let machine = || {
        let read = |path| std::fs::read_to_string(path).ok();
        read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_default()
    };
    let name = name.map_or_else(machine, str::to_owned);
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { Arc::from("-") } else { name.into() }
}
