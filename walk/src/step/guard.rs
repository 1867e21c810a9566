//! What passes and what does not, in alice's native psql.

use crate::Broken;
use crate::attacks::ATTACKS;
use crate::checks::Checks;
use crate::world::World;

const COUNTS: &str = "SELECT status, count(*), sum(total) FROM public.orders GROUP BY status ORDER BY status";
const UPDATE: &str = "UPDATE public.orders SET status = 'paid' WHERE id = 7";

/// A session as people have it: a read, and the catalog queries of psql.
pub(super) async fn reads_pass(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("Reads, in alice's own psql");
    let alice = &world.people.alice;
    let counts = alice.psql(&[COUNTS]).await?;
    let sql = format!("SELECT string_agg(concat_ws('|', s, n, t), E'\\n') FROM ({COUNTS}) AS c(s, n, t)");
    let truth = world.direct.value(&sql).await?;
    checks.expect(
        counts.code == 0 && !truth.is_empty() && counts.out.trim() == truth,
        "a query over all orders gives what the direct connection gives",
        &format!("{}\ndirectly:\n{truth}", counts.all()),
    );
    let rows = alice.psql(&["COPY (SELECT * FROM public.items) TO STDOUT"]).await?;
    let lines = rows.out.lines().count();
    checks.expect(rows.code == 0 && lines == 5000, &format!("COPY ... TO STDOUT brings all {lines} items"), &rows.err);
    let tables = alice.psql(&["\\d public.orders", "\\dt public.*"]).await?;
    let seen = tables.out.contains("customer_id") && tables.out.contains("|customers|");
    checks.expect(tables.code == 0 && seen, "\\d and \\dt work", &tables.all());
    Ok(())
}

/// A write alone, and a write inside a transaction.
pub(super) async fn writes_are_refused(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("Writes, refused, and every table as before");
    let alice = &world.people.alice;
    let before = world.direct.digest().await?;
    let alone = alice.psql(&[UPDATE, "SELECT 'still here'"]).await?;
    let after = world.direct.digest().await?;
    checks.expect(
        alone.errors() == 1
            && alone.error().contains("25006")
            && alone.error().ends_with("[BLY-1001]")
            && before == after,
        &format!("UPDATE: {}", without_label(alone.error())),
        &alone.all(),
    );
    checks.expect(alone.out.trim() == "still here", "the session stays usable after it", &alone.all());
    let inside = alice.psql(&["BEGIN", "SELECT 1", UPDATE, "SELECT 2", "COMMIT"]).await?;
    let after = world.direct.digest().await?;
    let tags: Vec<&str> = inside.out.split_whitespace().collect();
    checks.expect(
        tags == ["BEGIN", "1", "ROLLBACK"] && inside.err.contains("25P02") && before == after,
        "inside a transaction it fails the transaction: the next read gets 25P02, and COMMIT answers ROLLBACK",
        &inside.all(),
    );
    Ok(())
}

/// The ways around a read-only session that are known.
pub(super) async fn attacks_fail(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("Ways around it, refused, and every table as before");
    let before = world.direct.digest().await?;
    for attack in ATTACKS {
        let ran = world.people.alice.psql(attack.sql).await?;
        let refused = ran.errors() == attack.sql.len() && ran.err.contains(attack.code);
        let nothing_out = ran.out.lines().all(|line| line == "1");
        let after = world.direct.digest().await?;
        checks.expect(
            refused && nothing_out && before == after,
            &format!("{}: {}", attack.what, without_label(ran.error())),
            &ran.all(),
        );
    }
    Ok(())
}

fn without_label(error: &str) -> &str {
    error.trim_start_matches("ERROR:").trim()
}
