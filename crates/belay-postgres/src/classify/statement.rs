//! One statement, by its outermost node.

use super::functions::Functions;
use super::walk::{Walk, query};
use super::{definition, session};
use belay_model::{Code, Effect, Statement};
use pg_query::protobuf::{
    CopyStmt, DeclareCursorStmt, DefElem, ExecuteStmt, ExplainStmt, LockStmt, Node, ParseResult, PrepareStmt, RawStmt,
    SelectStmt, a_const,
};
use pg_query::{LockMode, NodeEnum};
use std::sync::Arc;

/// The statements of a text, and whether every text of the same shape has the same.
pub(super) fn all(functions: &Functions, tree: &ParseResult) -> (Arc<[Statement]>, bool) {
    let mut by_shape = true;
    let statements = tree
        .stmts
        .iter()
        .map(|RawStmt { stmt, stmt_location: _, stmt_len: _ }| {
            let read = of_node(functions, stmt.as_deref());
            by_shape &= read.by_shape;
            read.statement
        })
        .collect();
    (statements, by_shape)
}

struct Read {
    statement: Statement,
    by_shape: bool,
}

impl Read {
    fn once(statement: Statement) -> Read {
        Read { statement, by_shape: false }
    }
}

fn of_node(functions: &Functions, node: Option<&Node>) -> Read {
    match node.and_then(|node| node.node.as_ref()) {
        Some(kind) => of_kind(functions, kind),
        None => Read::once(unknown()),
    }
}

fn of_kind(functions: &Functions, kind: &NodeEnum) -> Read {
    if let NodeEnum::SelectStmt(select) = kind {
        return read(functions, kind, select);
    }
    Read::once(match kind {
        NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
            change(functions, kind)
        }
        NodeEnum::ExplainStmt(explain) => of_explain(functions, explain),
        NodeEnum::PrepareStmt(prepare) => {
            let PrepareStmt { name: _, argtypes: _, query } = prepare.as_ref();
            wrapped("PREPARE", of_node(functions, query.as_deref()).statement)
        }
        NodeEnum::DeclareCursorStmt(declare) => {
            let DeclareCursorStmt { portalname: _, options: _, query } = declare.as_ref();
            wrapped("DECLARE CURSOR", of_node(functions, query.as_deref()).statement)
        }
        NodeEnum::ExecuteStmt(execute) => of_execute(functions, execute),
        NodeEnum::CopyStmt(copy) => of_copy(functions, copy),
        NodeEnum::LockStmt(lock) => of_lock(functions, lock),
        _ => session::of(kind).or_else(|| definition::of(kind)).unwrap_or_else(unknown),
    })
}

fn unknown() -> Statement {
    let mut statement = Statement::new(Effect::Opaque, "statement");
    statement.because = Some("it is of a kind that Belay does not know".to_owned());
    statement.code = Some(Code::Opaque);
    statement
}

fn read(functions: &Functions, kind: &NodeEnum, select: &SelectStmt) -> Read {
    let mut walk = Walk::new(functions, Effect::Read);
    walk.query(kind);
    let by_shape = walk.findings.holds_by_shape();
    let verb = if select.into_clause.is_some() {
        "SELECT INTO"
    } else if select.values_lists.is_empty() {
        "SELECT"
    } else {
        "VALUES"
    };
    Read { statement: walk.findings.into_statement(verb), by_shape }
}

fn change(functions: &Functions, kind: &NodeEnum) -> Statement {
    let mut walk = Walk::new(functions, Effect::Read);
    walk.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), None);
    walk.query(kind);
    walk.findings.into_statement(query::change(kind).unwrap_or("change"))
}

/// EXPLAIN does what the statement in it does, also without ANALYZE: planning runs functions, takes the statement's
/// table locks, and asks for its rights, which a read-only role does not have.
fn of_explain(functions: &Functions, explain: &ExplainStmt) -> Statement {
    let ExplainStmt { query, options } = explain;
    let runs = options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) => option.defname.eq_ignore_ascii_case("analyze"),
        _ => false,
    });
    let mut statement =
        wrapped(if runs { "EXPLAIN ANALYZE" } else { "EXPLAIN" }, of_node(functions, query.as_deref()).statement);
    if statement.effect == Effect::Write && statement.because.is_none() && !runs {
        statement.because = Some("planning it takes its locks and asks for its rights".to_owned());
    }
    statement
}

/// A statement around another: what is inside decides, and is named where it is no read.
fn wrapped(verb: &str, mut inner: Statement) -> Statement {
    inner.verb = if inner.effect <= Effect::Read { verb.to_owned() } else { format!("{verb} {}", inner.verb) };
    inner
}

/// What a prepared statement does was settled when it was prepared; its arguments are expressions.
fn of_execute(functions: &Functions, execute: &ExecuteStmt) -> Statement {
    let ExecuteStmt { name: _, params } = execute;
    let mut walk = Walk::new(functions, Effect::Read);
    walk.nodes(params);
    walk.findings.into_statement("EXECUTE")
}

fn of_copy(functions: &Functions, copy: &CopyStmt) -> Statement {
    let CopyStmt { relation, query, attlist: _, is_from, is_program, filename, options: _, where_clause } = copy;
    let mut walk = Walk::new(functions, Effect::Read);
    let refusal = match (is_from, is_program, filename.is_empty()) {
        (_, true, _) => Some((Effect::Privilege, Code::CopyRefused, "it runs a program on the server")),
        (true, false, false) => Some((Effect::Privilege, Code::CopyRefused, "it reads a file of the server")),
        (false, false, false) => Some((Effect::Privilege, Code::CopyRefused, "it writes a file of the server")),
        (true, false, true) => Some((Effect::Write, Code::WriteInReadOnly, "it writes rows")),
        (false, false, true) => None,
    };
    if let Some((effect, code, because)) = refusal {
        walk.findings.raise(effect, Some(code), because.to_owned());
    }
    if let Some(table) = relation {
        walk.relation(table);
    }
    walk.optional(query.as_deref());
    walk.optional(where_clause.as_deref());
    walk.findings.into_statement(if *is_from { "COPY FROM" } else { "COPY TO" })
}

/// The weakest table lock is the one that every read takes.
fn of_lock(functions: &Functions, lock: &LockStmt) -> Statement {
    let LockStmt { relations, mode, nowait: _ } = lock;
    let mut walk = Walk::new(functions, Effect::Read);
    if *mode != LockMode::AccessShareLock as i32 {
        let because = "only ACCESS SHARE does not keep others from the table".to_owned();
        walk.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), because);
    }
    walk.nodes(relations);
    walk.findings.into_statement("LOCK TABLE")
}

/// The text of an option's value, as the server would read it.
pub(super) fn value(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::AConst(constant)) => match constant.val.as_ref()? {
            a_const::Val::Ival(number) => Some(number.ival.to_string()),
            a_const::Val::Fval(number) => Some(number.fval.clone()),
            a_const::Val::Boolval(truth) => Some(truth.boolval.to_string()),
            a_const::Val::Sval(text) => Some(text.sval.clone()),
            a_const::Val::Bsval(_) => None,
        },
        _ => None,
    }
}

/// The options of a statement by name; `None` where one is something else.
pub(super) fn options(nodes: &[Node]) -> Option<Vec<&DefElem>> {
    nodes
        .iter()
        .map(|node| match &node.node {
            Some(NodeEnum::DefElem(option)) => Some(option.as_ref()),
            _ => None,
        })
        .collect()
}
