//! Walks the whole tree of a statement.
//!
//! Every struct is taken apart field by field, without `..`: a field that a later grammar adds does not compile until
//! somebody has decided what it means. A node of a kind that is not known here makes the statement opaque.
//!
//! Names are followed to the columns they stand for as PostgreSQL's parser does. Where a column is only passed on, its
//! [`Value`](value::Value) says which one it is; where anything is made of it, that is noted as computed.

mod call;
mod column;
mod column_name;
mod common_table;
mod current_setting;
mod expression;
mod field;
mod json;
mod operator;
pub(super) mod query;
mod recursion;
mod scope;
mod set_config;
mod source;
mod targets;
mod types;
mod value;

use super::context::{Context, SearchPath};
use super::findings::Findings;
use super::functions::Functions;
use super::uses::{Reached, Uses};
use super::{PathChange, withheld};
use belay_model::{Code, Effect, Statement};
use pg_query::protobuf::Node;
use recursion::Round;
use scope::{Rows, Scope};
use value::Value;

/// A walk over one statement.
pub(super) struct Walk<'a> {
    functions: &'a Functions,
    context: Context<'a>,
    /// Where names without a schema are looked for.
    path: Option<&'a SearchPath>,
    /// What was found so far.
    pub(super) findings: Findings,
    uses: Uses<'a>,
    /// What can be seen from here, outermost first.
    scopes: Vec<Scope<'a>>,
    /// The recursive expressions that were begun, in order.
    rounds: Vec<Round>,
    /// The one setting that the column `name` of `pg_settings` can hold in the query at hand.
    named_setting: Option<&'a str>,
    /// The arguments of the call that makes up the whole statement, which is sure to be carried out once.
    sole_call: Option<&'a [Node]>,
    /// What it does to the search path, if anything.
    pub(super) new_path: Option<PathChange>,
    /// The parameters that name settings which it shows, where they are looked at when they are bound.
    pub(super) shown_settings: Option<Vec<usize>>,
}

/// What a whole query gives.
pub(super) struct Outcome<'a>(Rows<'a>);

impl<'a> Walk<'a> {
    /// A walk over a statement that by itself does only `effect`.
    pub(super) fn new(
        functions: &'a Functions,
        context: Context<'a>,
        path: Option<&'a SearchPath>,
        effect: Effect,
    ) -> Walk<'a> {
        Walk {
            functions,
            context,
            path,
            findings: Findings::new(effect),
            uses: Uses::default(),
            scopes: Vec::new(),
            rounds: Vec::new(),
            named_setting: None,
            sole_call: None,
            new_path: None,
            shown_settings: None,
        }
    }

    /// Something is made of the whole result: none of its columns comes out as it is.
    pub(super) fn compute_result(&mut self, result: &Outcome<'a>) {
        for column in &result.0.columns {
            self.compute(&column.value);
        }
    }

    /// The result is to be had by name later, when only the target tells whose its columns are. It does not tell of a
    /// set operation's.
    pub(super) fn compute_merged(&mut self, result: &Outcome<'a>) {
        for column in &result.0.columns {
            let mut origins = column.value.origins();
            if column.value.is_merged() || origins.any(|origin| self.uses.is_secret(origin.uses, origin.column)) {
                self.compute(&column.value);
            }
        }
    }

    /// The statement, whose rows are those of `result`.
    pub(super) fn into_statement(mut self, verb: impl Into<String>, result: Option<&Outcome<'a>>) -> Statement {
        let reached = self.uses.finish(self.context.catalog);
        if reached.too_many {
            let because = "it reaches more relations than can be followed".to_owned();
            self.findings.raise(Effect::Opaque, Some(Code::TooLarge), because);
        }
        self.refuse_through_views(&reached);
        let columns = result.into_iter().flat_map(|result| result.0.columns.iter().enumerate());
        let shows = columns.flat_map(|(position, column)| column.value.origins().map(move |origin| (position, origin)));
        let (secret, shows): (Vec<_>, Vec<_>) =
            shows.partition(|(_, origin)| self.uses.is_secret(origin.uses, origin.column));
        let shows = shows.into_iter();
        let shows =
            shows.filter_map(|(position, origin)| self.uses.shown(position, origin.uses, origin.column)).collect();
        let hides = secret.into_iter().filter_map(|(position, _)| u16::try_from(position).ok());
        let mut hides: Vec<u16> = hides.collect();
        hides.dedup();
        let mut statement = self.findings.into_statement(verb);
        statement.accesses = reached.accesses;
        statement.calls = reached.calls;
        statement.outward = reached.outward;
        statement.shows = shows;
        statement.hides = hides;
        statement
    }

    /// What the text does not name, a view may: functions that change something, relations that are withheld.
    fn refuse_through_views(&mut self, reached: &Reached) {
        for (column, why) in &reached.secrets {
            let because = format!("makes something of {column}, which {why}");
            self.findings.raise(Effect::Privilege, None, because);
        }
        for name in &reached.own_calls {
            if let Some(why) = self.functions.known("pg_catalog", name).refused_unseen() {
                let because = format!("reads a view or a type that calls {name}, which {why}");
                self.findings.raise(Effect::Opaque, Some(Code::UnknownFunction), because);
            }
        }
        for relation in &reached.own_reads {
            if let Some(why) = withheld::why(relation.schema.as_deref().unwrap_or_default(), &relation.name) {
                let because = format!("reads a view over {}, which {why}", relation.name);
                self.findings.raise(Effect::Privilege, None, because);
            }
        }
    }

    /// Expressions of which something is made.
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
        let value = self.value(node);
        self.compute(&value);
    }

    /// An expression that may be passed on as it is.
    fn value(&mut self, node: &'a Node) -> Value {
        // An absent node is an absent list item, as in `SELECT DISTINCT` without ON.
        node.node.as_ref().map(|kind| self.expression(kind)).unwrap_or_default()
    }

    /// Something depends on the value.
    fn compute(&mut self, value: &Value) {
        for origin in value.origins() {
            if !self.computed_in_round(origin) {
                self.uses.compute(origin.uses, origin.column);
            }
        }
    }

    fn not_understood(&mut self) {
        let because = "it uses a form of expression that Belay does not know".to_owned();
        self.findings.raise(Effect::Opaque, Some(Code::Opaque), because);
    }

    /// A name that the catalog does not have, or not for this.
    fn unknown_name(&mut self, what: &str, name: &str) {
        let because = format!("the {what} {name} is not in the catalog");
        self.findings.raise(Effect::Opaque, Some(Code::UnknownName), because);
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
