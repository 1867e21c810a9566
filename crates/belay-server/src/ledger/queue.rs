//! Events on their way to the writer: bounded, and cheap for those who give them.
//!
//! Giving an event is one short lock and a move. A sleeping writer is woken only where its own timer would come too
//! late: for a caller who waits, for the first event after a pause, and for a queue that is half full.

use super::LedgerDown;
use belay_ledger::Position;
use belay_model::{BindValue, Event, EventKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Tells a caller whether its event is on the disk.
pub(super) type Waiter = oneshot::Sender<Result<(), LedgerDown>>;

/// An event, and who waits for it.
pub(super) struct Item {
    pub(super) event: Event,
    pub(super) waiter: Option<Waiter>,
}

/// An event that was not taken.
pub(super) struct Rejected {
    pub(super) event: Event,
    /// Why the ledger is down; absent when the queue is full.
    pub(super) down: Option<Arc<str>>,
}

/// How much may wait.
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) failures: AtomicU64,
}

pub(super) struct Queue {
    bounds: Bounds,
    group: Duration,
    up: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
    room: Notify,
    tally: Tally,
    durable: Mutex<Position>,
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    bytes: usize,
    /// Somebody waits for the disk.
    urgent: bool,
    sleep: Sleep,
    closing: bool,
    down: Option<Arc<str>>,
    /// Accepted events that could not be written before the end.
    lost: usize,
}

/// What the writer is doing.
#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Sleep {
    #[default]
    Awake,
    /// Until its timer.
    Timed,
    /// Until it is woken.
    Idle,
}

impl Queue {
    pub(super) fn new(bounds: Bounds, group: Duration) -> Queue {
        Queue {
            bounds,
            group,
            up: AtomicBool::new(true),
            state: Mutex::default(),
            wake: Condvar::new(),
            room: Notify::new(),
            tally: Tally::default(),
            durable: Mutex::new(Position::START),
        }
    }

