//! Prepared statements and portals, as the target has acknowledged them.

use super::pending::{Ended, Pending};
use crate::classify::{Reading, SqlName};
use crate::mask::RowMask;
use belay_model::{BindValue, Statement};
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How many prepared statements or portals a connection may keep.
const NAME_LIMIT: usize = 10_000;
/// How many bytes of texts and values a connection may keep with them.
const BYTE_LIMIT: usize = 64 * 1024 * 1024;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its text.
    pub(super) text: Arc<str>,
    /// The types that were given to its parameters.
    pub(super) types: Box<[u32]>,
    /// What it does.
    pub(super) reading: Reading,
    /// Under which catalog and search path that was read.
    pub(super) mark: u64,
}

impl Prepared {
    /// The mark of what is never read again.
    pub(super) const FIXED: u64 = 0;

    /// Statements that are not read from the text.
    pub(super) fn fixed(text: Arc<str>, statements: Arc<[Statement]>) -> Arc<Prepared> {
        Arc::new(Prepared { text, types: Box::default(), reading: Reading::of(statements), mark: Prepared::FIXED })
    }

    pub(super) fn size(&self) -> usize {
        self.text.len() + size_of_val(&*self.types)
    }
}

/// A portal.
#[derive(Debug)]
pub(super) struct Portal {
    /// The statement it was bound from.
    pub(super) prepared: Arc<Prepared>,
    /// The values, where they are recorded.
    pub(super) values: Option<Vec<BindValue>>,
    /// How its rows are masked, as the target described them before its first Execute. What it shows is fixed there,
    /// also where a cursor of the same name is another one later.
    pub(super) mask: OnceLock<RowMask>,
    /// What its Executes have returned so far.
    pub(super) returned: Returned,
    /// An Execute of it was sent.
    pub(super) started: AtomicBool,
    /// SQL has declared a cursor of its name since.
    pub(super) doubtful: AtomicBool,
}

