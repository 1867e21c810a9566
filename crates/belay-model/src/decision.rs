//! Refusals as data. The permit itself is minted in `belay-policy` only.

use crate::Code;
use serde::{Deserialize, Serialize};

/// Why a statement may not run, in words for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The code, which also fixes the SQLSTATE.
    pub code: Code,
    /// `<verdict>: <what> on <object>`, without the code in brackets.
    pub message: String,
    /// Why.
    pub detail: String,
    /// One command that can be run.
    pub hint: String,
}
