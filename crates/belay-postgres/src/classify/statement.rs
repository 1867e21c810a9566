//! One statement, by its outermost node.

use super::reader::Reader;
use super::walk::{self, query};
use super::{PathChange, code, definition, session};
use belay_model::{Code, Effect, Statement};
use pg_query::protobuf::{
    CopyStmt, DeclareCursorStmt, DefElem, DropStmt, ExecuteStmt, ExplainStmt, LockStmt, Node, ObjectType, PrepareStmt,
    RangeVar, SelectStmt, TruncateStmt, a_const,
};
use pg_query::{LockMode, NodeEnum};

/// One statement, under one search path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    pub(super) statement: Statement,
    /// Every text of the same shape has the same statement.
    pub(super) by_shape: bool,
    /// A new value for `search_path`.
    pub(super) new_path: Option<PathChange>,
    /// The parameters that name settings which it shows.
    pub(super) shown_settings: Vec<usize>,
}

impl Read {
    fn once(statement: Statement) -> Read {
        Read { statement, by_shape: false, new_path: None, shown_settings: Vec::new() }
    }
}

pub(super) fn of_node(reader: Reader<'_>, node: Option<&Node>) -> Read {
    match node.and_then(|node| node.node.as_ref()) {
        Some(kind) => of_kind(reader, kind, Purpose::Rows),
        None => Read::once(unknown()),
    }
}

/// What becomes of a query's rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// They go to the client.
    Rows,
    /// They are to be had later by a name.
    Named,
    /// Nobody sees them.
    Nothing,
}

fn of_kind(reader: Reader<'_>, kind: &NodeEnum, purpose: Purpose) -> Read {
    Read::once(match kind {
        NodeEnum::SelectStmt(select) => return read(reader, kind, select, purpose),
        NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
            return change(reader, kind, purpose);
        }
        NodeEnum::ExplainStmt(explain) => return of_explain(reader, explain),
        NodeEnum::PrepareStmt(prepare) => return of_prepare(reader, prepare),
        NodeEnum::DeclareCursorStmt(declare) => {
            let DeclareCursorStmt { portalname: _, options: _, query } = declare.as_ref();
            return wrapped("DECLARE CURSOR", of_inner(reader, query.as_deref(), Purpose::Named));
        }
        NodeEnum::ExecuteStmt(execute) => of_execute(reader, execute),
        NodeEnum::CopyStmt(copy) => of_copy(reader, copy),
        NodeEnum::DoStmt(block) => code::of_do(reader, block),
        NodeEnum::CallStmt(call) => code::of_call(reader, call),
        NodeEnum::LockStmt(lock) => of_lock(reader, lock),
        NodeEnum::TruncateStmt(truncate) => of_truncate(reader, truncate),
        NodeEnum::DropStmt(drop) if drop.remove_type == ObjectType::ObjectTable as i32 => {
            of_drop(reader, drop).or_else(|| definition::of(kind)).unwrap_or_else(unknown)
        }
        _ => session::of(kind).or_else(|| definition::of(kind)).unwrap_or_else(unknown),
    })
}

fn of_inner(reader: Reader<'_>, node: Option<&Node>, purpose: Purpose) -> Read {
    match node.and_then(|node| node.node.as_ref()) {
        Some(kind) => of_kind(reader, kind, purpose),
        None => Read::once(unknown()),
    }
}

fn unknown() -> Statement {
    let mut statement = Statement::new(Effect::Opaque, "statement");
    statement.because = Some("it is of a kind that Belay does not know".to_owned());
    statement.code = Some(Code::Opaque);
    statement
}

fn read(reader: Reader<'_>, kind: &NodeEnum, select: &SelectStmt, purpose: Purpose) -> Read {
    let mut walk = reader.walk(Effect::Read);
    if purpose == Purpose::Rows {
        walk.expect_setting(select);
        walk.shown_settings = Some(Vec::new());
    }
    let outcome = walk.query(kind);
    if purpose == Purpose::Named {
        walk.compute_merged(&outcome);
    }
    let verb = if select.into_clause.is_some() {
        "SELECT INTO"
    } else if select.values_lists.is_empty() {
        "SELECT"
    } else {
        "VALUES"
    };
    let (by_shape, new_path) = (walk.findings.holds_by_shape(), walk.new_path.take());
    let shown = (purpose == Purpose::Rows).then_some(&outcome);
    let shown_settings = walk.shown_settings.take().unwrap_or_default();
    Read { statement: walk.into_statement(verb, shown), by_shape, new_path, shown_settings }
}

fn change(reader: Reader<'_>, kind: &NodeEnum, purpose: Purpose) -> Read {
    let mut walk = reader.walk(Effect::Read);
    walk.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), None);
    let outcome = walk.query(kind);
    let shown = (purpose == Purpose::Rows).then_some(&outcome);
    let by_shape = walk.findings.holds_by_shape();
    let statement = walk.into_statement(query::change(kind).unwrap_or("change"), shown);
    Read { statement, by_shape, new_path: None, shown_settings: Vec::new() }
}

/// EXPLAIN does what the statement in it does, also without ANALYZE: planning runs functions, takes the statement's
/// table locks, and asks for its rights, which a read-only role does not have.
fn of_explain(reader: Reader<'_>, explain: &ExplainStmt) -> Read {
    let ExplainStmt { query, options } = explain;
    let runs = options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) => option.defname.eq_ignore_ascii_case("analyze"),
        _ => false,
    });
    let inner = of_inner(reader, query.as_deref(), Purpose::Nothing);
    let mut read = wrapped(if runs { "EXPLAIN ANALYZE" } else { "EXPLAIN" }, inner);
    let statement = &mut read.statement;
    if statement.effect == Effect::Write && statement.because.is_none() && !runs {
        statement.because = Some("planning it takes its locks and asks for its rights".to_owned());
    }
    read
}

