//! What the Rust programs of the matrix share: the report, the settings and the expectations of a mode.
//! It opens no connection of its own.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A read every grant of the matrix allows.
pub const READ: &str = "SELECT count(*) FROM public.orders";
/// The write that must be refused.
pub const WRITE: &str = "UPDATE public.orders SET status = 'x'";
/// Counts the rows the write would have left.
pub const UNTOUCHED: &str = "SELECT count(*) FROM public.orders WHERE status = 'x'";
/// Rows of [`LARGE`].
pub const LARGE_ROWS: usize = 100_000;
/// A large result that needs no table.
pub const LARGE: &str = "SELECT g AS n, md5(g::text) AS h FROM generate_series(1, 100000) AS g";
/// A cancelled statement must have answered by then.
pub const CANCEL_BOUND: Duration = Duration::from_millis(200);

/// What a check ends with: a note for the report, or why it failed.
pub type Outcome = Result<String, String>;

/// What stands between the client and the database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A gateway with a read grant.
    Belay,
    /// A server in read-only mode: refusals, without the gateway's code.
    ReadOnly,
    /// An ordinary server: writes pass and are rolled back.
    Plain,
}

impl Mode {
    /// The mode `BELAY_DRIVERS_MODE` names; the gateway unless it says otherwise.
    pub fn from_environment() -> Mode {
        match std::env::var("BELAY_DRIVERS_MODE").as_deref() {
            Ok("plain") => Mode::Plain,
            Ok("read-only") => Mode::ReadOnly,
            _ => Mode::Belay,
        }
    }
}

/// A setting every program of the matrix needs.
pub fn setting(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("`{name}` is not set"))
}

/// Turns any error into the text of a failed check.
pub fn why(error: impl Display) -> String {
    error.to_string()
}

/// `Ok` if the condition holds, else the text.
pub fn require(condition: bool, text: impl Display) -> Result<(), String> {
    if condition { Ok(()) } else { Err(text.to_string()) }
}

/// The refusal a read grant gives: SQLSTATE 25006 and, from Belay, its code as the last thing in the message.
pub fn require_refused(mode: Mode, refusal: &(String, String)) -> Result<(), String> {
    let (state, message) = refusal;
    require(state == "25006", format!("SQLSTATE {state}, wanted 25006: {message}"))?;
    let coded = mode != Mode::Belay || message.trim_end().ends_with("[BLY-1001]");
    require(coded, format!("the message does not end with [BLY-1001]: {message}"))
}

/// One JSON line a check on stdout; a failed check does not stop the ones after it.
pub struct Report {
    driver: &'static str,
    failed: usize,
}

impl Report {
    /// A report of this driver without checks.
    pub fn new(driver: &'static str) -> Report {
        Report { driver, failed: 0 }
    }

    /// Runs a check and prints its line.
    pub async fn check(&mut self, name: &str, check: impl Future<Output = Outcome>) {
        let started = Instant::now();
        let outcome = check.await;
        let ok = outcome.is_ok();
        self.failed += usize::from(!ok);
        let (Ok(note) | Err(note)) = outcome;
        let detail = [note, format!("{} ms", started.elapsed().as_millis())];
        let detail = detail.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("; ");
        println!("{}", serde_json::json!({ "driver": self.driver, "check": name, "ok": ok, "detail": detail }));
    }

    /// Failure if any check failed.
    pub fn exit_code(&self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
