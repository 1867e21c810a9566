//! The relations that a message names, for the ledger. Judges nothing.

use crate::Statement;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Relations as statements name them: `public.orders`, or `orders` where the schema was left to the search path.
///
/// Where they come from statements they are shared with these, so that an event costs no copy of them.
#[derive(Clone)]
pub struct Named(Source);

#[derive(Clone)]
enum Source {
    Statements(Arc<[Statement]>),
    Names(Vec<String>),
}

impl Named {
    /// What the statements of a message name, in the order they are met.
    pub fn by(statements: &Arc<[Statement]>) -> Named {
        if statements.iter().all(|statement| statement.relations.is_empty()) {
            return Named::default();
        }
        Named(Source::Statements(Arc::clone(statements)))
    }

    /// True when nothing is named.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Statements(statements) => statements.iter().all(|statement| statement.relations.is_empty()),
            Source::Names(names) => names.is_empty(),
        }
    }

    /// The names.
    pub fn names(&self) -> Vec<String> {
        match &self.0 {
            Source::Statements(statements) => {
                statements.iter().flat_map(|statement| &statement.relations).map(ToString::to_string).collect()
            }
            Source::Names(names) => names.clone(),
        }
    }

    /// Whether `table` is one of them. A schema counts only where both say one: which `orders` a statement meant is
    /// not known here, and a search must not miss it.
    pub fn may_be(&self, table: &str) -> bool {
        let same = |name: &str| name == table || ends_in(name, table) || ends_in(table, name);
        match &self.0 {
            Source::Statements(_) => self.names().iter().any(|name| same(name)),
            Source::Names(names) => names.iter().any(|name| same(name)),
        }
    }

    /// The first `most` of them.
    #[must_use]
    pub fn first(&self, most: usize) -> Named {
        let mut names = self.names();
        names.truncate(most);
        Named(Source::Names(names))
    }
}

/// Whether `long` is `short` with a schema before it.
fn ends_in(long: &str, short: &str) -> bool {
    long.strip_suffix(short).is_some_and(|schema| schema.ends_with('.'))
}

impl Default for Named {
    fn default() -> Named {
        Named(Source::Names(Vec::new()))
    }
}

impl FromIterator<String> for Named {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Named {
        Named(Source::Names(names.into_iter().collect()))
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        self.names() == other.names()
    }
}

impl Eq for Named {}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Source::Names(names) => names.serialize(serializer),
            Source::Statements(statements) => {
                let relations = statements.iter().flat_map(|statement| &statement.relations);
                serializer.collect_seq(relations.map(Shown))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named, D::Error> {
        Vec::deserialize(deserializer).map(|names| Named(Source::Names(names)))
    }
}

/// A relation as one string.
struct Shown<'a>(&'a crate::Relation);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, Relation};

    fn message() -> Arc<[Statement]> {
        let mut read = Statement::new(Effect::Read, "SELECT");
        let relation =
            |schema: Option<&str>, name: &str| Relation { schema: schema.map(Into::into), name: name.into() };
        read.relations = vec![relation(Some("public"), "orders"), relation(None, "refunds")];
        Arc::from([Statement::new(Effect::Session, "BEGIN"), read])
    }

    #[test]
    fn names_are_shared_with_the_statements_and_read_back_as_they_were() {
        let statements = message();
        let named = Named::by(&statements);
        assert_eq!(Arc::strong_count(&statements), 2);
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(text, r#"["public.orders","refunds"]"#);
        assert_eq!(serde_json::from_str::<Named>(&text).unwrap(), named);
        assert_eq!(named.first(1).names(), ["public.orders"]);
        assert!(Named::by(&Arc::from([Statement::new(Effect::Session, "BEGIN")])).is_empty());
    }

    #[test]
    fn a_schema_counts_only_where_both_say_one() {
        let named = Named::by(&message());
        for (table, expected) in [
            ("orders", true),
            ("public.orders", true),
            ("hr.orders", false),
            ("refunds", true),
            ("public.refunds", true),
            ("ders", false),
            ("public", false),
            ("", false),
        ] {
            assert_eq!(named.may_be(table), expected, "{table}");
        }
    }
}
