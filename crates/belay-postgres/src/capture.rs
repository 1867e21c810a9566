//! The exact row images of a transaction that is still open, taken from the server's own row versions.
//!
//! The client's statements are neither rewritten nor watched, and nothing is installed in the target. The *writer* is
//! the transaction's own connection; the *outsider*, a second connection, still sees every row as it was. Before
//! anything is committed the *witness* (locks and counts of the server itself) must account for all that was written;
//! what it does not account for is refused.
//!
//! The way of a transaction: BEGIN; [`OPENING`] read into a [`Baseline`], which makes a [`Transaction`]; the client's
//! statements, [`before_truncate`] ahead of each TRUNCATE; [`capture`]; COMMIT or ROLLBACK. After an error of any of
//! these only ROLLBACK is left.

pub(crate) mod armed;
mod ask;
mod baseline;
mod clue;
mod commit;
mod describe;
mod error;
mod judge;
mod keyed;
mod limits;
mod pins;
mod places;
mod scan;
mod take;
mod taken;
mod transaction;
mod truncate;
mod version;
mod witness;

pub use ask::{Ask, EachRow, Row};
pub use baseline::{Baseline, Counted, OPENING};
pub use clue::Hint;
pub use commit::{commit, late, outcome};
pub use error::CaptureError;
pub use limits::Limits;
pub use pins::pins;
pub use transaction::Transaction;
pub use truncate::before_truncate;

use belay_change::{ChangeSet, Side, Sink};
use describe::{Described, describe};
use std::collections::HashMap;
use take::Tables;

/// Images that are read at once beside other work.
const FEW: u64 = 1_000;

/// Ends what [`capture_open`] began within the writer's transaction.
pub const CLOSE: &str = "ROLLBACK TO SAVEPOINT belay_capture; RELEASE SAVEPOINT belay_capture";

/// The changes of the writer's open transaction, once its deferred triggers and constraints have fired. Images go to
/// `sink`.
///
/// Afterwards the transaction stands as the client left it, to be committed or rolled back; after an error it can only
/// be rolled back.
pub async fn capture(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    transaction: Transaction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<ChangeSet, CaptureError> {
    let captured = capture_open(writer, outsider, transaction, limits, sink).await?;
    writer.ask(CLOSE).await?;
    Ok(captured.set)
}

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    /// The changes.
    pub set: ChangeSet,
    /// For the next transaction of the connection.
    pub counted: Option<Counted>,
}

/// The same, but for [`CLOSE`], which is left to be asked with what comes next.
pub async fn capture_open(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    mut transaction: Transaction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Captured, CaptureError> {
    // Its statements have locked these already, so that nobody changes what they look like.
    let expected = transaction.expected();
    let (seen, ahead) = tokio::join!(witness::look(writer, limits), describe_ahead(outsider, &expected, limits));
    let seen = seen?;
    let counted = transaction.baseline.counted(seen.relations.iter().map(|relation| relation.oid));
    let Some(judged) = judge::judge(&seen, &transaction, limits)? else {
        return Ok(Captured { set: transaction.taken.finish(None, Vec::new()), counted });
    };
    let emptied = transaction.taken.emptied();
    if judged.rows() > FEW || !emptied.is_empty() {
        writer.much();
    }
    for (table, number) in emptied {
        let taken = &mut transaction.taken;
        scan::whole(writer, &table, &mut |image| taken.image(sink, number, Side::New, image)).await?;
    }
    if !judged.written.is_empty() {
        let oids = judged.oids();
        let described = match ahead.filter(|ahead| ahead.len() == oids.len() && covers(ahead, &oids)) {
            Some(ahead) => ahead,
            None => describe(outsider, &oids, limits).await?,
        };
        let taking = Tables { judged: &judged, described: &described, transaction: &mut transaction, limits, sink };
        taking.take(writer, outsider).await?;
    }
    if judged.noted.is_some() {
        armed::clear(writer).await?;
    }
    let set = transaction.taken.finish(Some(judged.transaction.to_string()), judged.sequences);
    Ok(Captured { set: ChangeSet { locks: seen.locks(), ..set }, counted })
}

/// What these tables look like. A failure is met again where they turn out to be those that were written.
async fn describe_ahead(outsider: &mut dyn Ask, oids: &[u32], limits: &Limits) -> Option<HashMap<u32, Described>> {
    if oids.is_empty() {
        return None;
    }
    describe(outsider, oids, limits).await.ok()
}

fn covers(described: &HashMap<u32, Described>, oids: &[u32]) -> bool {
    oids.iter().all(|oid| described.contains_key(oid))
}
