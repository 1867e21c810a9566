//! Masked values in results: which columns of a row, and what stands in their place. Bytes in, bytes out.
//!
//! Does not decide which columns are masked (that is `belay-policy`), and knows no connection.

mod disguise;
mod key;
mod row;

pub use key::MaskKey;
pub(crate) use row::{Field, MaskError, RowMask, fields};

use belay_model::MaskKind;
use std::collections::HashMap;

/// The masked columns of one database, as the target numbers them.
///
/// What a cursor or an SQL-level prepared statement shows is not in the text that fetches from it; the target says for
/// each column of a result which column of which table it is, and that is looked up here.
#[derive(Debug, Clone, Default)]
pub struct MaskedColumns {
    /// Whether anybody has looked.
    known: bool,
    kinds: HashMap<(u32, i16), MaskKind>,
}

impl MaskedColumns {
    /// These, each with its table's oid and its number in the table; children and partitions of a masked table have
    /// entries of their own.
    pub fn new(columns: impl IntoIterator<Item = (u32, i16, MaskKind)>) -> MaskedColumns {
        let kinds = columns.into_iter().map(|(table, column, kind)| ((table, column), kind)).collect();
        MaskedColumns { known: true, kinds }
    }

    /// Whether the masks are known by number; if not, only what a permit masks by position can be shown.
    pub(crate) fn are_known(&self) -> bool {
        self.known
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    fn kind_of(&self, field: &Field) -> Option<&MaskKind> {
        self.kinds.get(&(field.table, field.column))
    }
}
