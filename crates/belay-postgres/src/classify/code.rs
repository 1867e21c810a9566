//! Code that Belay does not read: blocks and procedures.

use super::reader::Reader;
use super::walk;
use belay_model::{Code, Effect, Statement};
use pg_query::NodeEnum;
use pg_query::protobuf::{CallStmt, DoStmt, Node};

/// A block. The names in it tell of what it calls, unless it puts them together as it runs.
pub(super) fn of_do(reader: Reader<'_>, block: &DoStmt) -> Statement {
    let mut walk = reader.walk(Effect::Read);
    for text in block.args.iter().filter_map(text) {
        let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
        for word in text.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()) {
            // Whatever schema stands before it, and whether or not it is quoted.
            walk.may_leave_by(None, word);
            let folded = word.to_ascii_lowercase();
            if folded != word {
                walk.may_leave_by(None, &folded);
            }
        }
    }
    opaque("DO", &walk.into_statement("DO", None))
}

/// A procedure, by its name and by what its arguments call.
pub(super) fn of_call(reader: Reader<'_>, call: &CallStmt) -> Statement {
    let mut walk = reader.walk(Effect::Read);
    if let Some(call) = &call.funccall {
        walk.nodes(&call.args);
        let words = walk::words(&call.funcname).unwrap_or_default();
        if let Some((name, schemas)) = words.split_last() {
            walk.may_leave_by(schemas.last().copied(), name);
        }
    }
    opaque("CALL", &walk.into_statement("CALL", None))
}

fn text(node: &Node) -> Option<&str> {
    let Some(NodeEnum::DefElem(option)) = &node.node else { return None };
    match option.arg.as_ref()?.node.as_ref()? {
        NodeEnum::String(text) => Some(&text.sval),
        _ => None,
    }
}

fn opaque(verb: &str, walked: &Statement) -> Statement {
    let mut statement = Statement::new(Effect::Opaque, verb);
    statement.because = Some("it runs code that Belay does not read".to_owned());
    statement.code = Some(Code::Opaque);
    statement.calls.clone_from(&walked.outward);
    statement.outward.clone_from(&walked.outward);
    statement
}
