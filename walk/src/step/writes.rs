//! Writes that can be given back: a mistake and its undo, a plan that somebody else approves, a conflict.

use crate::Broken;
use crate::checks::Checks;
use crate::person::{Person, Ran};
use crate::world::World;

/// The code of `belay` for rows that are not as they were.
const CONFLICT: i32 = 9;
/// The code for what waits for somebody else.
const PENDING: i32 = 5;
const MISTAKE: &str = "UPDATE orders SET status = 'paid'";
/// As `docs/writes.md` says under "What the control user needs".
const RIGHTS: &str = "
    GRANT INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO belay WITH GRANT OPTION;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO belay WITH GRANT OPTION;
    GRANT TEMPORARY ON DATABASE orders TO belay;
    GRANT pg_read_all_data TO belay;";
const REPLICA: &str = "GRANT SET ON PARAMETER session_replication_role TO belay";
const DELETE: &str = "DELETE FROM orders WHERE id IN (41, 57)";

/// What people do when something has to be changed in production.
pub(super) async fn writes_can_be_given_back(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("Writes that take effect at once, and the way back");
    rules_let_writes_be_asked_for(world).await?;
    a_mistake_is_undone(world, checks).await?;
    checks.chapter("Writes that somebody else sees first");
    let before = world.direct.rows().await?;
    let plan = a_write_is_planned(world, checks).await?;
    it_is_approved_and_applied(world, checks, &plan).await?;
    checks.chapter("A revert, and somebody else's change in its way");
    a_conflict_is_left_alone(world, checks, &plan, &before).await?;
    reads_are_all_again(world).await
}

/// What `--keep` speaks of: carol reads at once, and nothing else.
async fn reads_are_all_again(world: &World) -> Result<(), Broken> {
    let admin = &world.people.admin;
    for person in [&world.people.bob, &world.people.carol] {
        let grants = person.must(&["grants", "--mine", "-o", "json"]).await?.json()?;
        for grant in grants["items"].as_array().into_iter().flatten() {
            admin.must(&["revoke", grant["id"].as_str().unwrap_or_default(), "-y"]).await?;
        }
    }
    admin.must(&["rule", "rm", "u_3", "-y"]).await?;
    let rule = ["rule", "add", "--target", "orders", "--group", "on-call", "--approvals", "0", "--max", "1h"];
    admin.must(&rule).await?;
    Ok(())
}

async fn rules_let_writes_be_asked_for(world: &World) -> Result<(), Broken> {
    let admin = &world.people.admin;
    world.direct.execute(RIGHTS).await?;
    if world.direct.value("SELECT current_setting('server_version_num')::int >= 150000").await? == "t" {
        world.direct.execute(REPLICA).await?;
    }
    for rule in ["u_1", "u_2"] {
        admin.must(&["rule", "rm", rule, "-y"]).await?;
    }
    admin.must(&["rule", "add", "--target", "orders", "--effect", "direct", "--approvals", "1", "--max", "2h"]).await?;
    Ok(())
}

async fn granted(world: &World, person: &Person, effect: &str) -> Result<(), Broken> {
    let ask = ["request", "orders", "public.*", "--effect", effect, "-m", "INC-4881 refund stuck", "-o", "json"];
    let request = person.must(&ask).await?.json()?;
    world.people.alice.must(&["approve", request["id"].as_str().unwrap_or_default()]).await?;
    Ok(())
}

async fn a_mistake_is_undone(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    let bob = &world.people.bob;
    granted(world, bob, "direct").await?;
    let before = world.direct.rows().await?;
    let wrote = bob.psql(&[MISTAKE]).await?;
    let paid = world.direct.value("SELECT count(*) FROM public.orders WHERE status = 'paid'").await?;
    let notice = line(&wrote.err, "NOTICE:");
    checks.expect(
        wrote.code == 0 && paid == "2000" && notice.contains("undo: belay revert c_1"),
        &format!("bob forgets the WHERE, and all {paid} orders are paid: {notice}"),
        &wrote.all(),
    );
    let back = bob.belay(&["revert", "c_1", "-y"]).await?;
    let after = world.direct.rows().await?;
    checks.expect(
        back.code == 0 && before == after,
        &format!("belay revert c_1: {}; every table has the checksum of before", line(&back.err, "gave back")),
        &back.all(),
    );
    Ok(())
}

