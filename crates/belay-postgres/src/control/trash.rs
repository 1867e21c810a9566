//! Dropped tables: the plan of a DROP TABLE applied, a table brought back, the trash emptied.

use super::fault::other;
use crate::capture::{Ask as _, CaptureError};
use crate::change::{denied, not_kept};
use crate::drop_table::{self, Back};
use belay_change::{ChangeSet, Images, Means, Script, Side, TableChange};
use belay_engine::{Applied, ControlError, Keeper, Order, Outcome, Reversion, Reverted};
use belay_model::{ChangeId, Code, Denial};
use std::io;
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

/// What of a change is to be brought back from the trash, and the rest of it.
pub(super) fn part(order: Reversion) -> Result<(Option<ChangeSet>, Reversion), Denial> {
    if !is_drop(&order.set) {
        return Ok((None, order));
    }
    if !order.only.is_empty() {
        return Err(refused("a table that was dropped comes back as a whole", "leave --rows and --only out"));
    }
    let Reversion { database, mut set, images, leave, only, dry_run, mark } = order;
    let (dropped, rows): (Vec<_>, Vec<_>) = set.tables.iter().cloned().partition(|change| change.means == Means::Trash);
    if dropped.iter().any(|change| change.inserted > 0) {
        return Err(refused("the change brought a table back", "drop the table again"));
    }
    let place = |change: &TableChange| rows.iter().position(|row| row == change).and_then(|at| u16::try_from(at).ok());
    let images = Box::new(Renumbered { images, numbers: set.tables.iter().map(place).collect() });
    let dropped = ChangeSet { tables: dropped, ..set.clone() };
    set.tables = rows;
    Ok((Some(dropped), Reversion { database, set, images, leave, only, dry_run, mark }))
}

/// Images of tables that have other numbers now.
struct Renumbered {
    images: Box<dyn Images>,
    numbers: Vec<Option<u16>>,
}

impl Images for Renumbered {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        let Some((number, side, image)) = self.images.next()? else { return Ok(None) };
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "an image is of a table that is not known");
        let number = self.numbers.get(usize::from(number)).copied().flatten().ok_or_else(unknown)?;
        Ok(Some((number, side, image)))
    }
}

/// Begins a transaction in which the tables are back.
pub(super) async fn begin_to_bring_back(control: &mut Client, dropped: &ChangeSet) -> Result<Back, Denial> {
    match drop_table::bring_back(control, dropped).await {
        Ok(back) => Ok(back),
        Err(error) => {
            let _ = control.batch_execute("ROLLBACK").await;
            Err(stays(&error))
        }
    }
}

/// Brings back what DROP TABLE has moved away, and nothing else.
pub(super) async fn bring_back(
    control: &mut Client,
    dropped: &ChangeSet,
    dry_run: bool,
    keeper: &dyn Keeper,
) -> Reverted {
    let draft = match keeper.open() {
        Ok(draft) => draft,
        Err(error) => return Reverted::Refused(not_kept(&error.to_string())),
    };
    let back = match begin_to_bring_back(control, dropped).await {
        Ok(back) => back,
        Err(denial) => return Reverted::Refused(denial),
    };
    if let Err(denial) = tie(control, &back).await {
        let _ = control.batch_execute("ROLLBACK").await;
        return Reverted::Refused(denial);
    }
    let back = back.set;
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

/// What comes last in the transaction: what the tables refer to has to be there.
pub(super) async fn tie(control: &Client, back: &Back) -> Result<(), Denial> {
    for statement in &back.left {
        control.batch_execute(statement).await.map_err(|error| stays(&error.into()))?;
    }
    Ok(())
}

fn refused(what: &str, hint: &str) -> Denial {
    Denial {
        code: Code::Irreversible,
        message: format!("not reverted: {what}"),
        detail: "Nothing in the database has changed.".to_owned(),
        hint: hint.to_owned(),
    }
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
