//! Before or after.

use serde::{Deserialize, Serialize};

/// Which side of a change an image stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The row as it was: a before-image.
    Old,
    /// The row as the transaction leaves it.
    New,
}