async fn a_write_is_planned(world: &World, checks: &mut Checks) -> Result<String, Broken> {
    let carol = &world.people.carol;
    granted(world, carol, "write").await?;
    let before = world.direct.rows().await?;
    let typed = carol.psql(&[DELETE]).await?;
    let error = typed.error().trim_start_matches("ERROR:").trim();
    checks.expect(
        error.contains("[BLY-1040]") && world.direct.rows().await? == before,
        &format!("carol's DELETE: {error}; every table as before"),
        &typed.all(),
    );
    let plan = "p_1".to_owned();
    let review = world.people.alice.belay(&["review", &plan]).await?;
    let cascade = line(&review.out, "public.items:");
    checks.expect(
        review.out.contains("- id=41") && review.out.contains("- id=57") && cascade.contains("cascade"),
        &format!("alice reviews it row by row, the cascade too: {cascade}"),
        &review.all(),
    );
    Ok(plan)
}

async fn it_is_approved_and_applied(world: &World, checks: &mut Checks, plan: &str) -> Result<(), Broken> {
    let (alice, carol) = (&world.people.alice, &world.people.carol);
    let early = carol.belay(&["apply", plan]).await?;
    checks.expect(early.code == PENDING, &format!("carol cannot apply it yet: {}", error(&early)), &early.all());
    alice.must(&["approve", plan]).await?;
    let applied = carol.belay(&["apply", plan]).await?;
    let left = "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE id IN (41, 57))) FROM public.orders";
    let left = world.direct.value(left).await?;
    checks.expect(
        applied.code == 0 && left == "1998 0",
        &format!("alice approves, and exactly those rows go: {}", line(&applied.err, "applied")),
        &format!("{left}\n{}", applied.all()),
    );
    Ok(())
}

async fn a_conflict_is_left_alone(
    world: &World,
    checks: &mut Checks,
    plan: &str,
    planned_on: &str,
) -> Result<(), Broken> {
    let (alice, carol) = (&world.people.alice, &world.people.carol);
    let again = "INSERT INTO public.orders (id, customer_id, status) VALUES (41, 7, 'new')";
    world.direct.execute(again).await?;
    let before = world.direct.rows().await?;
    let conflict = carol.belay(&["revert", plan]).await?;
    checks.expect(
        conflict.code == CONFLICT && world.direct.rows().await? == before,
        &format!("another program has made a new order 41: {}", error(&conflict)),
        &conflict.all(),
    );
    let shown = ["before", "left", "now"].map(|word| conflict.out.contains(&format!("\n  {word}")));
    checks.expect(
        shown == [true; 3],
        "it is shown three ways: before, as the change left it, and now",
        &conflict.all(),
    );
    world.direct.execute("DELETE FROM public.orders WHERE id = 41").await?;
    let asked = carol.must(&["revert", plan, "-o", "json"]).await?.json()?;
    let back = asked["id"].as_str().unwrap_or_default().to_owned();
    alice.must(&["approve", &back]).await?;
    let done = carol.belay(&["apply", &back]).await?;
    checks.expect(
        done.code == 0 && world.direct.rows().await? == planned_on,
        &format!("without it the revert is a plan as well, {back}; alice approves, and all is as before the DELETE"),
        &done.all(),
    );
    Ok(())
}

fn error(ran: &Ran) -> &str {
    ran.error().trim_start_matches("error:").trim()
}

/// The first line with this in it.
fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.contains(word)).unwrap_or_default().trim()
}
