//! The images that the trigger of an armed table has written down as its rows changed, for tables that are too large to
//! be scanned.
//!
//! They are rows of a table of Belay's in the target, which only functions of the control user's read and write. Nothing
//! of them is ever committed: they are removed before the transaction ends. They are believed only as far as the
//! target's own counts agree with them, as those are that were found by key.

mod script;

pub(crate) use script::{FUNCTIONS, SCHEMA, SETTING, SOUND, TRIGGER, WHEN, fingerprint, script};

use super::describe::{Described, list};
use super::judge::{Judged, Written, irreversible};
use super::witness::Relation;
use super::{Ask, CLOSE, CaptureError, Row, Transaction};
use aws_lc_rs::digest;
use belay_change::{Generated, Side};
use script::IMAGES;
use std::collections::HashSet;

const UNEXPECTED: CaptureError = CaptureError::Unexpected("the images of an armed table");
/// Armed tables that are looked at.
const MOST: usize = 10_000;

/// Whether the relation is where triggers write images down.
pub(super) fn is_images(relation: &Relation) -> bool {
    relation.schema == SCHEMA && relation.name == IMAGES && relation.kind == 'r'
}

/// What was written there: how many events, and nothing beside.
pub(super) fn noted(relation: &Relation, [inserted, updated, deleted]: [i64; 3]) -> Result<Option<i64>, CaptureError> {
    if (updated, deleted) != (0, 0) || relation.has("AccessExclusiveLock") {
        return Err(irreversible("the row images of armed tables were tampered with", "leave them to Belay"));
    }
    Ok((inserted > 0).then_some(inserted))
}

/// The way out for a table that cannot be scanned; `armed` if its trigger acts.
pub(super) fn advised(error: CaptureError, about: &Described, armed: bool) -> CaptureError {
    let name = format!("{}.{}", about.table.schema, about.table.name);
    match error {
        CaptureError::TooMuch(what) if armed => CaptureError::TooLarge {
            what: format!("{what}; and what the trigger of {name} has written down is not all"),
            instead: format!("leave the setting {} of the session as it is, or change rows by their key", SETTING.0),
        },
        CaptureError::TooMuch(what) => CaptureError::TooLarge {
            what,
            instead: format!(
                "change rows by their key; or belay target arm TARGET {name}, by an administrator: a trigger then writes \
                 such changes down as they are made"
            ),
        },
        other => other,
    }
}

/// Removes the images of the transaction, and keeps triggers from writing more. What [`CLOSE`] ends is begun anew.
pub(super) async fn clear(writer: &mut dyn Ask) -> Result<(), CaptureError> {
    let sql = format!("{CLOSE}; SELECT {SCHEMA}.clear(); SET LOCAL {} = 'off'; SAVEPOINT belay_capture", SETTING.0);
    writer.ask(&sql).await.map(|_| ())
}

/// What is known of the armed tables among those that were written.
pub(super) struct Armed {
    /// What the images may be read with; none where what Belay has made in the target is not as it was made.
    secret: Option<String>,
    tables: HashSet<u32>,
    /// Every event of these tables was written down, those that a savepoint took back included.
    whole: bool,
}

impl Armed {
    /// Asks the outsider, whose settings are pinned. Nothing where no trigger has written anything.
    pub(super) async fn look(
        writer: &mut dyn Ask,
        outsider: &mut dyn Ask,
        judged: &Judged,
        transaction: &Transaction,
    ) -> Result<Option<Armed>, CaptureError> {
        let Some(events) = judged.noted else { return Ok(None) };
        let mut armed = Armed { secret: None, tables: HashSet::new(), whole: false };
        let sql = format!("{}; {}", secret(), tables(&format!("a.relation = ANY ({})", array(&judged.oids()))));
        for row in outsider.ask(&sql).await? {
            match row.as_slice() {
                [Some(secret), None] => armed.secret = Some(secret.clone()),
                [None, Some(oid)] => drop(armed.tables.insert(oid.parse().map_err(|_| UNEXPECTED)?)),
                _ => return Err(UNEXPECTED),
            }
        }
        let of_armed = judged.written.iter().filter(|written| armed.tables.contains(&written.oid));
        let mut counted: i64 = of_armed.map(Written::events).sum();
        // Emptying a table takes what was counted in it before out of the counts, but not its images.
        let emptied = !transaction.taken.emptied().is_empty();
        if counted < events && !emptied {
            counted += taken_back(writer, outsider, judged, transaction).await?;
        }
        armed.whole = counted == events && !emptied;
        Ok(Some(armed))
    }

