//! Reads the statements of one message, one after the other, as the session would run them.

use super::context::{Context, SearchPath};
use super::functions::Functions;
use super::statement::{self, Read};
use super::walk::Walk;
use super::{PathChange, Reading, SqlName};
use belay_model::{Code, Effect, Statement};
use pg_query::NodeEnum;
use pg_query::protobuf::{DiscardMode, ParseResult, RawStmt, TransactionStmtKind, VariableSetKind};
use std::sync::Arc;

/// What a walk needs to know.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    functions: &'a Functions,
    context: Context<'a>,
    path: Option<&'a SearchPath>,
}

impl<'a> Reader<'a> {
    pub(super) fn walk(&self, effect: Effect) -> Walk<'a> {
        Walk::new(self.functions, self.context, self.path, effect)
    }
}

/// The statements of a text, and whether every text of the same shape has the same.
pub(super) fn all(functions: &Functions, context: Context<'_>, text: &str, tree: &ParseResult) -> (Reading, bool) {
    // Which paths a statement may meet: a path that an earlier statement of the message has set, and once a transaction
    // ends in between, the ones before that too.
    let (mut paths, mut earlier) = (context.place.paths.clone(), Vec::new());
    let (mut by_shape, mut change) = (true, PathChange::None);
    let mut statements = Vec::with_capacity(tree.stmts.len());
    let mut names = Vec::new();
    for RawStmt { stmt, stmt_location, stmt_len } in &tree.stmts {
        let node = stmt.as_deref();
        let read = under_each(functions, context, &paths, |reader| statement::of_node(reader, node));
        by_shape &= read.by_shape;
        let kind = node.and_then(|node| node.node.as_ref());
        names.extend(kind.and_then(|kind| named(kind, statements.len(), || part(text, *stmt_location, *stmt_len))));
        names.extend(read.shown_settings.iter().map(|parameter| SqlName::Shows { parameter: *parameter }));
        match kind.map_or(PathChange::None, |kind| path_change(kind, read.new_path, context)) {
            // One statement does not leave several paths possible.
            PathChange::None | PathChange::Among(_) => {}
            PathChange::Back => {
                paths.extend(earlier.iter().filter(|path| !paths.contains(path)).cloned().collect::<Vec<_>>());
                change = match change {
                    PathChange::None | PathChange::Back => PathChange::Back,
                    // What was set until the end of the transaction is gone with it.
                    PathChange::Local(_) if !is_to_savepoint(kind) => PathChange::Back,
                    PathChange::To(_) | PathChange::Local(_) | PathChange::Among(_) => PathChange::Among(paths.clone()),
                };
            }
            next @ (PathChange::To(_) | PathChange::Local(_)) => {
                earlier.append(&mut paths);
                paths.extend(next.path().cloned());
                change = match (&change, &next) {
                    (PathChange::None | PathChange::Local(_), _) | (PathChange::To(_), PathChange::To(_)) => next,
                    // What a commit leaves is another one than what is in force.
                    _ => PathChange::Among(paths.iter().chain(&earlier).cloned().collect()),
                };
            }
        }
        statements.push(read.statement);
    }
    (Reading { statements: statements.into(), path: change, names: names.into() }, by_shape)
}

/// One statement under each path that may be in force: what it does has to be the same, but a path under which a name
/// means nothing does not count.
fn under_each<'a>(
    functions: &'a Functions,
    context: Context<'a>,
    paths: &'a [SearchPath],
    read: impl Fn(Reader<'a>) -> Read,
) -> Read {
    let under = |path| read(Reader { functions, context, path });
    let Some((first, others)) = paths.split_first() else { return under(None) };
    let mut settled = under(Some(first));
    for path in others {
        let other = under(Some(path));
        if other == settled || is_unknown(&other.statement) {
            continue;
        }
        if is_unknown(&settled.statement) {
            settled = other;
            continue;
        }
        return ambiguous(settled);
    }
    settled
}

fn is_unknown(statement: &Statement) -> bool {
    statement.code == Some(Code::UnknownName)
}

