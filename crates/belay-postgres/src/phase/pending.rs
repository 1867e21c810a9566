//! What was forwarded and is not answered yet.

use super::guard::Guard;
use super::names::{Portal, Prepared};
use crate::classify::Reading;
use belay_model::{Code, Denial, Statement, Timestamp};
use std::sync::Arc;

/// One forwarded message, until the target's answer to it is complete.
#[derive(Debug)]
pub(super) enum Pending {
    /// A simple query; ends with ReadyForQuery.
    Query(Running),
    /// A Parse; the name is known once ParseComplete comes.
    Parse(Box<[u8]>, Arc<Prepared>),
    /// A Bind.
    Bind(Box<[u8]>, Arc<Portal>),
    /// A Describe; ends with RowDescription or NoData.
    Describe,
    /// A Describe of the gateway's own, for the Execute behind it; the client hears nothing of its answer.
    OwnDescribe,
    /// An Execute.
    Execute(Running),
    /// A Close of a statement (`S`) or portal (`P`).
    Close(u8, Box<[u8]>),
    /// What stands in for a refused message in a batch; its error is replaced.
    Refused(Denial),
    /// What stands in for a refused simple query; its error is replaced, its ReadyForQuery is not.
    RefusedQuery(Denial),
    /// What fails the transaction of a statement that was stopped; the client hears its ReadyForQuery only.
    Spoiling,
    /// The end of a COPY from the client, which the statement that began the COPY answers.
    CopyEnd,
    /// A Sync; ends with ReadyForQuery.
    Sync,
}

/// A statement that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Its number in the connection.
    pub(super) statement: u64,
    /// When it was sent.
    pub(super) since: Timestamp,
    /// Rows so far, over all statements of the message.
    pub(super) rows: Option<u64>,
    /// Bytes of rows and of COPY data, likewise.
    pub(super) bytes: u64,
    /// The first error's SQLSTATE.
    pub(super) sqlstate: Option<String>,
    /// The budget that ended it.
    pub(super) stopped: Option<Code>,
    /// What is masked in its results, where the grant has masks.
    pub(super) guard: Option<Box<Guard>>,
    /// The portal it runs.
    pub(super) portal: Option<Arc<Portal>>,
    /// What its text does.
    pub(super) reading: Reading,
    /// What it ended, as its command tag says.
    pub(super) ended: Option<Ended>,
    /// How far its rows from the client have come, where it takes any.
    pub(super) copy_in: CopyIn,
    /// It may open a transaction, so that `status` may be behind.
    opens: bool,
}

/// How far a COPY from the client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyIn {
    /// It is none, or the client has said that it has sent all.
    Over,
    /// The target has not asked for the rows yet, so nothing that the client sends can be told apart.
    Due,
    /// The target takes the client's rows, and nothing else.
    Open,
}

/// What a statement ended that the gateway keeps account of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The transaction, and what was set in it stays.
    Committed,
    /// The transaction, and what was set in it is gone.
    RolledBack,
    /// One prepared statement.
    OnePrepared,
    /// All of them.
    AllPrepared,
    /// All that the session kept.
    Everything,
}

impl Ended {
    /// What a command tag says that it ended. The tag of ROLLBACK TO is that of ROLLBACK.
    pub(super) fn of(tag: &[u8]) -> Option<Ended> {
        match tag {
            b"COMMIT\0" => Some(Ended::Committed),
            b"ROLLBACK\0" => Some(Ended::RolledBack),
            b"DEALLOCATE\0" => Some(Ended::OnePrepared),
            b"DEALLOCATE ALL\0" => Some(Ended::AllPrepared),
            b"DISCARD ALL\0" => Some(Ended::Everything),
            _ => None,
        }
    }
}

impl Running {
    pub(super) fn new(statement: u64, statements: &[Statement], since: Timestamp) -> Running {
        let opens = statements.iter().any(|statement| OPENING.contains(&statement.verb.as_str()));
        let copies = statements.iter().any(|statement| statement.verb == "COPY FROM");
        Running {
            statement,
            since,
            rows: None,
            bytes: 0,
            sqlstate: None,
            stopped: None,
            guard: None,
            portal: None,
            reading: Reading::of(Arc::from([])),
            ended: None,
            copy_in: if copies { CopyIn::Due } else { CopyIn::Over },
            opens,
        }
    }

    /// One of its statements is complete.
    pub(super) fn complete(&mut self, tag: &[u8]) {
        let [only] = &*self.reading.statements else { return };
        let ended = Ended::of(tag);
        self.ended = ended.filter(|ended| *ended != Ended::RolledBack || only.verb != "ROLLBACK TO");
    }

    /// So many more rows, as a command tag says.
    pub(super) fn add_rows(&mut self, rows: Option<u64>) {
        if self.stopped.is_none() {
            self.rows = match (self.rows, rows) {
                (Some(sum), Some(rows)) => Some(sum.saturating_add(rows)),
                (sum, rows) => rows.or(sum),
            };
        }
    }

    /// A budget ended it after so many rows of its last result.
    pub(super) fn stopped(&mut self, code: Code, rows: u64) {
        self.add_rows(Some(rows));
        self.stopped = Some(code);
        self.sqlstate = Some(code.sqlstate().to_owned());
    }
}

/// The verbs that open a transaction, and the one that may stand for any other.
const OPENING: [&str; 3] = ["BEGIN", "START TRANSACTION", "EXECUTE"];

impl Pending {
    /// Whether the target may be inside a transaction because of it.
    pub(super) fn may_open(&self) -> bool {
        matches!(self, Pending::Query(running) | Pending::Execute(running) if running.opens)
    }

    /// Whether ReadyForQuery is what ends it.
    pub(super) fn ends_with_ready(&self) -> bool {
        matches!(self, Pending::Query(_) | Pending::RefusedQuery(_) | Pending::Spoiling | Pending::Sync)
    }

    /// Whether it runs a statement.
    pub(super) fn runs(&self) -> bool {
        matches!(self, Pending::Query(_) | Pending::Execute(_))
    }

    /// Bytes of the client's that it holds on to.
    pub(super) fn size(&self) -> usize {
        match self {
            Pending::Parse(name, prepared) => name.len() + prepared.size(),
            Pending::Bind(name, portal) => name.len() + portal.size(),
            Pending::Close(_, name) => name.len(),
            _ => 0,
        }
    }

    /// The statement, if one runs.
    pub(super) fn running(&mut self) -> Option<&mut Running> {
        match self {
            Pending::Query(running) | Pending::Execute(running) => Some(running),
            _ => None,
        }
    }
}
