//! What a transaction changes, row by row: images, their difference, its fingerprint.
//!
//! Pure: no database, no file, no clock. An *image* is a row as the target's own text under pinned settings; of its
//! syntax only the fields of a record are known here. Engines take images and put them back; the shell keeps them.

mod both;
mod change_set;
mod difference;
mod inverse;
mod keys;
mod page;
mod pair;
mod pick;
mod print;
mod record;
mod render;
#[cfg(test)]
mod samples;
mod script;
mod side;
mod sink;
mod table;
mod taken;
mod tally;
mod volatile;

pub use both::Both;
pub use change_set::{ChangeSet, Means, RevertTrial, TableChange, TableLock, Trial};
pub use difference::{RowDifference, TableDifference, difference};
pub use inverse::Inverse;
pub use keys::{Keys, RowKey};
pub use page::{Page, page};
pub use pair::{ColumnCount, Row, RowChange, Sampling, Summary, TableSummary, summarize};
pub use record::{BadRecord, read_some, write_record};
pub use render::{NamedTable, changed_in, headline, printable, would_change};
pub use script::{Parameter, Script, Scripted};
pub use side::Side;
pub use sink::{Images, Sink};
pub use table::{Column, Generated, Table};
pub use taken::{Taken, TakenTable};
pub use tally::{TableTotals, Tally, TallyError, Totals};
pub use volatile::{Compared, NotComparable, compare_trials};
