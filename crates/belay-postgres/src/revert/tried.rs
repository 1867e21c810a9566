//! A change given back on trial, in the transaction that has made it and that is rolled back afterwards.

use super::{How, RevertError, Strategy, narrow, put_in_place, sql, strategy};
use belay_change::{ChangeSet, Images, RevertTrial, Tally};
use tokio_postgres::Client;

/// So many images are put back on trial: while it lasts, the transaction holds its locks.
const MOST_IMAGES: u64 = 2_000;

/// Gives `what` back in the open transaction of `in_target`, whose role is the grant's, and verifies each row. The
/// transaction is of no use afterwards but to be rolled back.
///
/// `strongest` is what the target's control user would do it with. Where that is no better than what the grant's role may
/// do, what fails here would fail there, and is an error; otherwise nothing is proven.
pub async fn tried(
    in_target: &Client,
    strongest: Strategy,
    what: &ChangeSet,
    images: &mut dyn Images,
) -> Result<RevertTrial, RevertError> {
    let most = what.tables.iter().map(|table| table.inserted + 2 * table.updated + table.deleted).sum::<u64>();
    if most > MOST_IMAGES {
        return Ok(RevertTrial::Untried(format!("it has more than {MOST_IMAGES} row images")));
    }
    let how = How { images: MOST_IMAGES, ..How::default() };
    in_target.batch_execute(&sql::pinned(&how)).await?;
    let tables = narrow::tables(what, &how)?;
    let strategy = match strategy::settle_as(in_target, "the grant's role", &how, &tables).await {
        Err(RevertError::Refused { what, .. }) => return Ok(RevertTrial::Untried(what)),
        other => other?,
    };
    let mut nowhere = Tally::new(2 * MOST_IMAGES);
    match put_in_place(in_target, strategy, (what, &tables), images, &mut nowhere, &how).await {
        Ok(_) => Ok(RevertTrial::Proven),
        Err(error @ (RevertError::Lost(_) | RevertError::Images(_))) => Err(error),
        // A lock that is not given in time, for example. What the target says may hold values of rows.
        Err(RevertError::Target { sqlstate, .. }) => {
            Ok(RevertTrial::Untried(format!("the target did not let it, with {sqlstate}")))
        }
        Err(error) if strategy == strongest => Err(error),
        Err(_) => {
            Ok(RevertTrial::Untried("the grant's role cannot do it, and Belay's own role has other means".to_owned()))
        }
    }
}
