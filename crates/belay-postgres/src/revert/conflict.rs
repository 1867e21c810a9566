//! What was left, locked and compared with what is there now.

use super::catalog::Restored;
use super::load;
use super::sql::{self, image};
use super::{Conflict, ConflictCount, ConflictKind, Conflicts, RevertError};
use tokio_postgres::Client;

/// Conflicts as they are found.
pub(super) struct Found {
    samples: u32,
    conflicts: Conflicts,
}

/// What is shown of a conflict, in SQL.
pub(super) struct Shown<'s> {
    pub(super) before: &'s str,
    pub(super) left: &'s str,
    pub(super) now: &'s str,
    /// The values of its key.
    pub(super) key: Vec<String>,
}

impl Found {
    pub(super) fn new(samples: u32) -> Found {
        Found { samples, conflicts: Conflicts::default() }
    }

    pub(super) fn into_conflicts(self) -> Conflicts {
        self.conflicts
    }

    /// Counts what `from` gives, and keeps some of it. `shown` are the row before, as it was left, and now.
    pub(super) async fn look(
        &mut self,
        in_target: &Client,
        table: &str,
        kind: ConflictKind,
        from: &str,
        shown: &Shown<'_>,
    ) -> Result<u64, RevertError> {
        let rows = sql::number(in_target, &format!("SELECT pg_catalog.count(*) {from}")).await?;
        if rows == 0 {
            return Ok(0);
        }
        match self.conflicts.counts.iter_mut().find(|count| count.table == table && count.kind == kind) {
            Some(count) => count.rows += rows,
            None => self.conflicts.counts.push(ConflictCount { table: table.to_owned(), kind, rows }),
        }
        let Shown { before, left, now, key } = shown;
        let mut columns = vec![(*before).to_owned(), (*left).to_owned(), (*now).to_owned()];
        columns.extend(key.iter().map(|value| format!("pg_catalog.format('%s', {value})")));
        let some = format!("SELECT {} {from} LIMIT {}", columns.join(", "), self.samples);
        for row in sql::rows(in_target, &some).await? {
            let at = |at: usize| row.get(at).map(str::to_owned);
            let (table, key) = (table.to_owned(), (3..row.len()).filter_map(at).collect());
            self.conflicts.samples.push(Conflict { table, kind, key, before: at(0), left: at(1), now: at(2) });
        }
        Ok(rows)
    }
}

/// Locks the rows that were left.
pub(super) async fn lock(in_target: &Client, restored: &mut [Restored]) -> Result<(), RevertError> {
    for table in restored.iter() {
        in_target.batch_execute(&hits(table)).await?;
    }
    load::count(in_target, restored).await
}

/// Finds locked rows that are changed or gone, and keys that are in use again.
pub(super) async fn find(in_target: &Client, restored: &[Restored], found: &mut Found) -> Result<(), RevertError> {
    for table in restored {
        let (old, new, hit, pairs) = (table.old_images(), table.new_images(), table.hits(), table.pairs_table());
        let shown = table.shown();
        let gone = format!(
            "FROM {new} belay_w LEFT JOIN {pairs} p ON p.w = belay_w.n LEFT JOIN {old} belay_o ON belay_o.n = p.o
            WHERE NOT EXISTS (SELECT FROM {hit} h WHERE h.n = belay_w.n)"
        );
        let now = image("belay_t.*");
        let of = |key: &str| table.key_of(key);
        let row = Shown { before: "belay_o.img", left: "belay_w.img", now: "NULL", key: of("belay_w") };
        if table.hits.0 < table.new {
            found.look(in_target, &shown, ConflictKind::Gone, &gone, &row).await?;
        }
        if table.key.is_empty() {
            continue;
        }
        let changed = format!(
            "FROM {hit} h JOIN {new} belay_w ON belay_w.n = h.n JOIN ONLY {} belay_t ON belay_t.ctid = h.c
                LEFT JOIN {pairs} p ON p.w = belay_w.n LEFT JOIN {old} belay_o ON belay_o.n = p.o
            WHERE NOT h.same",
            table.sql
        );
        let row = Shown { now: &now, ..row };
        if table.hits.1 < table.hits.0 {
            found.look(in_target, &shown, ConflictKind::Changed, &changed, &row).await?;
        }
        let taken = taken(table);
        let row = Shown { before: "belay_o.img", left: "NULL", now: &now, key: of("belay_o") };
        if table.pairs < table.old {
            found.look(in_target, &shown, ConflictKind::Taken, &taken, &row).await?;
        }
    }
    Ok(())
}

