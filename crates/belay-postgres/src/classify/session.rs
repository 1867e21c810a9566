//! Statements about the session itself: transactions, settings, cursors, prepared statements, notifications.

use super::context::SCHEMAS;
use super::shown_setting;
use super::statement::{options, value};
use crate::settings;
use belay_model::{Code, Effect, Statement};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DiscardMode, DiscardStmt, FetchStmt, Node, TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt,
    a_const,
};

/// The statement, where this node is one of these.
pub(super) fn of(kind: &NodeEnum) -> Option<Statement> {
    Some(match kind {
        NodeEnum::TransactionStmt(transaction) => of_transaction(transaction),
        NodeEnum::VariableSetStmt(set) => of_set(set),
        NodeEnum::VariableShowStmt(show) if shown_setting::may_show(&show.name) => session("SHOW"),
        NodeEnum::VariableShowStmt(show) => {
            refused(Effect::Privilege, "SHOW", Code::Privilege, shown_setting::why(&show.name))
        }
        NodeEnum::ConstraintsSetStmt(_) => session("SET CONSTRAINTS"),
        NodeEnum::DiscardStmt(discard) => of_discard(*discard),
        NodeEnum::FetchStmt(fetch) => of_fetch(fetch),
        NodeEnum::ClosePortalStmt(_) => session("CLOSE"),
        NodeEnum::DeallocateStmt(_) => session("DEALLOCATE"),
        NodeEnum::UnlistenStmt(_) => session("UNLISTEN"),
        NodeEnum::ListenStmt(_) => {
            refused(Effect::Privilege, "LISTEN", Code::Privilege, "it opens a channel from other sessions")
        }
        NodeEnum::NotifyStmt(_) => {
            refused(Effect::Write, "NOTIFY", Code::WriteInReadOnly, "it sends to other sessions")
        }
        _ => return None,
    })
}

fn session(verb: &str) -> Statement {
    Statement::new(Effect::Session, verb)
}

fn refused(effect: Effect, verb: &str, code: Code, because: impl Into<String>) -> Statement {
    let mut statement = Statement::new(effect, verb);
    statement.because = Some(because.into());
    statement.code = Some(code);
    statement
}

/// What a cursor reads was settled when it was declared.
fn of_fetch(fetch: &FetchStmt) -> Statement {
    Statement::new(Effect::Read, if fetch.ismove { "MOVE" } else { "FETCH" })
}

fn of_transaction(transaction: &TransactionStmt) -> Statement {
    let TransactionStmt { kind, options, savepoint_name: _, gid: _, chain, location: _ } = transaction;
    let two_phase = |verb: &str| refused(Effect::Privilege, verb, Code::Privilege, "it outlives the session");
    match TransactionStmtKind::try_from(*kind) {
        Ok(TransactionStmtKind::TransStmtBegin) => with_modes("BEGIN", options),
        Ok(TransactionStmtKind::TransStmtStart) => with_modes("START TRANSACTION", options),
        Ok(TransactionStmtKind::TransStmtCommit) => session(if *chain { "COMMIT AND CHAIN" } else { "COMMIT" }),
        Ok(TransactionStmtKind::TransStmtRollback) => session(if *chain { "ROLLBACK AND CHAIN" } else { "ROLLBACK" }),
        Ok(TransactionStmtKind::TransStmtSavepoint) => session("SAVEPOINT"),
        Ok(TransactionStmtKind::TransStmtRelease) => session("RELEASE"),
        Ok(TransactionStmtKind::TransStmtRollbackTo) => session("ROLLBACK TO"),
        Ok(TransactionStmtKind::TransStmtPrepare) => two_phase("PREPARE TRANSACTION"),
        Ok(TransactionStmtKind::TransStmtCommitPrepared) => two_phase("COMMIT PREPARED"),
        Ok(TransactionStmtKind::TransStmtRollbackPrepared) => two_phase("ROLLBACK PREPARED"),
        Ok(TransactionStmtKind::Undefined) | Err(_) => {
            refused(Effect::Opaque, "transaction", Code::Opaque, "it is of a kind that Belay does not know")
        }
    }
}