fn ambiguous(read: Read) -> Read {
    let mut statement = Statement::new(Effect::Opaque, read.statement.verb);
    statement.relations = read.statement.relations;
    statement.code = Some(Code::Ambiguous);
    statement.because = Some("the search_path is not settled: write the schema before each name".to_owned());
    Read { statement, by_shape: false, new_path: None, shown_settings: Vec::new() }
}

/// The prepared statement or cursor that a statement names.
fn named(kind: &NodeEnum, statement: usize, text: impl Fn() -> Arc<str>) -> Option<SqlName> {
    match kind {
        NodeEnum::PrepareStmt(prepare) => Some(SqlName::Prepares { name: cut(&prepare.name), text: text() }),
        NodeEnum::ExecuteStmt(execute) => Some(SqlName::Executes { statement, name: cut(&execute.name) }),
        NodeEnum::FetchStmt(fetch) => Some(SqlName::Fetches { statement, name: cut(&fetch.portalname) }),
        NodeEnum::DeclareCursorStmt(declare) => Some(SqlName::Declares { name: cut(&declare.portalname) }),
        NodeEnum::DeallocateStmt(deallocate) if !deallocate.isall => {
            Some(SqlName::Deallocates { name: cut(&deallocate.name) })
        }
        NodeEnum::VariableSetStmt(set) if set.name == "role" => {
            let role = statement::value(set.args.first()?)?;
            (role != "none").then(|| SqlName::ActsAs { role: cut(&role) })
        }
        NodeEnum::ExplainStmt(explain) => named(explain.query.as_ref()?.node.as_ref()?, statement, text),
        _ => None,
    }
}

/// The server cuts names here.
fn cut(name: &str) -> String {
    name.get(..name.floor_char_boundary(63)).unwrap_or_default().to_owned()
}

/// One statement's own text.
fn part(text: &str, start: i32, length: i32) -> Arc<str> {
    let start = usize::try_from(start).unwrap_or(0);
    let end = match usize::try_from(length) {
        Ok(0) | Err(_) => text.len(),
        Ok(length) => start.saturating_add(length),
    };
    Arc::from(text.get(start..end).unwrap_or(text))
}

/// What a statement does to the search path.
fn path_change(kind: &NodeEnum, by_function: Option<PathChange>, context: Context<'_>) -> PathChange {
    let default = || context.place.default_path.clone();
    let set = |path: Option<SearchPath>, local: bool| match path {
        Some(path) if local => PathChange::Local(path),
        Some(path) => PathChange::To(path),
        None => PathChange::None,
    };
    if let Some(change) = by_function {
        return change;
    }
    match kind {
        NodeEnum::TransactionStmt(transaction) => match TransactionStmtKind::try_from(transaction.kind) {
            // What was set before in the same message becomes part of the transaction that they begin.
            Ok(
                TransactionStmtKind::TransStmtBegin
                | TransactionStmtKind::TransStmtStart
                | TransactionStmtKind::TransStmtSavepoint
                | TransactionStmtKind::TransStmtRelease,
            ) => PathChange::None,
            _ => PathChange::Back,
        },
        NodeEnum::DiscardStmt(discard) if discard.target == DiscardMode::DiscardAll as i32 => set(default(), false),
        NodeEnum::VariableSetStmt(variable) => match VariableSetKind::try_from(variable.kind) {
            Ok(VariableSetKind::VarResetAll) => set(default(), false),
            _ if !variable.name.eq_ignore_ascii_case("search_path") => PathChange::None,
            Ok(VariableSetKind::VarSetValue) => {
                let names: Option<Vec<String>> = variable.args.iter().map(statement::value).collect();
                let path = names.map(|names| SearchPath::of(names.into_iter(), &context.place.role));
                set(path, variable.is_local)
            }
            _ => set(default(), variable.is_local),
        },
        _ => PathChange::None,
    }
}

/// ROLLBACK TO, which takes back only what came after the savepoint.
fn is_to_savepoint(kind: Option<&NodeEnum>) -> bool {
    let to = TransactionStmtKind::TransStmtRollbackTo as i32;
    matches!(kind, Some(NodeEnum::TransactionStmt(transaction)) if transaction.kind == to)
}
