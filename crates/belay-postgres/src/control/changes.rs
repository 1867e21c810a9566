//! Plans that are applied and changes that are given back, over connections of the gateway's own.

use super::{PgControl, trash};
use crate::apply;
use crate::capture::{self, Ask as _, Limits};
use crate::change::{denied, not_kept, reverting};
use crate::drop_table::Back;
use crate::plan;
use crate::revert::{self, How, RevertError};
use belay_change::{ChangeSet, Script};
use belay_engine::{
    Applied, BoxFuture, Changes, Conflict, ConflictKind, ControlError, Draft, Keeper, Order, Outcome, Reversion,
    Reverted,
};
use belay_model::ChangeId;
use std::sync::Arc;
use tokio_postgres::Client;

impl Changes for PgControl {
    fn apply(&self, order: Order, keeper: Arc<dyn Keeper>) -> BoxFuture<'_, Result<Applied, ControlError>> {
        Box::pin(async move {
            let password = self.make_role(&order.role).await?;
            let dialer = self.pool()?.dialer();
            if trash::is_drop(&order.expected) {
                let mut client = dialer.dial(&order.role.database).await?;
                return Ok(trash::apply(&mut client, order, &*keeper).await);
            }
            let mut writer = dialer.dial_as(&order.role.name, &password, &order.role.database).await?;
            let mut outsider = dialer.dial(&order.role.database).await?;
            Ok(again(&mut writer, &mut outsider, order, &*keeper).await)
        })
    }

    fn revert(&self, order: Reversion, keeper: Arc<dyn Keeper>) -> BoxFuture<'_, Result<Reverted, ControlError>> {
        Box::pin(async move {
            let mut client = self.pool()?.dialer().dial(&order.database).await?;
            match trash::part(order) {
                Err(denial) => Ok(Reverted::Refused(denial)),
                Ok((None, order)) => Ok(give_back(&mut client, order, None, &*keeper).await),
                Ok((Some(dropped), order)) if order.set.tables.is_empty() => {
                    Ok(trash::bring_back(&mut client, &dropped, order.dry_run, &*keeper).await)
                }
                Ok((Some(dropped), order)) => match trash::begin_to_bring_back(&mut client, &dropped).await {
                    Ok(back) => Ok(give_back(&mut client, order, Some(back), &*keeper).await),
                    Err(denial) => Ok(Reverted::Refused(denial)),
                },
            }
        })
    }

    fn empty_trash<'a>(
        &'a self,
        database: &'a str,
        change: ChangeId,
        set: &'a ChangeSet,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let mut client = self.pool()?.dialer().dial(database).await?;
            trash::empty(&mut client, change, set).await
        })
    }

    fn outcome<'a>(&'a self, database: &'a str, transaction: &'a str) -> BoxFuture<'a, Result<Outcome, ControlError>> {
        Box::pin(async move {
            let mut client = self.pool()?.dialer().dial(database).await?;
            Ok(outcome(&mut client, transaction).await)
        })
    }
}

/// Runs the script, compares, keeps, commits.
async fn again(writer: &mut Client, outsider: &mut Client, order: Order, keeper: &dyn Keeper) -> Applied {
    let Order { script, expected, .. } = order;
    let limits = Limits::default();
    let (mut set, draft) = match apply::run(writer, outsider, &script, &expected.tables, &limits, keeper).await {
        Ok(ran) => ran,
        Err(error) => {
            let _ = writer.batch_execute("ROLLBACK").await;
            return Applied::Refused(denied(&error));
        }
    };
    if set.fingerprint != expected.fingerprint {
        set.trial = plan::cost(writer).await;
        let _ = writer.batch_execute("ROLLBACK").await;
        return Applied::Differs { set, draft };
    }
    keep_and_commit(writer, set, draft, script, keeper).await
}

async fn keep_and_commit(
    writer: &mut Client,
    set: ChangeSet,
    draft: Box<dyn Draft>,
    script: Script,
    keeper: &dyn Keeper,
) -> Applied {
    let change = match keeper.keep(draft, set.clone(), script).await {
        Ok(change) => change,
        Err(error) => {
            let _ = writer.batch_execute("ROLLBACK").await;
            return Applied::Refused(not_kept(&error.0));
        }
    };
    let committed = writer.ask(&capture::commit(&[])).await.map_err(capture::late);
    let outcome = capture::outcome(&committed);
    if keeper.ended(change, outcome).await.is_err() {
        return Applied::Unknown(change);
    }
    match (outcome, committed) {
        (Outcome::RolledBack, Err(error)) => Applied::Refused(denied(&error)),
        (Outcome::Committed, _) => Applied::Done { change, set },
        _ => Applied::Unknown(change),
    }
}