    /// What is on the disk.
    pub(super) fn durable(&self) -> Position {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much is on the disk.
    pub(super) fn stored(&self, position: Position) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn why_down(&self) -> Option<Arc<str>> {
        self.lock().down.clone()
    }

    pub(super) fn room(&self) -> &Notify {
        &self.room
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes an event; `late` takes it even while the ledger is down.
    #[allow(clippy::result_large_err, reason = "the caller needs its event back, and boxing it would cost every call")]
    pub(super) fn push(&self, event: Event, waiter: Option<Waiter>, late: bool) -> Result<(), Rejected> {
        let weight = weight(&event);
        let mut state = self.lock();
        if let Some(why) = &state.down
            && (!late || state.closing)
        {
            let down = Some(Arc::clone(why));
            return Err(Rejected { event, down });
        }
        // A single event heavier than the bound passes when it is alone.
        let full = state.items.len() >= self.bounds.events
            || (!state.items.is_empty() && state.bytes + weight > self.bounds.bytes);
        if full {
            return Err(Rejected { event, down: None });
        }
        let first_urgent = waiter.is_some() && !state.urgent;
        state.urgent |= waiter.is_some();
        state.bytes += weight;
        state.items.push(Item { event, waiter });
        let half = state.items.len() * 2 >= self.bounds.events || state.bytes * 2 >= self.bounds.bytes;
        let wake = match state.sleep {
            Sleep::Awake => false,
            Sleep::Timed => first_urgent || half,
            Sleep::Idle => true,
        };
        if wake {
            state.sleep = Sleep::Awake;
            drop(state);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until a group is due and puts it into `batch`; at most until `until`. Returns false when the ledger is being
    /// closed.
    pub(super) fn take(&self, batch: &mut Vec<Item>, last: Instant, until: Option<Instant>) -> bool {
        let due = last + self.group;
        let mut state = self.lock();
        loop {
            let half = state.items.len() * 2 >= self.bounds.events || state.bytes * 2 >= self.bounds.bytes;
            if state.closing || state.urgent || half {
                break;
            }
            let left = due.saturating_duration_since(Instant::now());
            match (left.is_zero(), state.items.is_empty()) {
                (true, false) => break,
                (true, true) => {
                    state.sleep = Sleep::Idle;
                    let Some(until) = until else {
                        state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                        continue;
                    };
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
                (false, _) => {
                    state.sleep = Sleep::Timed;
                    state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        state.sleep = Sleep::Awake;
        let open = !state.closing;
        drain(&mut state, batch);
        drop(state);
        self.room.notify_waiters();
        open
    }

    /// What came while the ledger was down.
    pub(super) fn take_now(&self, batch: &mut Vec<Item>) {
        drain(&mut self.lock(), batch);
        self.room.notify_waiters();
    }

    /// Sleeps for `span`, or until the ledger is being closed. Returns whether it goes on.
    pub(super) fn pause(&self, span: Duration) -> bool {
        let until = Instant::now() + span;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.closing || left.is_zero() {
                return !state.closing;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more events, and answers those who wait in the queue.
    pub(super) fn go_down(&self, why: &Arc<str>) {
        let mut state = self.lock();
        self.up.store(false, Ordering::Release);
        state.down = Some(Arc::clone(why));
        state.urgent = false;
        let items = std::mem::take(&mut state.items);
        state.items = items.into_iter().filter_map(|item| refuse(item, why)).collect();
        state.bytes = state.items.iter().map(|item| weight(&item.event)).sum();
        drop(state);
        // Those who wait for room are answered too.
        self.room.notify_waiters();
    }

    /// Takes events again, unless it is being closed.
    pub(super) fn come_up(&self) {
        let mut state = self.lock();
        if !state.closing {
            state.down = None;
            self.up.store(true, Ordering::Release);
        }
    }

    /// Takes no more events and wakes the writer for the last time.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.up.store(false, Ordering::Release);
        state.down.get_or_insert_with(|| Arc::from("it was closed"));
        drop(state);
        self.wake.notify_all();
        self.room.notify_waiters();
    }

    /// The writer is gone for good and could not write this many accepted events.
    pub(super) fn end(&self, lost: usize) {
        let why: Arc<str> = self.why_down().unwrap_or_else(|| Arc::from("its thread has stopped"));
        self.go_down(&why);
        let mut state = self.lock();
        state.closing = true;
        state.lost += lost + state.items.len();
        state.items.clear();
    }

    /// An error if accepted events were lost.
    pub(super) fn lost(&self) -> Result<(), LedgerDown> {
        let state = self.lock();
        match (state.lost, &state.down) {
            (0, _) => Ok(()),
            (lost, why) => {
                let why = why.as_deref().unwrap_or("unknown");
                Err(LedgerDown { why: format!("{why}; {lost} accepted events were lost").into() })
            }
        }
    }

    /// The answer of a ledger whose thread is gone.
    pub(super) fn gone(&self) -> LedgerDown {
        LedgerDown { why: self.why_down().unwrap_or_else(|| Arc::from("its thread has stopped")) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers who waits for the item; gives it back when nobody does.
pub(super) fn refuse(item: Item, why: &Arc<str>) -> Option<Item> {
    match item.waiter {
        None => Some(item),
        Some(waiter) => {
            // A caller that stopped waiting has nobody to tell.
            drop(waiter.send(Err(LedgerDown { why: Arc::clone(why) })));
            None
        }
    }
}

fn drain(state: &mut State, batch: &mut Vec<Item>) {
    state.urgent = false;
    state.bytes = 0;
    if batch.is_empty() {
        // The emptied batch goes back in, so that neither side allocates.
        std::mem::swap(&mut state.items, batch);
    } else {
        batch.append(&mut state.items);
    }
}

/// The bytes of an event that have no bound of their own.
fn weight(event: &Event) -> usize {
    match &event.kind {
        EventKind::Statement { text, values, .. } => text.len() + values.as_deref().map_or(0, weigh),
        _ => 0,
    }
}

fn weigh(values: &[BindValue]) -> usize {
    let each = |value: &BindValue| match value {
        BindValue::Text(text) | BindValue::Binary(text) => text.len(),
        BindValue::Null | BindValue::Masked | BindValue::Long(_) => 0,
    };
    values.iter().map(|value| each(value) + size_of::<BindValue>()).sum()
}
