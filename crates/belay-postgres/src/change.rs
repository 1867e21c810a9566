//! Changes in words for clients.

use crate::capture::CaptureError;
use belay_change::ChangeSet;
use belay_model::{Code, Denial};

/// How many tables a detail names.
const TABLES: usize = 8;

/// What a change comes to.
pub(crate) struct Words {
    /// `3 rows of public.orders`, `12 rows of 3 tables`.
    pub(crate) rows: String,
    /// By table and operation.
    pub(crate) detail: String,
}

impl Words {
    pub(crate) fn of(set: &ChangeSet) -> Words {
        let changed: Vec<_> =
            set.tables.iter().filter(|table| table.inserted + table.updated + table.deleted > 0).collect();
        let count: u64 = changed.iter().map(|table| table.inserted + table.updated + table.deleted).sum();
        let noun = if count == 1 { "row" } else { "rows" };
        let rows = match changed.as_slice() {
            [only] => format!("{count} {noun} of {}.{}", only.table.schema, only.table.name),
            many => format!("{count} {noun} of {} tables", many.len()),
        };
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
        Words { rows, detail: parts.join("; ") }
    }
}

/// What the client is told where a transaction was rolled back because of this.
pub(crate) fn denied(error: &CaptureError) -> Denial {
    let rolled_back = "The transaction was rolled back; nothing in the database has changed.";
    let (code, message, instead) = match error {
        CaptureError::Irreversible { what, instead } => {
            (Code::Irreversible, format!("refused: {what}"), instead.clone())
        }
        CaptureError::TooMuch(what) => {
            (Code::ChangeTooLarge, format!("refused: {what}"), Code::ChangeTooLarge.remedy().to_owned())
        }
        CaptureError::Target { message, .. } => {
            (Code::NotKept, format!("rolled back: {message}"), Code::NotKept.remedy().to_owned())
        }
        CaptureError::Lost(_) | CaptureError::Unexpected(_) | CaptureError::Sink(_) => {
            (Code::NotKept, format!("rolled back: {error}"), Code::NotKept.remedy().to_owned())
        }
    };
    let detail = format!("{} {rolled_back}", code.why());
    Denial { code, message, detail, hint: instead }
}
