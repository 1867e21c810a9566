//! Dropped tables: the plan of a DROP TABLE applied, a table brought back, the trash emptied.

use super::fault::other;
use crate::capture::{Ask as _, CaptureError};
use crate::change::{denied, not_kept};
use crate::drop_table;
use belay_change::{ChangeSet, Means, Script};
use belay_engine::{Applied, ControlError, Keeper, Order, Outcome, Reversion, Reverted};
use belay_model::{ChangeId, Code, Denial};
use tokio_postgres::Client;

/// Whether the change is a DROP TABLE.
pub(super) fn is_drop(set: &ChangeSet) -> bool {
    set.tables.iter().any(|change| change.means == Means::Trash)
}

/// Moves away what the plan drops.
pub(super) async fn apply(control: &mut Client, order: Order, keeper: &dyn Keeper) -> Applied {
    let Order { script, expected, .. } = order;
    let oids: Vec<u32> = expected.tables.iter().map(|change| change.table.oid).collect();
    let set = match drop_table::begin(control, &oids).await {
        Ok(set) => set,
        Err(error) => return Applied::Refused(denied(&error)),
    };
    let draft = match keeper.open() {
        Ok(draft) => draft,
        Err(error) => return Applied::Refused(not_kept(&error.to_string())),
    };
    if set.fingerprint != expected.fingerprint {
        return Applied::Differs { set, draft };
    }
    let change = match keeper.keep(draft, set.clone(), script).await {
        Ok(change) => change,
        Err(error) => return Applied::Refused(not_kept(&error.0)),
    };
    let moved = drop_table::move_away(control, &set, change).await;
    let (outcome, why) = finish(control, moved).await;
    match (outcome, keeper.ended(change, outcome).await) {
        (Outcome::RolledBack, Ok(())) => Applied::Refused(why),
        (Outcome::Committed, Ok(())) => Applied::Done { change, set },
        _ => Applied::Unknown(change),
    }
}

/// Commits what went well, and takes back the rest. The denial is for what was taken back.
async fn finish(control: &mut Client, done: Result<(), CaptureError>) -> (Outcome, Denial) {
    if let Err(error) = done {
        let _ = control.batch_execute("ROLLBACK").await;
        return (Outcome::RolledBack, denied(&error));
    }
    match control.ask("COMMIT").await {
        Ok(_) => (Outcome::Committed, not_kept("")),
        Err(error @ CaptureError::Target { .. }) => (Outcome::RolledBack, denied(&error)),
        Err(error) => (Outcome::Unknown, denied(&error)),
    }
}

/// Brings back what a DROP TABLE has moved away.
pub(super) async fn bring_back(control: &mut Client, order: Reversion, keeper: &dyn Keeper) -> Reverted {
    let Reversion { set, only, dry_run, .. } = order;
    if let Some(denial) = unlike(&set, !only.is_empty()) {
        return Reverted::Refused(denial);
    }
    let draft = match keeper.open() {
        Ok(draft) => draft,
        Err(error) => return Reverted::Refused(not_kept(&error.to_string())),
    };
    let back = match drop_table::bring_back(control, &set).await {
        Ok(back) => back,
        Err(error) => {
            let _ = control.batch_execute("ROLLBACK").await;
            return Reverted::Refused(stays(&error));
        }
    };
    if dry_run {
        let _ = control.batch_execute("ROLLBACK").await;
        return Reverted::Would { set: back, draft, conflicts: Vec::new() };
    }
    let change: ChangeId = match keeper.keep(draft, back.clone(), Script::default()).await {
        Ok(change) => change,
        Err(error) => {
            let _ = control.batch_execute("ROLLBACK").await;
            return Reverted::Refused(not_kept(&error.0));
        }
    };
    let (outcome, why) = finish(control, Ok(())).await;
    match (outcome, keeper.ended(change, outcome).await) {
        (Outcome::RolledBack, Ok(())) => Reverted::Refused(why),
        (Outcome::Committed, Ok(())) => Reverted::Done { change: Some(change), set: back, left: Vec::new() },
        _ => Reverted::Unknown(change),
    }
}

/// Why these changes do not come back together, if they do not.
fn unlike(set: &ChangeSet, in_part: bool) -> Option<Denial> {
    let refused = |what: &str, hint: &str| Denial {
        code: Code::Irreversible,
        message: format!("not reverted: {what}"),
        detail: "Nothing in the database has changed.".to_owned(),
        hint: hint.to_owned(),
    };
    if in_part {
        return Some(refused("a table that was dropped comes back as a whole", "leave --rows and --only out"));
    }
    if set.tables.iter().any(|change| change.means != Means::Trash) {
        let hint = "give them back one by one, the newest first: belay changes";
        return Some(refused("rows and a table that was dropped do not come back in one transaction", hint));
    }
    let brought_back = set.tables.iter().any(|change| change.inserted > 0);
    brought_back.then(|| refused("the change brought a table back", "drop the table again"))
}

fn stays(error: &CaptureError) -> Denial {
    let hint = match error {
        CaptureError::Irreversible { instead, .. } => instead.clone(),
        CaptureError::Target { sqlstate, .. } if sqlstate == "42P07" => {
            "another table has its name now: rename that one".to_owned()
        }
        CaptureError::Target { sqlstate, .. } if sqlstate == "23503" => {
            "rows that it refers to are gone since: bring them back first".to_owned()
        }
        _ => Code::NotKept.remedy().to_owned(),
    };
    Denial {
        code: Code::Conflict,
        message: format!("not reverted: {error}"),
        detail: "The table stays in the trash. Nothing in the database has changed.".to_owned(),
        hint,
    }
}

/// Drops what is left of a change in the trash.
pub(super) async fn empty(control: &mut Client, change: ChangeId, set: &ChangeSet) -> Result<(), ControlError> {
    drop_table::empty(control, change, set).await.map_err(|error| other(error.to_string()))
}
