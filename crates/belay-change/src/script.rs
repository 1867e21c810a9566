//! What was run, so that it can be run again.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The statements of one transaction, in order, and what they met.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Script {
    /// The database.
    pub database: String,
    /// Settings of the session that are not what a new session has, by name.
    pub settings: Vec<(String, String)>,
    /// How its transaction is isolated from others, as PostgreSQL spells it; empty where nobody has asked.
    #[serde(default)]
    pub isolation: String,
    /// The statements.
    pub statements: Vec<Scripted>,
    /// Why it cannot be run again as it stands, if it cannot: it used a prepared statement made in SQL, a cursor, a
    /// temporary table, COPY data that is not kept.
    pub unrepeatable: Option<String>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripted {
    /// Its text; may hold several statements where it has no parameters.
    pub text: Arc<str>,
    /// Its parameters; `None` for a simple query.
    pub parameters: Option<Vec<Parameter>>,
    /// COPY data that followed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Vec<u8>>,
}

/// One parameter, as it was bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The type that the client gave, by its number; 0 where it left that to the target.
    pub type_oid: u32,
    /// Whether the value is in binary format.
    pub binary: bool,
    /// The value; `None` for NULL.
    pub value: Option<Vec<u8>>,
}
