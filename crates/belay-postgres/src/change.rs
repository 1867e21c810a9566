//! Changes in words for clients.

use crate::capture::CaptureError;
use crate::passing::is_passing;
use crate::revert::RevertError;
use crate::wire::passed_on;
use belay_change::ChangeSet;
use belay_engine::Settled;
use belay_model::{ChangeId, Code, Denial};

/// How many tables a detail names.
const TABLES: usize = 8;

/// What changes, by table and operation.
pub(crate) fn counts(set: &ChangeSet) -> String {
    let changed: Vec<_> =
        set.tables.iter().filter(|table| table.inserted + table.updated + table.deleted > 0).collect();
    let mut parts: Vec<String> = Vec::new();
    for table in changed.iter().take(TABLES) {
        let counts = [(table.inserted, "inserted"), (table.updated, "updated"), (table.deleted, "deleted")];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let by = if table.indirect { " by a cascade, a trigger or a function" } else { "" };
        let counts = counts.collect::<Vec<_>>().join(", ");
        parts.push(format!("{}.{}: {counts}{by}", table.table.schema, table.table.name));
    }
    if changed.len() > TABLES {
        parts.push(format!("and {} more tables", changed.len() - TABLES));
    }
    parts.join("; ")
}

/// What the client is told where a transaction was rolled back because of this.
pub(crate) fn denied(error: &CaptureError) -> Denial {
    const ROLLED_BACK: &str = "The transaction was rolled back; nothing in the database has changed.";
    let (code, message, instead) = match error {
        CaptureError::Irreversible { what, instead } => {
            (Code::Irreversible, format!("refused: {what}"), instead.clone())
        }
        CaptureError::TooMuch(what) => {
            (Code::ChangeTooLarge, format!("refused: {what}"), Code::ChangeTooLarge.remedy().to_owned())
        }
        CaptureError::TooLarge { what, instead } => (Code::ChangeTooLarge, format!("refused: {what}"), instead.clone()),
        CaptureError::Target { sqlstate, message } => {
            let instead = "try again, or with fewer rows; the target's own log may tell more".to_owned();
            (Code::NotKept, format!("rolled back: {message} ({sqlstate})"), instead)
        }
        CaptureError::Lost(_) | CaptureError::Unexpected(_) | CaptureError::Sink(_) => {
            (Code::NotKept, format!("rolled back: {error}"), Code::NotKept.remedy().to_owned())
        }
    };
    let detail = match code {
        // What stands in the way is in the message.
        Code::Irreversible => {
            format!("What it did could not be given back afterwards, or not be proven to be all. {ROLLED_BACK}")
        }
        _ => format!("{} Nothing in the database has changed.", code.why()),
    };
    Denial { code, message, detail, hint: instead }
}

/// What the target says of a statement that somebody has stopped, or that ran for too long.
const STOPPED: &str = "57014";

/// The same, for a session. Clients know by the SQLSTATE what they may try again, and what they have stopped themselves.
pub(crate) fn settled(error: &CaptureError) -> Settled {
    let detail = "The rows that it changed were being taken. It was rolled back; nothing in the database has changed.";
    match error {
        CaptureError::Target { sqlstate, message } if is_passing(sqlstate) => failed(sqlstate, message, &[]),
        CaptureError::Target { sqlstate, message } if sqlstate == STOPPED => {
            failed(sqlstate, message, &[(b'D', detail)])
        }
        _ => Settled::RolledBack(denied(error)),
    }
}

fn failed(sqlstate: &str, message: &str, more: &[(u8, &str)]) -> Settled {
    let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', sqlstate), (b'M', message)];
    let fields = fields.iter().chain(more).map(|(field, text)| (*field, text.as_bytes().to_vec()));
    Settled::Failed(passed_on(b'E', &fields.collect::<Vec<_>>()))
}

/// What a statement is told that ends transactions itself, which it may not inside the one that was opened for it.
pub(crate) fn committing(sqlstate: &str) -> Option<Denial> {
    const INVALID_TRANSACTION_TERMINATION: &str = "2D000";
    (sqlstate == INVALID_TRANSACTION_TERMINATION).then(|| Denial {
        code: Code::Irreversible,
        message: "refused: what it runs ends transactions itself".to_owned(),
        detail:
            "Its rows could not be looked at before they are committed. The transaction was rolled back; nothing in \
            the database has changed."
                .to_owned(),
        hint: "run the parts between its COMMITs each by itself".to_owned(),
    })
}

/// What is told where a change cannot be kept.
pub(crate) fn not_kept(why: &str) -> Denial {
    Denial {
        code: Code::NotKept,
        message: "rolled back: the change could not be kept".to_owned(),
        detail: format!("{why}. Nothing in the database has changed."),
        hint: Code::NotKept.remedy().to_owned(),
    }
}

/// What is told where nobody knows how a transaction ended.
pub(crate) fn unsettled(change: ChangeId, why: &str) -> Denial {
    Denial {
        code: Code::Unsettled,
        message: format!("ended: it is not known whether {change} was committed"),
        detail: format!("{why}. The rows are kept; the gateway asks the target how the transaction ended."),
        hint: format!("belay review {change}"),
    }
}

/// What is told where rows cannot be given back.
pub(crate) fn reverting(error: &RevertError) -> Denial {
    let (code, hint) = match error {
        RevertError::Conflict(_) => (Code::Conflict, Code::Conflict.remedy().to_owned()),
        RevertError::Refused { instead, .. } if !instead.is_empty() => (Code::Irreversible, instead.clone()),
        RevertError::Refused { .. } => (Code::Irreversible, Code::Irreversible.remedy().to_owned()),
        _ => (Code::NotKept, Code::NotKept.remedy().to_owned()),
    };
    let detail = match error {
        RevertError::Target { detail, .. } if !detail.is_empty() => {
            format!("{detail}. Nothing in the database has changed.")
        }
        _ => "Nothing in the database has changed.".to_owned(),
    };
    Denial { code, message: format!("not reverted: {error}"), detail, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error_fields;

    #[test]
    fn what_somebody_stopped_keeps_its_sqlstate() {
        let stopped = |sqlstate: &str| {
            let message = "canceling statement due to user request".to_owned();
            settled(&CaptureError::Target { sqlstate: sqlstate.to_owned(), message })
        };
        let Settled::Failed(whole) = stopped("57014") else { panic!("it is the target's own word") };
        let fields = error_fields(&whole[5..]);
        assert_eq!((fields.sqlstate.as_str(), &*fields.message), ("57014", "canceling statement due to user request"));
        assert!(matches!(stopped("40001"), Settled::Failed(_)));
        assert!(matches!(stopped("55P03"), Settled::RolledBack(denial) if denial.code == Code::NotKept));
    }
}
