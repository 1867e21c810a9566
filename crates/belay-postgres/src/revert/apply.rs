//! Puts the rows back, in the first order that works.

use super::catalog::Restored;
use super::foreign_key::{ForeignKey, foreign_keys};
use super::statements::{Order, statements};
use super::tally::Tally;
use super::{RevertError, Strategy, sql, verify};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// Puts the rows back and verifies them. On an error the transaction is of no use any more.
pub(super) async fn apply(in_target: &Client, strategy: Strategy, restored: &[Restored]) -> Result<(), RevertError> {
    let keys = foreign_keys(in_target, restored).await?;
    let mut last = RevertError::Unexpected("no order of statements");
    for order in strategy.orders() {
        in_target.batch_execute("SAVEPOINT belay_order").await?;
        match attempt(in_target, strategy, *order, restored, &keys).await {
            Ok(()) => return Ok(in_target.batch_execute("RELEASE belay_order").await?),
            Err(error) if depends_on_order(&error) => last = error,
            Err(error) => return Err(error),
        }
        in_target.batch_execute("ROLLBACK TO belay_order").await?;
    }
    Err(explained(last))
}

async fn attempt(
    in_target: &Client,
    strategy: Strategy,
    order: Order,
    restored: &[Restored],
    keys: &[ForeignKey],
) -> Result<(), RevertError> {
    let outset = Tally::take(in_target).await?;
    let mut same: BTreeMap<u16, u64> = BTreeMap::new();
    for statement in statements(order, restored, keys) {
        let rows = sql::rows(in_target, &statement.sql).await?;
        let counts = rows.first().ok_or(RevertError::Unexpected("no counts"))?;
        for (at, table) in statement.tables.iter().enumerate() {
            *same.entry(*table).or_default() += sql::parsed::<u64>(counts, at)?;
        }
    }
    for table in restored {
        if same.get(&table.number).copied().unwrap_or_default() != table.old {
            let what = format!("rows of {} would not be what they were", table.shown());
            return Err(RevertError::refused(what, "a trigger or a generated column changes them"));
        }
    }
    verify::verify(in_target, strategy, order, restored, keys, &outset).await
}

/// Whether another order may do better: constraints, rows changed twice by one command, a verification that failed.
fn depends_on_order(error: &RevertError) -> bool {
    match error {
        RevertError::Refused { .. } => true,
        RevertError::Target { sqlstate, .. } => {
            ["21", "23", "27"].iter().any(|class| sqlstate.starts_with(class)) || sqlstate == "428C9"
        }
        _ => false,
    }
}

/// A constraint that no order can keep.
fn explained(error: RevertError) -> RevertError {
    match error {
        RevertError::Target { sqlstate, message, detail } if sqlstate.starts_with("23") => {
            let colon = if detail.is_empty() { "" } else { ": " };
            let what = format!("the rows do not fit to what is there: {message}{colon}{detail}");
            RevertError::refused(what, "change those rows first")
        }
        other => other,
    }
}
