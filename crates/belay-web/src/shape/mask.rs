//! Masks.

use super::{Head, Time};
use belay_server::desk::MaskRecord;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A column whose values are not shown as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mask {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// The target.
    pub target: String,
    /// The column.
    pub column: String,
    /// What is shown instead: `withheld`, `null`, `fixed=TEXT`, `last-four`, `hash`, `format`.
    pub shows: String,
    /// When it was made.
    pub made_at: Time,
    /// What its maker should know; only in the answer to its making.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

impl Mask {
    pub(crate) fn new(record: &MaskRecord, notes: Vec<String>) -> Mask {
        Mask {
            head: Head::of("mask"),
            id: record.id.to_string(),
            target: record.target.to_string(),
            column: record.mask.column.to_string(),
            shows: record.mask.kind.to_string(),
            made_at: record.made_at.into(),
            notes,
        }
    }
}

/// A mask to be added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMask {
    /// The target.
    #[schema(value_type = String)]
    pub target: belay_model::Name,
    /// The column: `schema.table.column`.
    #[schema(value_type = String)]
    pub column: belay_model::Resource,
    /// What is shown instead: `withheld`, `null`, `fixed=TEXT`, `last-four`, `hash`, `format`.
    pub shows: String,
}

/// A column that looks as if it should be masked, by its name and type. Somebody has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaskSuggestion {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The column.
    pub column: String,
    /// Its type.
    pub column_type: String,
    /// What it seems to hold.
    pub seems: String,
    /// The mask that would suit.
    pub shows: String,
}

impl From<belay_engine::Suspect> for MaskSuggestion {
    fn from(suspect: belay_engine::Suspect) -> MaskSuggestion {
        MaskSuggestion {
            head: Head::of("mask_suggestion"),
            column: suspect.column.to_string(),
            column_type: suspect.type_name,
            seems: suspect.holds.to_owned(),
            shows: suspect.kind.to_string(),
        }
    }
}

/// A mask as a grant shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaskOfGrant {
    /// The column.
    pub column: String,
    /// What is shown instead.
    pub shows: String,
}

impl From<&belay_model::Mask> for MaskOfGrant {
    fn from(mask: &belay_model::Mask) -> MaskOfGrant {
        MaskOfGrant { column: mask.column.to_string(), shows: mask.kind.to_string() }
    }
}