/// Takes out rows that are as they were before already, and says whether there are any. A row that the change made and
/// that is gone is one of them only where all that the change removed is back: else it may be the same row under
/// another key. Rows without a key cannot be told apart.
pub(super) async fn leave_out_restored(in_target: &Client, restored: &mut [Restored]) -> Result<bool, RevertError> {
    let mut any = false;
    for table in restored.iter() {
        if table.key.is_empty() {
            continue;
        }
        let (old, hit, pairs) = (table.old_images(), table.hits(), table.pairs_table());
        let now = image("belay_t.*");
        let back = format!("{} AND {now} COLLATE \"C\" = belay_o.img", taken(table));
        let new = format!(
            "SELECT h.n FROM {hit} h JOIN {pairs} p ON p.w = h.n JOIN {old} belay_o ON belay_o.n = p.o
                JOIN ONLY {} belay_t ON belay_t.ctid = h.c WHERE NOT h.same AND {now} COLLATE \"C\" = belay_o.img
            UNION ALL SELECT belay_w.n FROM {} belay_w
                WHERE NOT EXISTS (SELECT FROM {hit} h WHERE h.n = belay_w.n)
                AND NOT EXISTS (SELECT FROM {pairs} p WHERE p.w = belay_w.n)
                AND NOT EXISTS (SELECT FROM {old} o WHERE NOT EXISTS (SELECT FROM {pairs} p WHERE p.o = o.n)
                    AND o.n NOT IN (SELECT belay_o.n {back}))",
            table.sql,
            table.new_images(),
        );
        any |= take_out(in_target, table, &new, &format!("SELECT belay_o.n {back}")).await?;
    }
    if any {
        load::count(in_target, restored).await?;
    }
    Ok(any)
}

/// Which rows are what was left. After a wait for somebody else's lock the row is looked at as it is then.
fn hits(table: &Restored) -> String {
    let (new, hit) = (table.new_images(), table.hits());
    if !table.key.is_empty() {
        return format!(
            "CREATE TEMP TABLE {hit} ON COMMIT DROP AS
                SELECT belay_x.n, belay_t.ctid AS c, {} COLLATE \"C\" = belay_x.img AS same
                FROM {new} belay_x JOIN ONLY {} belay_t ON {} FOR UPDATE OF belay_t;
            ANALYZE {hit}",
            image("belay_t.*"),
            table.sql,
            table.row_is("belay_t", "belay_x"),
        );
    }
    format!(
        "CREATE TEMP TABLE {hit} ON COMMIT DROP AS
            WITH now AS (SELECT belay_t.ctid AS c, {} COLLATE \"C\" AS img FROM ONLY {} belay_t),
            numbered AS (SELECT c, img, pg_catalog.row_number() OVER (PARTITION BY img) AS nth
                FROM now WHERE img IN (SELECT img FROM {new})),
            wanted AS (SELECT n, img, pg_catalog.row_number() OVER (PARTITION BY img) AS nth FROM {new})
            SELECT wanted.n, numbered.c, true AS same FROM wanted JOIN numbered USING (img, nth);
        ANALYZE {hit}",
        image("belay_t.*"),
        table.sql,
    )
}

/// Rows that the change deleted, and whose key is there.
fn taken(table: &Restored) -> String {
    format!(
        "FROM {} belay_o JOIN ONLY {} belay_t ON {} WHERE NOT EXISTS (SELECT FROM {} p WHERE p.o = belay_o.n)",
        table.old_images(),
        table.sql,
        table.row_is("belay_t", "belay_o"),
        table.pairs_table()
    )
}

/// Takes out what [`find`] found.
pub(super) async fn leave_out(in_target: &Client, restored: &[Restored]) -> Result<(), RevertError> {
    for table in restored {
        let new = format!(
            "SELECT n FROM {} belay_w WHERE NOT EXISTS (SELECT FROM {} h WHERE h.n = belay_w.n AND h.same)",
            table.new_images(),
            table.hits()
        );
        let old = if table.key.is_empty() {
            "SELECT NULL::int8 WHERE false".to_owned()
        } else {
            format!("SELECT belay_o.n {}", taken(table))
        };
        take_out(in_target, table, &new, &old).await?;
    }
    Ok(())
}

/// Takes images out by their numbers, and with each the other image of the same row. Rows without a key cannot be told
/// apart, so that all of a table stay as they are where one of them does. Says whether there were any.
pub(super) async fn take_out(in_target: &Client, table: &Restored, new: &str, old: &str) -> Result<bool, RevertError> {
    let (old_images, new_images, pairs) = (table.old_images(), table.new_images(), table.pairs_table());
    let out = if table.key.is_empty() {
        format!(
            "SELECT n AS w, NULL::int8 AS o FROM {new_images} WHERE EXISTS ({new}) OR EXISTS ({old})
            UNION ALL SELECT NULL, n FROM {old_images} WHERE EXISTS ({new}) OR EXISTS ({old})"
        )
    } else {
        format!(
            "SELECT s.w, p.o FROM ({new}) s (w) LEFT JOIN {pairs} p ON p.w = s.w
            UNION ALL SELECT p.w, s.o FROM ({old}) s (o) LEFT JOIN {pairs} p ON p.o = s.o"
        )
    };
    in_target.batch_execute(&format!("CREATE TEMP TABLE belay_out ON COMMIT DROP AS {out}")).await?;
    let any = sql::number(in_target, "SELECT pg_catalog.count(*) FROM pg_temp.belay_out").await? > 0;
    let all = format!(
        "DELETE FROM {old_images} x USING pg_temp.belay_out u WHERE x.n = u.o;
        DELETE FROM {new_images} x USING pg_temp.belay_out u WHERE x.n = u.w;
        DELETE FROM {} x USING pg_temp.belay_out u WHERE x.n = u.w;
        DELETE FROM {pairs} x USING pg_temp.belay_out u WHERE x.w = u.w",
        table.hits()
    );
    if any {
        in_target.batch_execute(&all).await?;
    }
    in_target.batch_execute("DROP TABLE pg_temp.belay_out").await?;
    Ok(any)
}