    /// Whether the trigger of the table is as it was made.
    pub(super) fn has(&self, about: &Described) -> bool {
        self.secret.is_some() && self.tables.contains(&about.table.oid)
    }

    /// Whether the images of the table are proven to be all. Then they can be [`read`].
    pub(super) async fn open(
        &self,
        writer: &mut dyn Ask,
        judged: &Judged,
        written: &Written,
        about: &Described,
    ) -> Result<bool, CaptureError> {
        // The values of virtual columns are not in what triggers are given.
        let computed = about.table.columns.iter().any(|column| column.generated == Generated::Virtual);
        let (Some(secret), false) = (&self.secret, computed) else { return Ok(false) };
        if !self.tables.contains(&written.oid) {
            return Ok(false);
        }
        let proof = proof(secret, judged.transaction);
        let rows = writer.ask(&format!("SELECT {SCHEMA}.open('{proof}', {})", written.oid)).await?;
        let (old, new) = counts(&rows).ok_or(UNEXPECTED)?;
        let all = old == written.before() && new == written.after();
        Ok(all || self.whole && old <= written.before() && new <= written.after())
    }
}

/// Reads what was opened.
pub(super) async fn read(
    writer: &mut dyn Ask,
    take: &mut (dyn FnMut(Side, &str) -> Result<(), CaptureError> + Send),
) -> Result<(), CaptureError> {
    let each = &mut |row: Row| {
        let [old, new] = row.as_slice() else { return Err(UNEXPECTED) };
        for (side, image) in [(Side::Old, old), (Side::New, new)] {
            if let Some(image) = image {
                take(side, image)?;
            }
        }
        Ok(())
    };
    writer.each("FETCH ALL FROM belay_images; CLOSE belay_images", each).await
}

/// Events in armed tables of which nothing is left: a savepoint took them back, and the locks with them.
async fn taken_back(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    judged: &Judged,
    transaction: &Transaction,
) -> Result<i64, CaptureError> {
    let number = |text: Option<&Option<String>>| text?.as_ref()?.parse::<i64>().ok();
    let others = tables(&format!("a.relation <> ALL ({})", array(&judged.oids())));
    let oids = outsider.ask(&others).await?.iter().map(|row| u32::try_from(number(row.get(1))?).ok()).collect();
    let oids: Vec<u32> = Option::ok_or(oids, UNEXPECTED)?;
    let mut events = 0;
    for row in writer.ask(&counts_of(&oids)).await? {
        let [Some(oid), Some(inserted), Some(updated), Some(deleted)] = [0, 1, 2, 3].map(|at| number(row.get(at)))
        else {
            return Err(UNEXPECTED);
        };
        let oid = u32::try_from(oid).map_err(|_| UNEXPECTED)?;
        events += transaction.baseline.since(oid, [inserted, updated, deleted]).iter().sum::<i64>();
    }
    Ok(events)
}

/// SQL for the secret, where all of Belay's own is as it was made.
fn secret() -> String {
    format!(
        "SELECT k.secret, NULL::text FROM {SCHEMA}.kept k WHERE k.script = '{}' AND k.functions = ({FUNCTIONS}) \
         AND ({SOUND})",
        fingerprint()
    )
}

/// SQL for the tables, of these, whose triggers are as they were made.
fn tables(which: &str) -> String {
    format!(
        "SELECT NULL::text, a.relation FROM {SCHEMA}.tables a JOIN pg_catalog.pg_trigger t ON t.tgrelid = a.relation \
         WHERE t.tgname = '{TRIGGER}' AND t.tgenabled = 'O' AND pg_get_triggerdef(t.oid) = a.definition AND {which} \
         LIMIT {MOST}"
    )
}

/// SQL for what the transaction has counted in these tables, whether it locks them or not.
fn counts_of(oids: &[u32]) -> String {
    format!(
        "SELECT oid, pg_stat_get_xact_tuples_inserted(oid), pg_stat_get_xact_tuples_updated(oid), \
         pg_stat_get_xact_tuples_deleted(oid) FROM unnest({}) AS counted (oid)",
        array(oids)
    )
}

fn array(oids: &[u32]) -> String {
    format!("'{{{}}}'::oid[]", list(oids))
}

/// What only Belay can say of this transaction: whoever learns it can read what this transaction wrote and no other.
fn proof(secret: &str, transaction: u64) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{secret}{transaction}").as_bytes());
    script::hex(hash.as_ref())
}

fn counts(rows: &[Row]) -> Option<(u64, u64)> {
    let (old, new) = rows.first()?.first()?.as_deref()?.split_once(' ')?;
    Some((old.parse().ok()?, new.parse().ok()?))
}
