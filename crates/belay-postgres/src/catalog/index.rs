//! Places of rows by their names and ids.

use std::collections::HashMap;
use std::hash::Hash;

pub(super) type Index = HashMap<u32, usize>;

/// Places by schema and name.
#[derive(Debug, Default)]
pub(super) struct ByName {
    schemas: HashMap<String, HashMap<String, usize>>,
}

impl ByName {
    pub(super) fn new<'n>(names: impl Iterator<Item = (&'n str, &'n str)>) -> ByName {
        let mut schemas: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (place, (schema, name)) in names.enumerate() {
            match schemas.get_mut(schema) {
                Some(names) => names.insert(name.to_owned(), place),
                None => schemas.entry(schema.to_owned()).or_default().insert(name.to_owned(), place),
            };
        }
        ByName { schemas }
    }

    pub(super) fn has_schema(&self, schema: &str) -> bool {
        self.schemas.contains_key(schema)
    }

    pub(super) fn get(&self, schema: &str, name: &str) -> Option<usize> {
        self.schemas.get(schema)?.get(name).copied()
    }
}

/// One place for each id.
pub(super) fn of(ids: impl Iterator<Item = u32>) -> Index {
    ids.enumerate().map(|(place, id)| (id, place)).collect()
}

/// All places for each key.
pub(super) fn many<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> HashMap<K, Vec<usize>> {
    let mut places: HashMap<K, Vec<usize>> = HashMap::new();
    for (place, key) in keys.enumerate() {
        places.entry(key).or_default().push(place);
    }
    places
}
