//! PostgreSQL and a gateway with a read grant, for another program that finds them in `PG*`.

use crate::Broken;
use crate::step::server::add_guarded_target;
use crate::world::World;
use std::path::Path;
use std::process::ExitCode;
use testkit::Postgres;
use tokio::process::Command;

/// Starts both with this sample, and runs the command with a grant on everything in `public`.
pub(crate) async fn serve(sample: &Path, command: &[String]) -> Result<ExitCode, Broken> {
    let sql = std::fs::read_to_string(sample).map_err(|error| format!("`{}`: {error}", sample.display()))?;
    let postgres = Postgres::start();
    postgres.execute("postgres", "CREATE DATABASE orders").await;
    postgres.execute("orders", &sql).await;
    let world = World::around(postgres).await?;
    add_guarded_target(&world).await?;
    let admin = &world.people.admin;
    admin.must(&["rule", "add", "--target", "orders", "--approvals", "0", "--max", "8h"]).await?;
    let words = [
        "connect",
        "orders",
        "--resource",
        "public.*",
        "--for",
        "2h",
        "-m",
        "driver matrix",
        "--show-token",
        "-o",
        "json",
    ];
    let settings = admin.must(&words).await?.json()?;
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env("PATH", &admin.path).kill_on_drop(true);
    for (name, key) in [
        ("PGHOST", "host"),
        ("PGPORT", "port"),
        ("PGUSER", "user"),
        ("PGDATABASE", "dbname"),
        ("PGPASSWORD", "password"),
        ("PGSSLMODE", "sslmode"),
        ("PGSSLROOTCERT", "sslrootcert"),
    ] {
        let value = &settings[key];
        child.env(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let status = child.status().await.map_err(|error| format!("`{}`: {error}", command[0]))?;
    if !status.success() {
        let log = world.gateway.log();
        eprintln!("the gateway's last words:");
        log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().for_each(|line| eprintln!("  {line}"));
    }
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
