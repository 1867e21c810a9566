//! What a transaction changes, row by row: images, their difference, its fingerprint.
//!
//! Pure: no database, no file, no clock. An *image* is a row as the target's own text under pinned settings; of its
//! syntax only the fields of a record are known here. Engines take images and put them back; the shell keeps them.

mod change_set;
mod script;
mod side;
mod sink;
mod table;

pub use change_set::{ChangeSet, Means, TableChange};
pub use script::{Parameter, Script, Scripted};
pub use side::Side;
pub use sink::{Images, Sink};
pub use table::{Column, Generated, Table};
