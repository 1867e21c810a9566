//! What a grammar takes a text for.

use pg_query::NodeEnum;
use pg_query::protobuf::{DefElem, Node};
use std::fmt;

/// How many statements there are, as far as a server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    None,
    One,
    Several,
}

/// What the strongest statement of a text is, as far as a server tells: `log_statement` knows these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Other,
    Data,
    Schema,
}

/// What came of reading a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is no SQL: the code of the error.
    Refused(String),
    /// It is; the level is not known where the server cannot be asked.
    Read(Count, Option<Level>),
}

impl Reading {
    /// By the grammar of the classifier.
    pub(crate) fn of_classifier(text: &str) -> Reading {
        // Deeply nested texts need more stack than a test's thread has.
        let text = text.to_owned();
        let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(move || read(&text));
        thread.expect("a thread").join().expect("the grammar ends in good order")
    }

    pub(crate) fn is_read(&self) -> bool {
        matches!(self, Reading::Read(..))
    }

    pub(crate) fn agrees(&self, other: &Reading) -> bool {
        match (self, other) {
            (Reading::Refused(_), Reading::Refused(_)) => true,
            (Reading::Read(count, Some(level)), Reading::Read(other, Some(of_other))) => {
                count == other && level == of_other
            }
            (Reading::Read(count, _), Reading::Read(other, _)) => count == other,
            _ => false,
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Refused(code) => write!(f, "refused {code}"),
            Reading::Read(count, Some(level)) => write!(f, "read {count:?} {level:?}"),
            Reading::Read(count, None) => write!(f, "read {count:?}"),
        }
    }
}

fn read(text: &str) -> Reading {
    let Ok(parsed) = pg_query::parse(text, 0) else { return Reading::Refused("as no SQL".to_owned()) };
    let nodes: Vec<_> = parsed.protobuf.stmts.iter().filter_map(|raw| raw.stmt.as_deref()).collect();
    let count = match nodes.len() {
        0 => Count::None,
        1 => Count::One,
        _ => Count::Several,
    };
    Reading::Read(count, Some(nodes.iter().map(|node| level(Some(node))).max().unwrap_or(Level::Other)))
}

/// As PostgreSQL's documentation of `log_statement` has it; everything that is not listed is about the schema.
fn level(node: Option<&Node>) -> Level {
    use NodeEnum as N;
    match node.and_then(|node| node.node.as_ref()) {
        Some(N::SelectStmt(select)) => {
            if select.into_clause.is_some() {
                Level::Schema
            } else {
                Level::Other
            }
        }
        Some(N::InsertStmt(_) | N::UpdateStmt(_) | N::DeleteStmt(_) | N::MergeStmt(_) | N::TruncateStmt(_)) => {
            Level::Data
        }
        Some(N::CopyStmt(copy)) => {
            if copy.is_from {
                Level::Data
            } else {
                Level::Other
            }
        }
        Some(N::PrepareStmt(prepare)) => level(prepare.query.as_deref()),
        Some(N::ExplainStmt(explain)) => {
            let analyze = explain.options.iter().filter_map(option).rfind(|option| option.defname == "analyze");
            if analyze.is_some_and(is_true) { level(explain.query.as_deref()) } else { Level::Other }
        }
        Some(
            N::TransactionStmt(_)
            | N::ExecuteStmt(_)
            | N::DeallocateStmt(_)
            | N::DeclareCursorStmt(_)
            | N::ClosePortalStmt(_)
            | N::FetchStmt(_)
            | N::CallStmt(_)
            | N::DoStmt(_)
            | N::VacuumStmt(_)
            | N::ReindexStmt(_)
            | N::CheckPointStmt(_)
            | N::LockStmt(_)
            | N::LoadStmt(_)
            | N::ListenStmt(_)
            | N::NotifyStmt(_)
            | N::UnlistenStmt(_)
            | N::VariableSetStmt(_)
            | N::VariableShowStmt(_)
            | N::DiscardStmt(_)
            | N::ConstraintsSetStmt(_),
        )
        | None => Level::Other,
        Some(_) => Level::Schema,
    }
}

fn option(node: &Node) -> Option<&DefElem> {
    match node.node.as_ref() {
        Some(NodeEnum::DefElem(element)) => Some(element),
        _ => None,
    }
}

fn is_true(option: &DefElem) -> bool {
    match option.arg.as_deref().and_then(|node| node.node.as_ref()) {
        None => true,
        Some(NodeEnum::Boolean(value)) => value.boolval,
        Some(NodeEnum::Integer(value)) => value.ival != 0,
        Some(NodeEnum::String(value)) => matches!(value.sval.to_lowercase().as_str(), "true" | "on"),
        Some(_) => false,
    }
}
