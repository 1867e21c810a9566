//! Verdicts on earlier messages, by their exact text and by their shape. Bounded in bytes; what is dropped is only
//! read again.

use belay_model::Statement;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

type Store<K> = Cache<Box<K>, Arc<[Statement]>, Bytes>;

/// What is remembered.
#[derive(Debug)]
pub(super) struct Verdicts {
    texts: Store<str>,
    shapes: Store<[u8]>,
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
            recent: (0..RECENT).map(|_| AtomicU64::new(0)).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(super) fn of_text(&self, text: &str) -> Option<Arc<[Statement]>> {
        self.texts.get(text)
    }

    /// The verdict of this shape. A text that comes again is remembered by itself, which is quicker to find; most
    /// texts with literals never come again.
    pub(super) fn of_shape(&self, key: &[u8], text: &str) -> Option<Arc<[Statement]>> {
        let known = self.shapes.get(key)?;
        if self.came_lately(text) {
            self.remember_text(text, &known);
        }
        Some(known)
    }

    fn came_lately(&self, text: &str) -> bool {
        let hash = self.hasher.hash_one(text);
        let slot = usize::try_from(hash >> 32).unwrap_or(0) % RECENT;
        self.recent.get(slot).is_some_and(|slot| slot.swap(hash, Ordering::Relaxed) == hash)
    }

    pub(super) fn remember_text(&self, text: &str, statements: &Arc<[Statement]>) {
        if text.len() <= LONGEST {
            self.texts.insert(Box::from(text), Arc::clone(statements));
        }
    }

    pub(super) fn remember_shape(&self, key: Box<[u8]>, statements: &Arc<[Statement]>) {
        if key.len() <= LONGEST {
            self.shapes.insert(key, Arc::clone(statements));
        }
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Box<str>, Arc<[Statement]>> for Bytes {
    fn weight(&self, key: &Box<str>, statements: &Arc<[Statement]>) -> u64 {
        weight(key.len(), statements)
    }
}

impl Weighter<Box<[u8]>, Arc<[Statement]>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, statements: &Arc<[Statement]>) -> u64 {
        weight(key.len(), statements)
    }
}

fn weight(key: usize, statements: &[Statement]) -> u64 {
    let held: usize = statements
        .iter()
        .map(|statement| {
            let names: usize = statement.relations.iter().map(|relation| relation.name.len() + ENTRY).sum();
            size_of::<Statement>() + statement.verb.len() + names + statement.because.as_ref().map_or(0, String::len)
        })
        .sum();
    u64::try_from(key + ENTRY + held).unwrap_or(u64::MAX)
}

fn store<K: ?Sized>(bytes: usize) -> Store<K>
where
    Box<K>: Eq + std::hash::Hash,
    Bytes: Weighter<Box<K>, Arc<[Statement]>> + Clone,
{
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

    #[test]
    fn many_more_texts_than_fit_stay_within_the_bytes() {
        let verdicts = Verdicts::new(64 * 1024);
        let statements: Arc<[Statement]> = Arc::from([Statement::new(Effect::Read, "SELECT")]);
        for n in 0..10_000 {
            verdicts.remember_text(&format!("SELECT {n}"), &statements);
        }
        assert!(verdicts.texts.weight() <= 32 * 1024, "{}", verdicts.texts.weight());
        assert!(verdicts.texts.len() > 10);
    }
}
