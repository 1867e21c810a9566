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

mod ask;
mod baseline;
mod describe;
mod error;
mod judge;
mod limits;
mod pins;
mod scan;
mod taken;
mod transaction;
mod truncate;
mod version;
mod witness;

pub use ask::{Ask, EachRow, Row};
pub use baseline::{Baseline, OPENING, opening};
pub use error::CaptureError;
pub use limits::Limits;
pub use pins::pins;
pub use transaction::Transaction;
pub use truncate::before_truncate;

use belay_change::{ChangeSet, Means, Sink};
use describe::{Described, describe};
use judge::{Judged, Written};
use scan::Scan;

/// Ends what [`capture`] began within the writer's transaction.
const CLOSE: &str = "ROLLBACK TO SAVEPOINT belay_capture; RELEASE SAVEPOINT belay_capture";

/// The changes of the writer's open transaction, once its deferred triggers and constraints have fired. Images go to
/// `sink`.
///
/// Afterwards the transaction stands as the client left it, to be committed or rolled back; after an error it can only
/// be rolled back.
pub async fn capture(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    mut transaction: Transaction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<ChangeSet, CaptureError> {
    let seen = witness::look(writer, limits).await?;
    let Some(judged) = judge::judge(&seen, &transaction, limits)? else {
        writer.ask(CLOSE).await?;
        return Ok(transaction.taken.finish(None, Vec::new()));
    };
    for (table, number) in transaction.taken.emptied() {
        scan::whole(writer, &table, number, belay_change::Side::New, &mut transaction.taken, sink).await?;
    }
    let described = describe(outsider, &judged.oids(), limits).await?;
    for written in &judged.written {
        let about = described.get(&written.oid).ok_or(CaptureError::Unexpected("the tables that were written"))?;
        take(writer, outsider, &judged, written, about, &mut transaction, limits, sink).await?;
    }
    writer.ask(CLOSE).await?;
    Ok(transaction.taken.finish(Some(judged.transaction.to_string()), judged.sequences))
}

/// The images of one table.
#[allow(clippy::too_many_arguments, reason = "both connections, what is known, where it goes")]
async fn take(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    judged: &Judged,
    written: &Written,
    about: &Described,
    transaction: &mut Transaction,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), CaptureError> {
    about.readable()?;
    about.within(limits)?;
    let indirect = !transaction.names(about);
    let number = transaction.taken.table(sink, &about.table, Means::Scan, indirect)?;
    let scan = Scan { about, judged, number };
    let old = scan.before(writer, outsider, &mut transaction.taken, sink).await?;
    let new = scan.after(writer, &mut transaction.taken, sink).await?;
    written.agrees(old, new)
}
