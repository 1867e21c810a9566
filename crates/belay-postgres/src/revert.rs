//! Giving rows back: the images of a change set put in place again, verified byte for byte before COMMIT.
//!
//! All in one transaction of the control user: images are loaded into temporary tables of the table's own row type,
//! what was left is locked and compared with what is there now, rows are put back set by set, and everything is
//! verified before the caller decides between [`Reverted::commit`] and [`Reverted::undo`]. Nothing is ever forced: what
//! somebody else has changed since is a conflict, and a row that cannot be brought back byte for byte refuses the whole.

mod apply;
mod catalog;
mod conflict;
mod error;
mod foreign_key;
mod how;
mod inverse;
mod load;
mod narrow;
mod referenced;
mod set_aside;
mod sql;
mod statements;
mod strategy;
mod tally;
mod tried;
mod unique;
mod verify;

pub use error::{Conflict, ConflictCount, ConflictKind, Conflicts, RevertError};
pub use how::{How, Only};
pub use strategy::{Irreversible, Strategy, can_revert, strategy};
pub use tried::tried;

use crate::passing::{ATTEMPTS, is_passing};
use belay_change::{ChangeSet, Images, Sink};
use catalog::Restored;
use conflict::Found;
use inverse::Inverse;
use narrow::Wanted;
use tally::Tally;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// A revert that is done and verified, and not committed. Dropping it rolls it back.
pub struct Reverted<'c> {
    transaction: Transaction<'c>,
    changes: ChangeSet,
    kept: Conflicts,
    strategy: Strategy,
}

impl Reverted<'_> {
    /// What the revert itself changes: the inverse of what was asked for, as far as it was done. Its `transaction` is
    /// the number by which the target knows whether it was committed.
    pub fn changes(&self) -> &ChangeSet {
        &self.changes
    }

    /// The connection, for what else belongs into the transaction.
    pub(crate) fn in_target(&self) -> &Client {
        self.transaction.client()
    }

    /// Rows that were left as they are, because somebody changed them since.
    pub fn kept(&self) -> &Conflicts {
        &self.kept
    }

    /// How triggers were kept from changing the rows.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Commits. After an error of a lost connection the target has to be asked what became of it.
    pub async fn commit(self) -> Result<(), RevertError> {
        Ok(self.transaction.commit().await?)
    }

    /// Rolls it back: for a dry run.
    pub async fn undo(self) -> Result<(), RevertError> {
        Ok(self.transaction.rollback().await?)
    }
}

/// Puts back what `what` changed, as far as `how` asks for, and verifies it. The images of the revert's own change set
/// go to `sink`. On an error nothing stays, and what the sink was given is void.
///
/// Images of several transactions may come as one change set: what one left and the next found cancels out.
pub async fn revert<'c>(
    client: &'c mut Client,
    what: &ChangeSet,
    images: &mut dyn Images,
    sink: &mut dyn Sink,
    how: &How,
) -> Result<Reverted<'c>, RevertError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).read_only(false);
    let transaction = transaction.start().await?;
    let in_target = transaction.client();
    in_target.batch_execute(&sql::pinned(how)).await?;
    let tables = narrow::tables(what, how)?;
    let strategy = strategy::settle(in_target, how, &tables).await?;
    let (changes, kept) = put_in_place(in_target, strategy, (what, &tables), images, sink, how).await?;
    Ok(Reverted { transaction, changes, kept, strategy })
}

/// Puts the rows in place within the transaction that is open, and verifies them. Gives what that changed, and the rows
/// that were left.
async fn put_in_place(
    in_target: &Client,
    strategy: Strategy,
    (what, tables): (&ChangeSet, &[Wanted]),
    images: &mut dyn Images,
    sink: &mut dyn Sink,
    how: &How,
) -> Result<(ChangeSet, Conflicts), RevertError> {
    strategy.enter(in_target).await?;
    let outset = Tally::take(in_target).await?;
    let mut restored = catalog::restored(in_target, tables).await?;
    let mut inverse = Inverse::new(sink, how.images);
    // Where all is to be put back, what is read is what is done.
    let whole = how.only.is_empty() && !how.keep_conflicts && !how.keep_restored;
    if whole {
        inverse.tables(restored.iter())?;
    }
    load::load(in_target, &restored, images, whole.then_some(&mut inverse)).await?;
    narrow::rows(in_target, &mut restored, how).await?;
    load::net(in_target, &restored).await?;
    let kept = put_back(in_target, strategy, &mut restored, &outset, how).await?;
    if !whole {
        inverse.done(in_target, &restored).await?;
    }
    let changes = inverse.finish(in_target, what, &restored).await?;
    Ok((changes, kept))
}

/// Puts the rows back. Where others are in the way and the target chose this transaction to give way, it lets go of what
/// it has locked and tries again.
async fn put_back(
    in_target: &Client,
    strategy: Strategy,
    restored: &mut Vec<Restored>,
    outset: &Tally,
    how: &How,
) -> Result<Conflicts, RevertError> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        in_target.batch_execute("SAVEPOINT belay_put_back").await?;
        let mut tables = restored.clone();
        match put_back_once(in_target, strategy, &mut tables, outset, how).await {
            Ok(kept) => {
                *restored = tables;
                in_target.batch_execute("RELEASE belay_put_back").await?;
                return Ok(kept);
            }
            Err(RevertError::Target { sqlstate, .. }) if is_passing(&sqlstate) && left > 0 => {
                in_target.batch_execute("ROLLBACK TO belay_put_back; RELEASE belay_put_back").await?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn put_back_once(
    in_target: &Client,
    strategy: Strategy,
    restored: &mut [Restored],
    outset: &Tally,
    how: &How,
) -> Result<Conflicts, RevertError> {
    let kept = keep_or_refuse(in_target, restored, how).await?;
    let again = set_aside::set_aside(in_target, strategy, restored).await?;
    Tally::take(in_target).await?.only_within(outset, restored)?;
    apply::apply(in_target, strategy, restored).await?;
    for statement in again {
        in_target.batch_execute(&statement).await?;
    }
    Tally::take(in_target).await?.only_within(outset, restored)?;
    Ok(kept)
}

/// Locks what was left, finds conflicts, and takes their rows out where the caller wants the others put back.
async fn keep_or_refuse(in_target: &Client, restored: &mut [Restored], how: &How) -> Result<Conflicts, RevertError> {
    let mut found = Found::new(how.samples);
    conflict::lock(in_target, restored).await?;
    if how.keep_restored {
        conflict::leave_out_restored(in_target, restored).await?;
    }
    conflict::find(in_target, restored, &mut found).await?;
    if how.keep_conflicts {
        conflict::leave_out(in_target, restored).await?;
    }
    referenced::find(in_target, restored, &mut found, how.keep_conflicts).await?;
    let mut found = found.into_conflicts();
    if !how.keep_conflicts && !found.counts.is_empty() {
        found.restored = !how.keep_restored && conflict::leave_out_restored(in_target, restored).await?;
        return Err(RevertError::Conflict(found));
    }
    if how.keep_conflicts {
        load::count(in_target, restored).await?;
    }
    Ok(found)
}