/// Rows and bytes.
#[derive(Debug, Default)]
pub(super) struct Returned {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Returned {
    pub(super) fn get(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, (rows, bytes): (u64, u64)) {
        self.rows.store(rows, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Portal {
    pub(super) fn new(prepared: Arc<Prepared>, values: Option<Vec<BindValue>>) -> Portal {
        let (started, doubtful) = (AtomicBool::new(false), AtomicBool::new(false));
        Portal { prepared, values, mask: OnceLock::new(), returned: Returned::default(), started, doubtful }
    }

    pub(super) fn size(&self) -> usize {
        let size = |value: &BindValue| match value {
            BindValue::Text(text) | BindValue::Binary(text) => text.len() + VALUE,
            BindValue::Null | BindValue::Masked | BindValue::Long(_) => VALUE,
        };
        self.values.iter().flatten().map(size).sum()
    }
}

/// What a value takes beside its text.
const VALUE: usize = size_of::<BindValue>();

/// A name as the server keeps it: it looks for names by their first 63 bytes.
pub(super) fn cut(name: &[u8]) -> &[u8] {
    name.get(..63).unwrap_or(name)
}

/// What a name in a Bind means.
pub(super) enum Meaning<T> {
    /// This.
    Known(T),
    /// That depends on a Parse of an earlier batch whose answer is still due.
    Unsettled,
    /// Nothing that came through the protocol: SQL's own PREPARE or DECLARE made it (and was judged then), or the
    /// target will say that it does not exist.
    Foreign,
}

/// The names of one connection.
#[derive(Debug, Default)]
pub(super) struct Names {
    statements: HashMap<Box<[u8]>, Arc<Prepared>>,
    portals: HashMap<Box<[u8]>, Arc<Portal>>,
    /// Bytes of the statements' texts, and of the types of their parameters.
    texts: usize,
    /// Bytes of the portals' values.
    values: usize,
}

impl Names {
    pub(super) fn is_full(&self) -> bool {
        let names = self.statements.len().max(self.portals.len());
        names >= NAME_LIMIT || self.texts.saturating_add(self.values) >= BYTE_LIMIT
    }

    pub(super) fn parsed(&mut self, name: Box<[u8]>, prepared: Arc<Prepared>) {
        self.texts += prepared.size();
        if let Some(replaced) = self.statements.insert(name, prepared) {
            self.texts = self.texts.saturating_sub(replaced.size());
        }
    }

    pub(super) fn bound(&mut self, name: Box<[u8]>, portal: Arc<Portal>) {
        self.values += portal.size();
        if let Some(replaced) = self.portals.insert(name, portal) {
            self.values = self.values.saturating_sub(replaced.size());
        }
    }

    pub(super) fn closed(&mut self, kind: u8, name: &[u8]) {
        if kind == b'S' {
            let closed = self.statements.remove(name);
            self.texts = self.texts.saturating_sub(closed.map_or(0, |prepared| prepared.size()));
            return;
        }
        let closed = self.portals.remove(name);
        self.values = self.values.saturating_sub(closed.map_or(0, |portal| portal.size()));
    }

    /// Portals end with their transaction.
    pub(super) fn transaction_ended(&mut self) {
        self.portals.clear();
        self.values = 0;
    }

    /// `DISCARD ALL` gives everything up.
    pub(super) fn forget_all(&mut self) {
        *self = Names::default();
    }

    /// What a statement ended is gone. The unnamed statement, which SQL cannot reach, stays.
    pub(super) fn ended(&mut self, ended: Ended, names: &[SqlName]) {
        match ended {
            Ended::OnePrepared => {
                for name in names {
                    if let SqlName::Deallocates { name } = name {
                        self.closed(b'S', name.as_bytes());
                    }
                }
            }
            Ended::AllPrepared | Ended::Everything => {
                self.statements.retain(|name, _| name.is_empty());
                self.texts = self.statements.values().map(|prepared| prepared.size()).sum();
                if ended == Ended::Everything {
                    self.transaction_ended();
                }
            }
            Ended::Committed | Ended::RolledBack => {}
        }
    }

    /// A message was sent that declares these cursors.
    pub(super) fn declared(&self, names: &[SqlName], pending: &VecDeque<Pending>) {
        for name in names {
            let SqlName::Declares { name } = name else { continue };
            let sent = pending.iter().filter_map(|due| match due {
                Pending::Bind(bound, portal) if **bound == *name.as_bytes() => Some(portal),
                _ => None,
            });
            for portal in sent.chain(self.portals.get(name.as_bytes())) {
                portal.doubtful.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The statement called `name`, the answers in `pending` still being due.
    ///
    /// A Parse of this batch counts as done: if it fails, the target skips the Bind too. A Parse of an earlier batch
    /// may fail and leave the statement before it, so its answer must be waited for.
    pub(super) fn statement(&self, name: &[u8], pending: &VecDeque<Pending>) -> Meaning<Arc<Prepared>> {
        let mut in_batch = true;
        for due in pending.iter().rev() {
            match due {
                Pending::Parse(parsed, prepared) if **parsed == *name => {
                    return if in_batch { Meaning::Known(Arc::clone(prepared)) } else { Meaning::Unsettled };
                }
                // A batch that fails before it leaves the name as it was.
                Pending::Close(b'S', closed) if **closed == *name => {
                    return if in_batch { Meaning::Foreign } else { Meaning::Unsettled };
                }
                due if due.ends_with_ready() => in_batch = false,
                _ => {}
            }
        }
        match self.statements.get(name) {
            Some(prepared) => Meaning::Known(Arc::clone(prepared)),
            None => Meaning::Foreign,
        }
    }

    /// The portal called `name`, likewise.
    pub(super) fn portal(&self, name: &[u8], pending: &VecDeque<Pending>) -> Meaning<Arc<Portal>> {
        let mut in_batch = true;
        for due in pending.iter().rev() {
            match due {
                Pending::Bind(bound, portal) if **bound == *name => {
                    return if in_batch { Meaning::Known(Arc::clone(portal)) } else { Meaning::Unsettled };
                }
                Pending::Close(b'P', closed) if **closed == *name => {
                    return if in_batch { Meaning::Foreign } else { Meaning::Unsettled };
                }
                due if due.ends_with_ready() => in_batch = false,
                _ => {}
            }
        }
        match self.portals.get(name) {
            Some(portal) => Meaning::Known(Arc::clone(portal)),
            None => Meaning::Foreign,
        }
    }
}

/// What the protocol has made, as a text of SQL meets it.
pub(super) struct Elsewhere<'a> {
    names: &'a Names,
    pending: &'a VecDeque<Pending>,
    unsettled: Cell<bool>,
}

impl<'a> Elsewhere<'a> {
    pub(super) fn new(names: &'a Names, pending: &'a VecDeque<Pending>) -> Elsewhere<'a> {
        Elsewhere { names, pending, unsettled: Cell::new(false) }
    }

    /// The prepared statement called `name`.
    pub(super) fn statement(&self, name: &[u8]) -> Option<Arc<Prepared>> {
        self.known(self.names.statement(name, self.pending))
    }

    /// The portal called `name`.
    pub(super) fn portal(&self, name: &[u8]) -> Option<Arc<Portal>> {
        self.known(self.names.portal(name, self.pending))
    }

    fn known<T>(&self, meaning: Meaning<T>) -> Option<T> {
        match meaning {
            Meaning::Known(made) => Some(made),
            Meaning::Foreign => None,
            Meaning::Unsettled => {
                self.unsettled.set(true);
                None
            }
        }
    }

    /// Whether a name was asked for whose meaning depends on an answer that is still due.
    pub(super) fn was_unsettled(&self) -> bool {
        self.unsettled.get()
    }
}
