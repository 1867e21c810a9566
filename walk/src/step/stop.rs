//! The end of the walk.

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The grant that is left is revoked, and the gateway stops in good order.
pub(crate) async fn gateway_stops(world: &mut World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("The end");
    let live = world.people.admin.must(&["grants", "-o", "json"]).await?.json()?;
    for grant in live["items"].as_array().into_iter().flatten() {
        world.people.admin.must(&["revoke", grant["id"].as_str().unwrap_or_default(), "-y"]).await?;
    }
    let roles = world.direct.until("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'belay\\_%'", "0", PATIENCE);
    let roles = roles.await?;
    let left = world.direct.left_behind().await?;
    checks.expect(roles.is_some(), &format!("when the last grant is revoked, {left} are left in the database"), &left);
    let code = world.gateway.stop();
    checks.expect(code == Some(0), "the gateway stops in good order", &format!("{code:?}\n{}", world.gateway.log()));
    Ok(())
}