/// A statement around another: what is inside decides, and is named where it is no read.
fn wrapped(verb: &str, mut read: Read) -> Read {
    let inner = &mut read.statement;
    inner.verb = if inner.effect <= Effect::Read { verb.to_owned() } else { format!("{verb} {}", inner.verb) };
    read.by_shape = false;
    read
}

/// Its arguments are turned into the types that it names.
fn of_prepare(reader: Reader<'_>, prepare: &PrepareStmt) -> Read {
    let PrepareStmt { name: _, argtypes, query } = prepare;
    let mut read = of_inner(reader, query.as_deref(), Purpose::Named);
    let mut walk = reader.walk(Effect::Read);
    for node in argtypes {
        match &node.node {
            Some(NodeEnum::TypeName(name)) => walk.type_name(Some(name)),
            _ => walk.findings.raise(Effect::Opaque, Some(Code::Opaque), None),
        }
    }
    let types = walk.into_statement(read.statement.verb.clone(), None);
    if types.effect > Effect::Read && read.statement.effect <= Effect::Read {
        read.statement = types;
    } else {
        read.statement.calls.extend(types.calls);
        read.statement.outward.extend(types.outward);
    }
    wrapped("PREPARE", read)
}

/// What a prepared statement does was settled when it was prepared; its arguments are expressions, cast to the types
/// that were named there.
fn of_execute(reader: Reader<'_>, execute: &ExecuteStmt) -> Statement {
    let ExecuteStmt { name: _, params } = execute;
    let mut walk = reader.walk(Effect::Read);
    for node in params {
        walk.converted_to_any(node);
    }
    walk.into_statement("EXECUTE", None)
}

fn of_copy(reader: Reader<'_>, copy: &CopyStmt) -> Statement {
    let CopyStmt { relation, query, attlist, is_from, is_program, filename, options: _, where_clause } = copy;
    let mut walk = reader.walk(Effect::Read);
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
        walk.copied(table, attlist);
    }
    // The rows are not those of a result: nothing in them could be masked.
    if let Some(kind) = query.as_ref().and_then(|node| node.node.as_ref()) {
        let outcome = walk.copied_query(kind);
        walk.compute_result(&outcome);
    }
    walk.optional(where_clause.as_deref());
    walk.into_statement(if *is_from { "COPY FROM" } else { "COPY TO" }, None)
}

/// The weakest table lock is the one that every read takes; the strongest is that of a change of definitions, and cannot
/// be told from it afterwards.
fn of_lock(reader: Reader<'_>, lock: &LockStmt) -> Statement {
    let LockStmt { relations, mode, nowait: _ } = lock;
    let mut walk = reader.walk(Effect::Read);
    if *mode == LockMode::AccessExclusiveLock as i32 {
        let because =
            "ACCESS EXCLUSIVE keeps even readers from the table; IN EXCLUSIVE MODE keeps all writers".to_owned();
        walk.findings.raise(Effect::Definition, Some(Code::WriteInReadOnly), because);
    } else if *mode != LockMode::AccessShareLock as i32 {
        let because = "only ACCESS SHARE does not keep others from the table".to_owned();
        walk.findings.raise(Effect::Write, Some(Code::WriteInReadOnly), because);
    }
    for node in relations {
        match &node.node {
            Some(NodeEnum::RangeVar(table)) => walk.locked(table),
            _ => walk.findings.raise(Effect::Opaque, Some(Code::Opaque), None),
        }
    }
    walk.into_statement("LOCK TABLE", None)
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

/// It empties tables without a word of their rows.
fn of_truncate(reader: Reader<'_>, truncate: &TruncateStmt) -> Statement {
    let TruncateStmt { relations, restart_seqs: _, behavior: _ } = truncate;
    let mut walk = reader.walk(Effect::Session);
    walk.findings.raise(Effect::Definition, Some(Code::Definition), None);
    for node in relations {
        match &node.node {
            Some(NodeEnum::RangeVar(table)) => walk.locked(table),
            _ => walk.findings.raise(Effect::Opaque, Some(Code::Opaque), None),
        }
    }
    walk.into_statement("TRUNCATE", None)
}

/// The tables that it drops, by what their names mean; nothing where one of them means nothing.
fn of_drop(reader: Reader<'_>, drop: &DropStmt) -> Option<Statement> {
    let table = |object: &Node| {
        let Some(NodeEnum::List(list)) = &object.node else { return None };
        let words = walk::words(&list.items)?;
        let (name, schemas) = words.split_last()?;
        Some(RangeVar {
            schemaname: schemas.last().copied().unwrap_or_default().to_owned(),
            relname: (*name).to_owned(),
            inh: true,
            relpersistence: "p".to_owned(),
            ..RangeVar::default()
        })
    };
    let tables = drop.objects.iter().map(table).collect::<Option<Vec<_>>>()?;
    let mut walk = reader.walk(Effect::Session);
    walk.findings.raise(Effect::Definition, Some(Code::Definition), None);
    for table in &tables {
        walk.locked(table);
    }
    let statement = walk.into_statement("DROP TABLE", None);
    (statement.effect == Effect::Definition).then_some(statement)
}
