//! From a request to a grant.

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;

/// Alice asks, cannot say yes to herself, and bob does.
pub(super) async fn access_is_asked_and_granted(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("Access");
    let people = &world.people;
    let before = people.alice.psql(&["SELECT 1"]).await?;
    checks.expect(before.code != 0 && before.out.is_empty(), "without a grant alice gets no prompt", &before.all());

    let words = ["request", "orders", "public.*", "--for", "30m", "-m", "INC-4881 refund stuck", "-o", "json"];
    let request = people.alice.belay(&words).await?.json()?;
    let id = request["id"].as_str().unwrap_or_default().to_owned();
    checks.expect(
        request["state"] == "pending",
        &format!("alice asks to read public.* of orders for 30m, and says why: {id} waits"),
        &request.to_string(),
    );
    let own = people.alice.belay(&["approve", &id]).await?;
    checks.expect(
        own.code == 3,
        &format!("alice, though an approver, cannot approve it herself: {}", own.error().trim_start_matches("error: ")),
        &own.all(),
    );
    let roles = world.direct.left_behind().await?;
    checks.expect(roles == "0 back ends, 0 roles", "no role was made in the database for it yet", &roles);

    let yes = people.bob.belay(&["approve", &id]).await?;
    let grants = people.alice.must(&["grants", "--mine", "-o", "jsonl"]).await?;
    checks.expect(
        yes.code == 0 && grants.out.lines().count() == 1,
        "bob approves, and alice has a grant with an absolute end",
        &format!("{}\n{}", yes.all(), grants.all()),
    );
    Ok(())
}
