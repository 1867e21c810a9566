//! Verdicts on earlier messages, by their exact text and by their shape. Bounded in bytes; what is dropped is only
//! read again.

use super::Reading;
use super::context::SearchPath;
use belay_model::Statement;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Longer texts are seldom sent twice, and one of them would push out hundreds of short ones.
const LONGEST: usize = 32 * 1024;
/// What an entry costs beside its text.
const ENTRY: usize = 128;
/// A text with its verdict as they are in ordinary traffic; only sizes the tables.
const TYPICAL: usize = 512;
/// Enough that threads seldom meet, few enough that each holds the longest texts.
const SHARDS: usize = 8;
/// How many of the last texts are known by their hash.
const RECENT: usize = 4_096;

/// How many places are told apart at a time. Verdicts of a place that was given up age out.
const PLACES: usize = 1_024;

type Store = Cache<Key, Reading, Bytes>;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    under: u32,
    bytes: Box<[u8]>,
}

/// A [`Key`] that owns nothing.
#[derive(Hash)]
struct Sought<'a> {
    under: u32,
    bytes: &'a [u8],
}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.under == key.under && *self.bytes == *key.bytes
    }
}

/// Places by what makes them one: the paths, the path that RESET goes back to, the schema of the grant's own views.
#[derive(Debug, Default)]
struct Places {
    numbers: HashMap<(Vec<SearchPath>, Option<SearchPath>, String), u32>,
    last: u32,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Verdicts {
    texts: Store,
    shapes: Store,
    places: Mutex<Places>,
    /// Hashes of the last texts that were known by their shape.
    recent: Box<[AtomicU64]>,
    hasher: DefaultHashBuilder,
}

impl Verdicts {
    /// At most so many bytes of both kinds together.
    pub(super) fn new(bytes: usize) -> Verdicts {
        Verdicts {
            texts: store(bytes / 2),
            shapes: store(bytes / 2),
            places: Mutex::default(),
            recent: (0..RECENT).map(|_| AtomicU64::new(0)).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The number under which verdicts of a place are kept.
    pub(super) fn number(&self, paths: &[SearchPath], default: Option<&SearchPath>, schema: &str) -> u32 {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (paths.to_vec(), default.cloned(), schema.to_owned());
        if let Some(number) = places.numbers.get(&place) {
            return *number;
        }
        if places.numbers.len() >= PLACES {
            places.numbers.clear();
        }
        places.last = places.last.wrapping_add(1);
        let number = places.last;
        places.numbers.insert(place, number);
        number
    }

    pub(super) fn of_text(&self, under: u32, text: &str) -> Option<Reading> {
        self.texts.get(&Sought { under, bytes: text.as_bytes() })
    }

    /// The verdict of this shape. A text that comes again is remembered by itself, which is quicker to find; most
    /// texts with literals never come again.
    pub(super) fn of_shape(&self, under: u32, key: &[u8], text: &str) -> Option<Reading> {
        let known = self.shapes.get(&Sought { under, bytes: key })?;
        if self.came_lately(text) {
            self.remember_text(under, text, &known);
        }
        Some(known)
    }

    fn came_lately(&self, text: &str) -> bool {
        let hash = self.hasher.hash_one(text);
        let slot = usize::try_from(hash >> 32).unwrap_or(0) % RECENT;
        self.recent.get(slot).is_some_and(|slot| slot.swap(hash, Ordering::Relaxed) == hash)
    }

    pub(super) fn remember_text(&self, under: u32, text: &str, reading: &Reading) {
        if text.len() <= LONGEST {
            self.texts.insert(Key { under, bytes: text.as_bytes().into() }, reading.clone());
        }
    }

    pub(super) fn remember_shape(&self, under: u32, key: Box<[u8]>, reading: &Reading) {
        if key.len() <= LONGEST {
            self.shapes.insert(Key { under, bytes: key }, reading.clone());
        }
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Key, Reading> for Bytes {
    fn weight(&self, key: &Key, reading: &Reading) -> u64 {
        weight(key.bytes.len(), &reading.statements)
    }
}

fn weight(key: usize, statements: &[Statement]) -> u64 {
    let held: usize = statements
        .iter()
        .map(|statement| {
            let columns: usize = statement.accesses.iter().map(|access| access.columns.len() + 1).sum();
            let names = ENTRY / 2 * (2 * statement.relations.len() + columns + statement.shows.len() / 8);
            size_of::<Statement>() + statement.verb.len() + names + statement.because.as_ref().map_or(0, String::len)
        })
        .sum();
    u64::try_from(key + ENTRY + held).unwrap_or(u64::MAX)
}

fn store(bytes: usize) -> Store {
    let options = OptionsBuilder::new()
        .estimated_items_capacity((bytes / TYPICAL).max(SHARDS))
        .weight_capacity(u64::try_from(bytes).unwrap_or(u64::MAX))
        .shards(SHARDS)
        .build();
    match options {
        Ok(options) => Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default()),
        // Only missing capacities are an error, and both are given.
        Err(_) => Cache::with_weighter(SHARDS, u64::try_from(bytes).unwrap_or(u64::MAX), Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::Effect;
    use std::sync::Arc;

    #[test]
    fn many_more_texts_than_fit_stay_within_the_bytes() {
        let verdicts = Verdicts::new(64 * 1024);
        let reading = Reading::of(Arc::from([Statement::new(Effect::Read, "SELECT")]));
        for n in 0..10_000 {
            verdicts.remember_text(0, &format!("SELECT {n}"), &reading);
        }
        assert!(verdicts.texts.weight() <= 32 * 1024, "{}", verdicts.texts.weight());
        assert!(verdicts.texts.len() > 10);
    }
}
