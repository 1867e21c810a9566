//! One statement, as the engine understood it.

use crate::{Code, Effect, FunctionName, Relation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the engine's grammar and the target's catalog say of one statement. Holds no bytes of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The worst thing it does.
    pub effect: Effect,
    /// Its name in the protocol's words: `SELECT`, `UPDATE`, `SET ROLE`.
    pub verb: String,
    /// The relations it names, in the order they are met; with their schema, where the catalog settled it.
    pub relations: Vec<Relation>,
    /// What it takes from relations outside the database's own catalog, views and children included.
    pub accesses: Vec<Access>,
    /// Functions it may call that are not known to be harmless: the grant has to name each of them.
    pub calls: Vec<FunctionName>,
    /// Those of them whose work may be in no transaction of the target: nothing sees it and nothing can take it back.
    #[serde(default)]
    pub outward: Vec<FunctionName>,
    /// Columns that come out as they are, by their place in the result.
    pub shows: Vec<Shown>,
    /// Places in the result where the target's own catalog may hold a secret: they are shown as NULL, whatever the grant.
    #[serde(default)]
    pub hides: Vec<u16>,
    /// Why the effect is what it is, where the verb alone doesn't say it:
    /// "calls `lo_unlink`, which is not known to be free of side effects".
    pub because: Option<String>,
    /// The code to answer with if it is denied, where the effect alone doesn't settle it.
    pub code: Option<Code>,
}

impl Statement {
    /// A statement of this effect with nothing more to say of it.
    pub fn new(effect: Effect, verb: impl Into<String>) -> Statement {
        Statement {
            effect,
            verb: verb.into(),
            relations: Vec::new(),
            accesses: Vec::new(),
            calls: Vec::new(),
            outward: Vec::new(),
            shows: Vec::new(),
            hides: Vec::new(),
            because: None,
            code: None,
        }
    }
}

/// What a statement takes from one relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The relation; its schema is never absent.
    pub relation: Relation,
    /// The columns it takes. May be empty, as in `SELECT count(*)`.
    pub columns: Vec<ColumnUse>,
    /// How the statement comes to it.
    pub via: Via,
    /// Tables that it shares rows with: what it inherits from or is a partition of, and what inherits from it or is its
    /// partition. By schema and name.
    pub kin: Arc<[Relation]>,
}

/// How a statement comes to a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// It names it.
    Named,
    /// It names the view through which the grant shows only some of its rows.
    Filtered,
    /// It names it, and it is a table of another system.
    Foreign,
    /// This view, which the statement names, reads it.
    View(Relation),
    /// It inherits from this table, which the statement names without ONLY. A partition does not count: it is part of
    /// its table.
    Parent(Relation),
}

/// One column of an [`Access`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnUse {
    /// Its name.
    pub name: String,
    /// Something else depends on its value than its own place in the result: a filter, an order, a function, an error.
    pub computed: bool,
}

/// A column that comes out as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its place in the result, from 0.
    pub position: u16,
    /// Which of the statement's accesses it comes from.
    pub access: u16,
    /// Which column of that access.
    pub column: u16,
}
