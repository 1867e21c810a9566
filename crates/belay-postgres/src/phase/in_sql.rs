//! Texts that SQL's own PREPARE may have left behind, by name. A name may stand for several: whether a PREPARE or a
//! DEALLOCATE was carried out is not always known.

use crate::classify::SqlName;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names at a time.
const NAMES: usize = 1_000;
/// Texts that one name may stand for.
pub(super) const PER_NAME: usize = 8;
/// Bytes of all texts.
const BYTES: usize = 64 * 1024 * 1024;

/// What SQL has prepared.
#[derive(Debug, Default)]
pub(super) struct InSql {
    texts: HashMap<String, Vec<Arc<str>>>,
    bytes: usize,
}

impl InSql {
    /// The texts that a name may stand for; more than [`PER_NAME`] where some are not kept.
    pub(super) fn of(&self, name: &str) -> &[Arc<str>] {
        self.texts.get(name).map_or(&[], Vec::as_slice)
    }

    /// A message was sent that names these.
    pub(super) fn prepared(&mut self, names: &[SqlName]) {
        for name in names {
            let SqlName::Prepares { name, text } = name else { continue };
            let texts = self.texts.entry(name.clone()).or_default();
            if texts.len() <= PER_NAME && !texts.contains(text) {
                self.bytes = self.bytes.saturating_add(text.len());
                texts.push(Arc::clone(text));
            }
        }
    }

    /// The name stands for nothing.
    pub(super) fn deallocated(&mut self, name: &str) {
        let bytes: usize = self.texts.remove(name).iter().flatten().map(|text| text.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether everything can be kept that a message with these names prepares.
    pub(super) fn has_room_for(&self, names: &[SqlName]) -> bool {
        let (mut new, mut bytes) = (HashSet::new(), self.bytes);
        for name in names {
            let SqlName::Prepares { name, text } = name else { continue };
            bytes = bytes.saturating_add(text.len());
            if !self.texts.contains_key(name) {
                new.insert(name.as_str());
            }
            if self.texts.len() + new.len() > NAMES || bytes > BYTES {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepares(name: &str, text: &str) -> SqlName {
        SqlName::Prepares { name: name.to_owned(), text: Arc::from(text) }
    }

    #[test]
    fn one_message_cannot_prepare_more_than_many_messages_can() {
        let names: Vec<SqlName> = (0..=NAMES).map(|n| prepares(&n.to_string(), "x")).collect();
        let mut in_sql = InSql::default();
        assert!(!in_sql.has_room_for(&names));
        assert!(in_sql.has_room_for(&names[1..]));
        in_sql.prepared(&names[1..]);
        assert!(!in_sql.has_room_for(&names[..1]));
        assert!(in_sql.has_room_for(&names[1..2]), "a name that is there takes no more room");
        in_sql.deallocated("7");
        assert!(in_sql.has_room_for(&names[..1]));
    }

    #[test]
    fn texts_are_bounded_in_bytes_and_given_back() {
        let mut in_sql = InSql::default();
        let long = "x".repeat(BYTES / 2);
        in_sql.prepared(&[prepares("a", &long)]);
        assert!(in_sql.has_room_for(&[prepares("b", &long)]));
        in_sql.prepared(&[prepares("b", &long)]);
        assert!(!in_sql.has_room_for(&[prepares("c", "x")]));
        in_sql.deallocated("a");
        assert!(in_sql.has_room_for(&[prepares("c", "x")]));
    }

    #[test]
    fn a_name_keeps_one_text_more_than_are_followed() {
        let mut in_sql = InSql::default();
        for n in 0..100 {
            in_sql.prepared(&[prepares("s", &n.to_string())]);
        }
        assert_eq!(in_sql.of("s").len(), PER_NAME + 1);
    }
}
