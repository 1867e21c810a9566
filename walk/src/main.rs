//! The walk of `./demo`: the main job, on a real PostgreSQL, with the real `belay` and the real `psql`.
//!
//! Does not use any code of the gateway: it does what people do, and looks at the outcome over a second, direct
//! connection. `--keep` leaves the servers up; `--serve` starts them for another program, such as the driver matrix.

mod attacks;
mod checks;
mod direct;
mod gateway;
mod keep;
mod people;
mod person;
mod serve;
mod step;
mod world;

use checks::Checks;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use world::World;

/// What stops the walk; one line for people.
type Broken = String;

const USAGE: &str = "usage: belay-walk [--keep] | belay-walk --serve SAMPLE.sql -- COMMAND [ARGUMENT]...";

/// What is to be done.
enum Wish {
    Walk { keep: bool },
    Serve { sample: PathBuf, command: Vec<String> },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(wish) = wish(&std::env::args().skip(1).collect::<Vec<_>>()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(wish).await {
        Ok(code) => code,
        Err(broken) => {
            eprintln!("stopped: {broken}");
            ExitCode::FAILURE
        }
    }
}

fn wish(arguments: &[String]) -> Option<Wish> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Some(Wish::Walk { keep: false }),
        ["--keep"] => Some(Wish::Walk { keep: true }),
        ["--serve", sample, "--", _, ..] => {
            Some(Wish::Serve { sample: PathBuf::from(sample), command: arguments[3..].to_vec() })
        }
        _ => None,
    }
}

async fn run(wish: Wish) -> Result<ExitCode, Broken> {
    match wish {
        Wish::Serve { sample, command } => unless_interrupted(serve::serve(&sample, &command)).await,
        Wish::Walk { keep } => walk(keep).await,
    }
}

async fn walk(keep: bool) -> Result<ExitCode, Broken> {
    let mut checks = Checks::default();
    let mut world = unless_interrupted(async {
        let mut world = World::start(&mut checks).await?;
        step::walk(&mut world, &mut checks).await?;
        Ok(world)
    })
    .await?;
    if keep {
        keep::keep(&world, &checks).await?;
    }
    unless_interrupted(step::stop::gateway_stops(&mut world, &mut checks)).await?;
    Ok(checks.close())
}

/// Whichever ends first, what was started is stopped by its owner's Drop.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    let signals = |error: std::io::Error| format!("signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    tokio::select! {
        ended = work => ended,
        _ = interrupt.recv() => Err("interrupted".to_owned()),
        _ = terminate.recv() => Err("terminated".to_owned()),
    }
}
