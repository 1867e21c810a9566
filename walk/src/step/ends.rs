//! The end of a grant, while a statement runs.

use crate::Broken;
use crate::checks::Checks;
use crate::direct::roles_like;
use crate::person::{Ran, finish};
use crate::world::World;
use std::time::Duration;
use tokio::process::Child;

const PATIENCE: Duration = Duration::from_secs(30);
const SLEEP: &str = "SELECT pg_sleep(60)";

/// Carol's grant of ten seconds ends while her statement runs.
pub(super) async fn expiry_ends_a_running_statement(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("The end of a grant");
    let carol = &world.people.carol;
    let asked = carol.must(&["request", "orders", "public.orders", "--for", "10s", "-m", "a short look", "-o", "json"]);
    let (grant, child) = run_long(world, &asked.await?).await?;
    checks.expect(true, "carol, on call, is granted 10s at once by the rule; her psql runs pg_sleep(60)", "");
    let role = world.direct.role_of(&grant).await?;
    let show = carol.must(&["grants", "show", &grant, "-o", "json"]).await?.json()?;
    let end = show["ends_at"].as_str().unwrap_or_default().to_owned();
    let late = gone(world, &role, &end).await?;
    checks.expect(
        late.is_some_and(|late| late < 1_000),
        &format!("at the grant's end its statement was cancelled: no back end {} ms after it", shown(late)),
        &format!("{late:?}"),
    );
    let ran = finish(child, &["psql"]).await?;
    checks.expect(
        ran.code != 0 && ran.err.contains("57P01") && ran.err.contains("BLY-1030"),
        &format!("her psql was told: {}", told(&ran)),
        &ran.all(),
    );
    role_is_dropped(world, checks, &role).await
}

/// Bob ends carol's next grant while her statement runs.
pub(super) async fn revocation_ends_a_running_statement(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    let people = &world.people;
    let asked = people.carol.must(&["request", "orders", "--for", "10m", "-m", "a longer look", "-o", "json"]).await?;
    let (grant, child) = run_long(world, &asked).await?;
    let role = world.direct.role_of(&grant).await?;
    let revoking = people.admin.start(&["revoke", &grant, "-y"])?;
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    world.direct.until(&sql, "0", PATIENCE).await?;
    let at = world.direct.value("SELECT clock_timestamp()").await?;
    let revoked = finish(revoking, &["revoke"]).await?;
    let show = people.carol.must(&["grants", "show", &grant, "-o", "json"]).await?.json()?;
    let end = show["ended_at"].as_str().unwrap_or_default().to_owned();
    let late = since(world, &at, &end).await?;
    checks.expect(
        revoked.code == 0 && late.is_some_and(|late| late < 1_000),
        &format!("{grant} is revoked while its statement runs: no back end {} ms after it", shown(late)),
        &format!("{late:?}\n{}", revoked.all()),
    );
    let ran = finish(child, &["psql"]).await?;
    checks.expect(
        ran.code != 0 && ran.err.contains("57P01") && ran.err.contains("BLY-1031"),
        &format!("her psql was told: {}", told(&ran)),
        &ran.all(),
    );
    role_is_dropped(world, checks, &role).await?;
    let again = people.carol.psql(&["SELECT 1"]).await?;
    checks.expect(
        again.code != 0 && again.out.is_empty(),
        "and she gets no new prompt without a new grant",
        &again.all(),
    );
    Ok(())
}

/// Starts a long statement on the grant of a request that was granted at once, and waits until it runs.
async fn run_long(world: &World, asked: &Ran) -> Result<(String, Child), Broken> {
    let request = asked.json()?;
    let grant = request["grant"]["id"].as_str().ok_or_else(|| format!("not granted: {}", asked.all()))?.to_owned();
    let words = ["psql", "orders", "--no-wait", "--", "-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-c", SLEEP];
    let child = world.people.carol.start(&words)?;
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%' AND usename LIKE '{}'",
        roles_like(&grant)
    );
    match world.direct.until(&running, "1", PATIENCE).await? {
        Some(_) => Ok((grant, child)),
        None => Err(format!("the statement on {grant} did not begin: {}", finish(child, &["psql"]).await?.all())),
    }
}

/// How many milliseconds after `end` the last back end of the role was gone, by the database's clock.
async fn gone(world: &World, role: &str, end: &str) -> Result<Option<i64>, Broken> {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    if world.direct.until(&sql, "0", PATIENCE).await?.is_none() {
        return Ok(None);
    }
    let at = world.direct.value("SELECT clock_timestamp()").await?;
    since(world, &at, end).await
}

/// Milliseconds between two times.
async fn since(world: &World, at: &str, end: &str) -> Result<Option<i64>, Broken> {
    let sql = format!("SELECT (extract(epoch FROM timestamptz '{at}' - timestamptz '{end}') * 1000)::bigint");
    Ok(world.direct.value(&sql).await?.parse().ok())
}

async fn role_is_dropped(world: &World, checks: &mut Checks, role: &str) -> Result<(), Broken> {
    let sql = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'");
    let dropped = world.direct.until(&sql, "0", PATIENCE).await?;
    checks.expect(dropped.is_some(), &format!("its role {role} is gone from the database"), "the role is still there");
    Ok(())
}

fn shown(late: Option<i64>) -> String {
    late.map_or_else(|| "?".to_owned(), |late| late.to_string())
}

fn told(ran: &Ran) -> &str {
    let line = ran.err.lines().find(|line| line.contains("57P01"));
    line.unwrap_or_default().trim_start_matches("FATAL:").trim()
}
