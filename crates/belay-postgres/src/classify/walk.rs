//! Walks the whole tree of a statement.
//!
//! Every struct is taken apart field by field, without `..`: a field that a later grammar adds does not compile until
//! somebody has decided what it means. A node of a kind that is not known here makes the statement opaque.

mod call;
mod expression;
mod json;
pub(super) mod query;
mod source;

use super::findings::Findings;
use super::functions::Functions;
use belay_model::{Code, Effect};
use pg_query::protobuf::Node;

/// A walk over one statement.
pub(super) struct Walk<'a> {
    functions: &'a Functions,
    /// What was found so far.
    pub(super) findings: Findings,
    /// Names of the common table expressions that can be seen from here, innermost last.
    visible: Vec<&'a str>,
    /// The one setting that the column `name` of `pg_settings` can hold in the query at hand.
    named_setting: Option<&'a str>,
}

impl<'a> Walk<'a> {
    /// A walk over a statement that by itself does only `effect`.
    pub(super) fn new(functions: &'a Functions, effect: Effect) -> Walk<'a> {
        Walk { functions, findings: Findings::new(effect), visible: Vec::new(), named_setting: None }
    }

    pub(super) fn nodes(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            self.node(node);
        }
    }

    pub(super) fn optional(&mut self, node: Option<&'a Node>) {
        if let Some(node) = node {
            self.node(node);
        }
    }

    pub(super) fn node(&mut self, node: &'a Node) {
        // An absent node is an absent list item, as in `SELECT DISTINCT` without ON.
        if let Some(kind) = &node.node {
            self.expression(kind);
        }
    }

    fn not_understood(&mut self) {
        let because = "it uses a form of expression that Belay does not know".to_owned();
        self.findings.raise(Effect::Opaque, Some(Code::Opaque), because);
    }
}

/// The texts of a qualified name; `None` where a part is no text.
pub(super) fn words(name: &[Node]) -> Option<Vec<&str>> {
    name.iter().map(word).collect()
}

/// The text of one part of a name.
pub(super) fn word(node: &Node) -> Option<&str> {
    match &node.node {
        Some(pg_query::NodeEnum::String(text)) => Some(&text.sval),
        _ => None,
    }
}
