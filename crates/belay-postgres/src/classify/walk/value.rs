//! Where a value comes from and what type it has, as far as that matters.

pub(super) use crate::catalog::Kind;

/// A value of an expression.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    /// The stored column that it is, unchanged.
    origin: Option<Origin>,
    /// More of them, as a UNION ALL gives.
    more: Vec<Origin>,
    /// It came through a set operation, after which the target does not say whose it is.
    merged: bool,
    pub(super) kind: Kind,
}

/// A column of a relation, by its place in what is noted of the relation's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) uses: usize,
    pub(super) column: usize,
}

impl Value {
    /// A value that no stored column is shown by.
    pub(super) fn of(kind: Kind) -> Value {
        Value { kind, ..Value::default() }
    }

    /// A column, of a relation of which uses are noted or of the database's own.
    pub(super) fn column(uses: Option<usize>, column: usize, type_id: u32) -> Value {
        Value { origin: uses.map(|uses| Origin { uses, column }), ..Value::of(Kind::Of(type_id)) }
    }

    /// The stored columns that it may be.
    pub(super) fn origins(&self) -> impl Iterator<Item = Origin> + '_ {
        self.origin.into_iter().chain(self.more.iter().copied())
    }

    /// Whether it is no stored column.
    pub(super) fn is_made(&self) -> bool {
        self.origin.is_none() && self.more.is_empty()
    }

    pub(super) fn is_merged(&self) -> bool {
        self.merged && !self.is_made()
    }

    /// The value in one place of two results that follow each other.
    pub(super) fn merge(self, other: &Value) -> Value {
        Value { merged: true, ..self.and(other) }
    }

    /// A value that may be either of two.
    pub(super) fn and(mut self, other: &Value) -> Value {
        for origin in other.origins() {
            if self.origin.is_none() {
                self.origin = Some(origin);
            } else if self.origins().all(|known| known != origin) {
                self.more.push(origin);
            }
        }
        self.merged |= other.merged;
        if self.kind != other.kind {
            self.kind = Kind::Any;
        }
        self
    }
}

/// A column of a result.
#[derive(Debug, Clone)]
pub(super) struct Column<'a> {
    /// Its name, where it can be said.
    pub(super) name: Option<&'a str>,
    pub(super) value: Value,
}
