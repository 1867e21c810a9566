//! The command line.
//!
//! Decides nothing and keeps nothing but a login: every command but `server`, `explain`, `completion` and the local
//! parts of `doctor` and `audit verify` is a call of the API. stdout is data, stderr is progress and hints.

mod bounds;
mod client;
mod command;
mod complete;
mod diff;
mod failure;
mod grammar;
mod home;
mod kept;
mod native;
mod output;
mod prompt;
mod rows;

use clap::Parser;
use failure::{Exit, Failure};
use grammar::Cli;
use std::process::ExitCode;

/// Reads the arguments, does the command, and says how it went.
pub fn run() -> ExitCode {
    belay_server::tls::install_provider();
    complete::answer_shell();
    let cli = Cli::parse();
    let out = output::Out::new(&cli.global);
    match start(cli, &out) {
        Ok(code) => code,
        Err(failure) => {
            out.failure(&failure);
            failure.exit.into()
        }
    }
}

fn start(cli: Cli, out: &output::Out) -> Result<ExitCode, Failure> {
    let mut builder = match cli.command {
        grammar::Command::Server(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failure, format!("cannot start: {error}")))?;
    runtime.block_on(command::run(cli, out))
}
