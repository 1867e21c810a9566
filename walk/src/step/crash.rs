//! A gateway that dies in the middle of everything.

use crate::Broken;
use crate::checks::Checks;
use crate::person::finish;
use crate::world::World;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename LIKE 'belay\\_%'";
const BACKENDS: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'belay\\_%'";

/// SIGKILL while alice's statement runs, and a new start on what is there.
pub(super) async fn a_killed_gateway_leaves_nothing(world: &mut World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("A crash");
    let words = ["psql", "orders", "--no-wait", "--", "-X", "-c", "SELECT pg_sleep(120)"];
    let child = world.people.alice.start(&words)?;
    if world.direct.until(RUNNING, "1", PATIENCE).await?.is_none() {
        return Err(format!("alice's statement did not begin: {}", finish(child, &words).await?.all()));
    }
    world.gateway.kill()?;
    let ran = finish(child, &words).await?;
    checks.expect(ran.code != 0, "the gateway is killed with SIGKILL while alice's statement runs", &ran.all());
    world.gateway.start_again()?;
    let gone = world.direct.until(BACKENDS, "0", PATIENCE).await?;
    checks.expect(gone.is_some(), "started again, it has ended the back end that was left behind", "still there");
    let count = world.people.alice.psql(&["SELECT count(*) FROM public.orders"]).await?;
    checks.expect(count.out.trim() == "2000", "alice's grant is still good, and reads again", &count.all());
    Ok(())
}