/// A statement with transaction modes: only READ WRITE asks for more than the session has.
fn with_modes(verb: &str, modes: &[Node]) -> Statement {
    let Some(modes) = options(modes) else { return unknown_mode(verb) };
    for mode in modes {
        match mode.defname.as_str() {
            "transaction_isolation" | "transaction_deferrable" => {}
            "transaction_read_only" if mode.arg.as_deref().and_then(value).as_deref() == Some("1") => {}
            "transaction_read_only" => {
                let because = "it asks for a read-write transaction";
                return refused(Effect::Write, verb, Code::WriteInReadOnly, because);
            }
            _ => return unknown_mode(verb),
        }
    }
    session(verb)
}

fn unknown_mode(verb: &str) -> Statement {
    refused(Effect::Opaque, verb, Code::Opaque, "it has a transaction mode that Belay does not know")
}

fn of_set(set: &VariableSetStmt) -> Statement {
    let VariableSetStmt { kind, name, args, jumble_args: _, is_local: _, location: _ } = set;
    let verb = match name.as_str() {
        "role" => "SET ROLE",
        "session_authorization" => "SET SESSION AUTHORIZATION",
        _ => "SET",
    };
    match VariableSetKind::try_from(*kind) {
        Ok(VariableSetKind::VarSetValue) if name.eq_ignore_ascii_case("search_path") && !is_path(args) => {
            let because = format!("sets search_path to what is no list of at most {SCHEMAS} names");
            refused(Effect::Privilege, verb, Code::GuardedSetting, because)
        }
        Ok(VariableSetKind::VarSetValue) => {
            // A list has no value of its own; it is fine only where any value is.
            let single = if let [only] = args.as_slice() { value(only) } else { None };
            ruled(verb, name, settings::may_set(name, single.as_deref()))
        }
        Ok(VariableSetKind::VarSetDefault) => ruled(verb, name, settings::may_reset(name)),
        Ok(VariableSetKind::VarReset) => {
            ruled(if name == "role" { "RESET ROLE" } else { "RESET" }, name, settings::may_reset(name))
        }
        // What lifts read-only by going back to a default is the gateway's to prevent: the defaults are its own.
        Ok(VariableSetKind::VarResetAll) => session("RESET ALL"),
        Ok(VariableSetKind::VarSetMulti) if name == "TRANSACTION" => with_modes("SET TRANSACTION", args),
        Ok(VariableSetKind::VarSetMulti) if name == "SESSION CHARACTERISTICS" => {
            with_modes("SET SESSION CHARACTERISTICS", args)
        }
        Ok(VariableSetKind::VarSetMulti | VariableSetKind::VarSetCurrent | VariableSetKind::Undefined) | Err(_) => {
            ruled("SET", name, false)
        }
    }
}

/// Whether these are names, and few enough to be followed.
fn is_path(args: &[Node]) -> bool {
    let is_name = |node: &Node| match &node.node {
        Some(NodeEnum::AConst(constant)) => matches!(constant.val, Some(a_const::Val::Sval(_))),
        _ => false,
    };
    args.len() <= SCHEMAS && args.iter().all(is_name)
}

fn ruled(verb: &str, name: &str, allowed: bool) -> Statement {
    if allowed {
        return session(verb);
    }
    let because = format!("sets {}, which a guarded session may not", name.to_ascii_lowercase());
    refused(Effect::Privilege, verb, Code::GuardedSetting, because)
}

/// DISCARD ALL is what poolers send between clients: it resets settings as RESET ALL does, gives up what the session
/// holds, and goes back to the role that logged in, which is the grant's own.
fn of_discard(discard: DiscardStmt) -> Statement {
    match DiscardMode::try_from(discard.target) {
        Ok(DiscardMode::DiscardAll) => session("DISCARD ALL"),
        Ok(DiscardMode::DiscardPlans) => session("DISCARD PLANS"),
        Ok(DiscardMode::DiscardSequences) => session("DISCARD SEQUENCES"),
        Ok(DiscardMode::DiscardTemp) => session("DISCARD TEMP"),
        Ok(DiscardMode::Undefined) | Err(_) => {
            refused(Effect::Opaque, "DISCARD", Code::Opaque, "it is of a kind that Belay does not know")
        }
    }
}
