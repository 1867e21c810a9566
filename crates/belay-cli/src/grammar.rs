//! The words of the command line. What each command takes stands in its own file.

use crate::command;
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  belay psql orders -m 'INC-4881 refund stuck'      a guarded psql, in one command
  belay request orders public.orders --for 30m -m 'check totals'
  belay approve r_12                                say yes to somebody else's request
  belay revert c_12 --dry-run                       what giving a change back would do
";

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 denied by policy, 4 approval denied, 5 still pending,
6 expired or revoked, 7 not logged in, 8 gateway or target unreachable, 9 conflict,
10 integrity check failed; psql passes its own code on.";

/// Temporary access to production that cannot lose data.
#[derive(Parser)]
#[command(name = "belay", version, before_help = EXAMPLES, after_help = EXIT_CODES)]
#[command(propagate_version = false, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Global {
    /// How data is written to stdout
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Never ask; fail where an answer is needed
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Say yes to every question
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Whether stderr is coloured; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Jsonl,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Log in to a server
    Login(command::login::Args),
    /// Log out, and forget the login
    Logout,
    /// Ask for access
    Request(command::request::Args),
    /// Requests that wait for a decision
    Requests(command::requests::Args),
    /// Grants: list, show, extend, narrow, token
    Grants(command::grants::Args),
    /// Say yes to somebody else's request or plan
    Approve(command::approve::Args),
    /// Say no to somebody else's request or plan
    Deny(command::deny::Args),
    /// Take your own request back
    Withdraw(command::withdraw::Args),
    /// End a grant now, with its sessions
    Revoke(command::revoke::Args),
    /// Try a script, and show what it would change
    Plan(command::plan::Args),
    /// Plans: writes that wait to be approved and applied
    Plans(command::plans::Args),
    /// Look at a plan or a change, row by row; or review access that was taken in an emergency
    Review(command::review::Args),
    /// Apply an approved plan, if exactly its rows change
    Apply(command::apply::Args),
    /// Changes that were committed
    Changes(command::changes::Args),
    /// Give rows back as they were
    Revert(command::revert::Args),
    /// A guarded psql on a target
    Psql(command::psql::Args),
    /// Connection settings for any other client
    Connect(command::connect::Args),
    /// One session: tail, replay
    Session(command::session::Args),
    /// Sessions: list, end
    Sessions(command::sessions::Args),
    /// Targets: add, ls, show, check, arm, disarm, rm
    Target(command::target::Args),
    /// People: add, ls, show, change
    User(command::user::Args),
    /// Masked columns: add, ls, rm, suggest
    Mask(command::mask::Args),
    /// Rules: add, ls, rm
    Rule(command::rule::Args),
    /// Policies: ls, show, check, schema, default, reload
    Policy(command::policy::Args),
    /// What would come of a request, and why
    Can(command::can::Args),
    /// The ledger: tail, verify, search
    Audit(command::audit::Args),
    /// Run the server
    Server(command::server::Args),
    /// Look for what is wrong here and at the server
    Doctor,
    /// What a code such as BLY-1001 means
    Explain(command::explain::Args),
    /// Completions for a shell
    Completion(command::completion::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_starts_with_examples_and_names_every_command() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_help().to_string());
    }

    #[test]
    fn a_mistyped_command_is_met_with_the_nearest() {
        let error = Cli::try_parse_from(["belay", "aprove", "r_1"]).err().unwrap().to_string();
        assert!(error.contains("a similar subcommand exists: 'approve'"), "{error}");
    }

    #[test]
    fn a_length_of_time_without_a_unit_is_refused_with_a_hint() {
        let error =
            Cli::try_parse_from(["belay", "request", "orders", "--for", "30", "-m", "x"]).err().unwrap().to_string();
        assert!(error.contains("`30` has no unit; write `30m` for minutes or `30h` for hours"), "{error}");
    }
}