/// `back` are tables that were brought back in the transaction that is open already.
async fn give_back(client: &mut Client, order: Reversion, back: Option<Back>, keeper: &dyn Keeper) -> Reverted {
    let Reversion { database: _, set, mut images, leave, only, dry_run, mark } = order;
    let some = !only.is_empty();
    let only = only.into_iter().map(|only| revert::Only { table: only.table, keys: only.keys }).collect();
    let how = How { keep_conflicts: leave.conflicts, keep_restored: leave.restored, only, ..How::default() };
    let mut draft = match keeper.open() {
        Ok(draft) => draft,
        Err(error) => return Reverted::Refused(not_kept(&error.to_string())),
    };
    let done = match revert::revert(client, &set, &mut *images, &mut *draft, &how).await {
        Ok(done) => done,
        Err(RevertError::Conflict(found)) => {
            return Reverted::Conflicts { rows: conflicts(&found), restored: found.restored };
        }
        Err(error) => return Reverted::Refused(reverting(&error)),
    };
    let (mut set, left) = (done.changes().clone(), conflicts(done.kept()));
    if let Some(back) = &back
        && let Err(denial) = trash::tie(done.in_target(), back).await
    {
        let _ = done.undo().await;
        return Reverted::Refused(denial);
    }
    let nothing = back.is_none() && set.tables.iter().all(|table| table.inserted + table.updated + table.deleted == 0);
    set.tables.extend(back.into_iter().flat_map(|back| back.set.tables));
    set.partial = some || !left.is_empty();
    let marks = nothing && mark && !set.partial;
    if dry_run && !marks {
        return match done.undo().await {
            Ok(()) => Reverted::Would { set, draft, conflicts: left },
            Err(error) => Reverted::Refused(reverting(&error)),
        };
    }
    if nothing && !marks {
        let _ = done.undo().await;
        return Reverted::Done { change: None, set, left };
    }
    let change = match keeper.keep(draft, set.clone(), Script::default()).await {
        Ok(change) => change,
        Err(error) => {
            let _ = done.undo().await;
            return Reverted::Refused(not_kept(&error.0));
        }
    };
    let committed = done.commit().await;
    let outcome = match &committed {
        Ok(()) => Outcome::Committed,
        Err(RevertError::Target { .. }) => Outcome::RolledBack,
        Err(_) => Outcome::Unknown,
    };
    if keeper.ended(change, outcome).await.is_err() {
        return Reverted::Unknown(change);
    }
    match (outcome, committed) {
        (Outcome::RolledBack, Err(error)) => Reverted::Refused(reverting(&error)),
        (Outcome::Committed, _) => Reverted::Done { change: Some(change), set, left },
        _ => Reverted::Unknown(change),
    }
}

fn conflicts(found: &revert::Conflicts) -> Vec<Conflict> {
    let kind = |kind| match kind {
        revert::ConflictKind::Changed => ConflictKind::Changed,
        revert::ConflictKind::Gone => ConflictKind::Gone,
        revert::ConflictKind::Taken => ConflictKind::Taken,
        revert::ConflictKind::Referenced => ConflictKind::Referenced,
        revert::ConflictKind::Orphaned => ConflictKind::Orphaned,
    };
    let conflict = |sample: &revert::Conflict| Conflict {
        table: sample.table.clone(),
        key: sample.key.clone(),
        why: kind(sample.kind),
        before: sample.before.clone(),
        left: sample.left.clone(),
        now: sample.now.clone(),
    };
    found.samples.iter().map(conflict).collect()
}

/// A number that the target has forgotten tells nothing, and is not guessed at.
async fn outcome(client: &mut Client, transaction: &str) -> Outcome {
    if transaction.is_empty() || !transaction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Outcome::Unknown;
    }
    let asked = client.ask(&format!("SELECT pg_catalog.pg_xact_status('{transaction}'::pg_catalog.xid8)")).await;
    match asked
        .ok()
        .and_then(|rows| rows.into_iter().next())
        .and_then(|row| row.into_iter().next())
        .flatten()
        .as_deref()
    {
        Some("committed") => Outcome::Committed,
        Some("aborted") => Outcome::RolledBack,
        _ => Outcome::Unknown,
    }
}
