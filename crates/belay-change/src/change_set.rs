//! What a transaction changed, without the images themselves.

use crate::Table;
use serde::{Deserialize, Serialize};

/// What one transaction changed. Its images are kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The tables it changed, in the order of their numbers in the images.
    pub tables: Vec<TableChange>,
    /// SHA-256, in hex, over the difference: equal exactly where the same rows of the same tables change in the same
    /// way, volatile columns aside.
    pub fingerprint: String,
    /// The transaction's number in the target, once it has one.
    pub transaction: Option<String>,
    /// Sequences it moved, by schema and name. They stay moved.
    pub sequences: Vec<String>,
    /// Tables that it held locked against more than readers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<TableLock>,
    /// How it went, where it was only a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// It gives others back, but only some of their rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// The locks that a transaction held on a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLock {
    /// The table, by schema and name.
    pub table: String,
    /// Their modes, as SQL spells them: `ROW EXCLUSIVE`.
    pub modes: Vec<String>,
}

/// What a transaction that was rolled back has cost the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Microseconds from its beginning until its rows had been taken.
    pub micros: u64,
    /// Other sessions that waited for it at its end.
    pub waiting: u64,
    /// Whether it was given back before it was rolled back. Plans of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertTrial>,
}

/// Whether a change was given back on trial, in the transaction that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertTrial {
    /// Every row came back byte for byte.
    Proven,
    /// It was not, or it proves nothing, for this reason.
    Untried(String),
}

/// What it changed in one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// The table.
    pub table: Table,
    /// Rows that are there after and were not before.
    pub inserted: u64,
    /// Rows that are there before and after, told by the key, with another content.
    pub updated: u64,
    /// Rows that were there before and are not after.
    pub deleted: u64,
    /// No statement names the table: a cascade, a trigger or a function wrote it.
    pub indirect: bool,
    /// How its images were found.
    pub means: Means,
    /// Columns, by their place, whose values differ from run to run: they are decided when the change is applied.
    pub volatile: Vec<u16>,
}

/// How the images of a table were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// By key, and the target's own counts prove that they are all.
    Key,
    /// By looking at every row of the table.
    Scan,
    /// By reading the table as a whole before it was emptied.
    Whole,
    /// By the table's trigger, which wrote them down as they changed; the target's own counts prove that they are all.
    Armed,
    /// By moving the table out of the way instead of dropping it.
    Trash,
}
