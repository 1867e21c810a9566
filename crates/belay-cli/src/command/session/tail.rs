//! `belay session tail`: what happens in a session, as it happens.

use super::line;
use super::records::Records;
use crate::command::audit::source::Place;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use std::time::Duration;

/// How often it is asked for more.
const PAUSE: Duration = Duration::from_millis(500);
/// How many times more after the end: what was under way is recorded behind it.
const AFTER_END: u32 = 4;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The session, or a grant for its newest one
    #[arg(add = complete::sessions())]
    session: String,
}

/// Shows what was there before, and follows until the session ends.
pub(super) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let mut records = Records::of(&args.session, &Place::default(), out).await?;
    let mut left = AFTER_END;
    // Otherwise it ends with the person's Ctrl-C or with the server.
    while left > 0 {
        let (entries, has_more) = records.more(out).await?;
        for entry in &entries {
            line::show(entry, out);
        }
        if left < AFTER_END || entries.iter().any(|entry| entry.event == "session_ended") {
            left -= 1;
        }
        if !has_more {
            tokio::time::sleep(PAUSE).await;
        }
    }
    out.next(&format!("belay session replay {}", args.session));
    Ok(())
}
