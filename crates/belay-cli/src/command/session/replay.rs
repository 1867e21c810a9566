//! `belay session replay`: a session as it was recorded, at its own pace or step by step.

use super::line;
use super::records::Records;
use crate::command::audit::source::Place;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{AuditEntry, Time};
use std::time::Duration;

/// Nobody waits longer for what comes next, unless they ask for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(super) struct Args {
    /// The session, or a grant for its newest one
    #[arg(add = complete::sessions())]
    session: String,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
struct Pace {
    /// So many times as fast as it happened
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Go on at each press of Enter
    #[arg(long, conflicts_with_all = ["speed", "real"])]
    step: bool,
    /// Pauses as long as they were; else 3 seconds at the most
    #[arg(long)]
    real: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.1..=1_000.0).contains(&speed) { Ok(speed) } else { Err("expected 0.1 to 1000".to_owned()) }
}

pub(super) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    if args.pace.step && !out.may_ask() {
        return Err(Failure::usage("nobody can press Enter here").hint("leave `--step` out"));
    }
    let mut records = Records::of(&args.session, &args.place, out).await?;
    let mut before: Option<AuditEntry> = None;
    // Ends because the ledger does: records only ever come later.
    loop {
        let (entries, has_more) = records.more(out).await?;
        for entry in entries {
            if !args.pace.go_on(before.as_ref(), &entry, out).await {
                return Ok(());
            }
            line::show(&entry, out);
            before = Some(entry);
        }
        if !has_more {
            return Ok(());
        }
    }
}

impl Pace {
    /// Waits for the time or the person; `false` where the person has seen enough.
    async fn go_on(&self, before: Option<&AuditEntry>, next: &AuditEntry, out: &Out) -> bool {
        let Some(before) = before else { return true };
        if self.step {
            return enter().await;
        }
        let gap = between(before.at, next.at);
        let pause = self.pause(gap);
        if out.is_for_people() && gap.div_f64(self.speed) > pause {
            out.say(&format!("... {} later", line::length(gap)));
        }
        tokio::time::sleep(pause).await;
        true
    }

    fn pause(&self, gap: Duration) -> Duration {
        let pause = gap.div_f64(self.speed);
        if self.real { pause } else { pause.min(LONGEST_PAUSE) }
    }
}

fn between(before: Time, next: Time) -> Duration {
    before.timestamp().until(next.timestamp())
}

/// Whether Enter was pressed; `q`, or the end of the input, ends it.
async fn enter() -> bool {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|length| length > 0 && line.trim() != "q")
    });
    matches!(read.await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_speed_and_are_never_long_unless_they_shall() {
        let pace = |speed, real| Pace { speed, step: false, real };
        let minute = Duration::from_mins(1);
        assert_eq!(pace(1.0, false).pause(Duration::from_secs(2)), Duration::from_secs(2));
        assert_eq!(pace(4.0, false).pause(Duration::from_secs(2)), Duration::from_millis(500));
        assert_eq!(pace(1.0, false).pause(minute), LONGEST_PAUSE);
        assert_eq!(pace(2.0, true).pause(minute), Duration::from_secs(30));
        assert!(speed("0").is_err() && speed("x").is_err() && speed("4").is_ok());
    }
}
