//! The commands, one file each.

pub(crate) mod apply;
pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod can;
pub(crate) mod changes;
pub(crate) mod completion;
pub(crate) mod connect;
pub(crate) mod deny;
pub(crate) mod doctor;
pub(crate) mod every_row;
pub(crate) mod explain;
pub(crate) mod grants;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod mask;
pub(crate) mod plan;
pub(crate) mod plans;
pub(crate) mod policy;
pub(crate) mod psql;
pub(crate) mod request;
pub(crate) mod requests;
pub(crate) mod revert;
pub(crate) mod review;
pub(crate) mod revoke;
pub(crate) mod rule;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod target;
pub(crate) mod user;
pub(crate) mod withdraw;

use crate::failure::Failure;
use crate::grammar::{Cli, Command};
use crate::output::Out;
use std::process::ExitCode;

/// Does the command.
pub(crate) async fn run(cli: Cli, out: &Out) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Login(args) => login::run(&args, out).await?,
        Command::Logout => logout::run(out).await?,
        Command::Request(args) => return request::run(&args, out).await,
        Command::Requests(args) => requests::run(&args, out).await?,
        Command::Grants(args) => grants::run(args, out).await?,
        Command::Approve(args) => approve::run(&args, out).await?,
        Command::Deny(args) => deny::run(&args, out).await?,
        Command::Withdraw(args) => withdraw::run(&args, out).await?,
        Command::Revoke(args) => revoke::run(&args, out).await?,
        Command::Plan(args) => return plan::run(&args, out).await,
        Command::Plans(args) => plans::run(&args, out).await?,
        Command::Review(args) => return review::run(&args, out).await,
        Command::Apply(args) => return apply::run(&args, out).await,
        Command::Changes(args) => changes::run(&args, out).await?,
        Command::Revert(args) => return revert::run(&args, out).await,
        Command::Psql(args) => return psql::run(&args, out).await,
        Command::Connect(args) => connect::run(&args, out).await?,
        Command::Session(args) => session::run(args, out).await?,
        Command::Sessions(args) => sessions::run(args, out).await?,
        Command::Target(args) => target::run(args, out).await?,
        Command::User(args) => user::run(args, out).await?,
        Command::Mask(args) => mask::run(args, out).await?,
        Command::Can(args) => return can::run(args, out).await,
        Command::Policy(args) => policy::run(args, out).await?,
        Command::Rule(args) => rule::run(args, out).await?,
        Command::Audit(args) => return audit::run(args, out).await,
        Command::Server(args) => server::run(&args, out).await?,
        Command::Doctor => return Ok(doctor::run(out).await),
        Command::Explain(args) => explain::run(&args, out),
        Command::Completion(args) => completion::run(&args, out)?,
    }
    Ok(ExitCode::SUCCESS)
}
