//! `belay completion`: a script for the shell. Asks no server.

use crate::grammar::Cli;
use crate::output::Out;
use clap::CommandFactory;
use clap_complete::Shell;

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

pub(crate) fn run(args: &Args, out: &Out) {
    // Into memory first: the generator panics where its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "belay", &mut script);
    out.data(&String::from_utf8_lossy(&script));
}
