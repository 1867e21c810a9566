//! `belay completion`: a script for the shell, which asks `belay` itself for what fits.

use crate::complete::VARIABLE;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use clap_complete::Shell;
use clap_complete::env::Shells;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay completion bash > ~/.local/share/bash-completion/completions/belay
  belay completion zsh > ~/.zfunc/_belay
  belay completion fish > ~/.config/fish/completions/belay.fish
")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let mut script = Vec::new();
    let name = args.shell.to_string();
    // Into memory first: what goes wrong there is nobody's but ours.
    let written = Shells::builtins()
        .completer(&name)
        .map(|shell| shell.write_registration(VARIABLE, "belay", "belay", "belay", &mut script));
    match written {
        Some(Ok(())) => out.data(&String::from_utf8_lossy(&script)),
        _ => return Err(Failure::new(Exit::Failure, format!("no script can be made for {name}"))),
    }
    Ok(())
}
