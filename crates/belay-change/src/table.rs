//! A table as it stood when its rows were taken.

use serde::{Deserialize, Serialize};

/// A table that holds rows itself: no view, and of a partitioned table the partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its number in the target, which outlives a new name.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns in the order in which images hold them.
    pub columns: Vec<Column>,
    /// The columns of the key that tells its rows apart, by their place in `columns`; empty where it has none.
    pub key: Vec<u16>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the target writes it with its schema where it needs one: `integer`, `app.mood`.
    pub type_name: String,
    /// Whether the target makes its values.
    pub generated: Generated,
}

/// How far the target makes a column's values itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generated {
    /// Not at all, or only where nothing is given.
    #[default]
    No,
    /// `GENERATED ALWAYS AS IDENTITY`.
    IdentityAlways,
    /// `GENERATED ALWAYS AS (...) STORED`.
    Stored,
    /// `GENERATED ALWAYS AS (...) VIRTUAL`.
    Virtual,
}
