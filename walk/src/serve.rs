//! PostgreSQL and a gateway, for another program that asks for its grants with `belay`.

use crate::Broken;
use crate::person::Person;
use crate::step::server::add_guarded_target;
use crate::world::World;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use testkit::Postgres;
use tokio::process::Command;

/// Starts both with this sample, and runs the command as somebody who is logged in and may read the target `orders`.
pub(crate) async fn serve(sample: &Path, command: &[String]) -> Result<ExitCode, Broken> {
    let sql = std::fs::read_to_string(sample).map_err(|error| format!("`{}`: {error}", sample.display()))?;
    let postgres = Postgres::start();
    postgres.execute("postgres", "CREATE DATABASE orders").await;
    postgres.execute("orders", &sql).await;
    let world = World::around(postgres).await?;
    add_guarded_target(&world).await?;
    let admin = &world.people.admin;
    admin.must(&["rule", "add", "--target", "orders", "--approvals", "0", "--max", "8h"]).await?;
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env("PATH", with_belay_first(admin)?).env("BELAY_HOME", &admin.home).kill_on_drop(true);
    let status = child.status().await.map_err(|error| format!("`{}`: {error}", command[0]))?;
    if !status.success() {
        let log = world.gateway.log();
        eprintln!("the gateway's last words:");
        log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().for_each(|line| eprintln!("  {line}"));
    }
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

fn with_belay_first(person: &Person) -> Result<OsString, Broken> {
    let folder = person.belay.parent().map(Path::to_owned);
    let folders = folder.into_iter().chain(std::env::split_paths(&person.path));
    std::env::join_paths(folders).map_err(|error| format!("PATH: {error}"))
}
