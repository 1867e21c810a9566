//! Things in a target, by path.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One part of a resource path: an exact name, or `*` for any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Every name.
    Any,
    /// This name, byte for byte, as the database stores it.
    Exact(String),
}

impl Pattern {
    /// Whether `name` is covered.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => exact == name,
        }
    }

    fn covers(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Pattern::Any, _) => true,
            (Pattern::Exact(a), Pattern::Exact(b)) => a == b,
            (Pattern::Exact(_), Pattern::Any) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pattern::Any => "*",
            Pattern::Exact(name) => name,
        })
    }
}

/// Tables of a target that a grant names: `public.orders`, `public.*`, `analytics/public.*`.
///
/// Without a database it is the target's own. `*` stands alone for a whole part; there are no
/// partial wildcards. Names that hold `.`, `/`, `*` or `"` cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource {
    /// The database, when it is not the target's own.
    pub database: Option<String>,
    /// The schema.
    pub schema: Pattern,
    /// The table, view or materialized view.
    pub table: Pattern,
}

impl Resource {
    /// Every table of the target's own database.
    pub fn everything() -> Resource {
        Resource { database: None, schema: Pattern::Any, table: Pattern::Any }
    }

    /// Whether all that `other` names is named by `self` too.
    pub fn covers(&self, other: &Resource) -> bool {
        self.database == other.database && self.schema.covers(&other.schema) && self.table.covers(&other.table)
    }
}

/// A text that is not a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a resource; write `schema.table`, `schema.*` or `database/schema.table`")]
pub struct ResourceError(pub String);

impl FromStr for Resource {
    type Err = ResourceError;
    fn from_str(text: &str) -> Result<Resource, ResourceError> {
        let wrong = || ResourceError(text.to_owned());
        let (database, path) = match text.split_once('/') {
            Some((database, path)) => (Some(exact(database).ok_or_else(wrong)?), path),
            None => (None, text),
        };
        let (schema, table) = path.split_once('.').ok_or_else(wrong)?;
        Ok(Resource { database, schema: pattern(schema).ok_or_else(wrong)?, table: pattern(table).ok_or_else(wrong)? })
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    if text == "*" { Some(Pattern::Any) } else { exact(text).map(Pattern::Exact) }
}

fn exact(text: &str) -> Option<String> {
    let plain = !text.contains(['.', '/', '*', '"', '\0']) && !text.chars().any(char::is_control);
    (plain && !text.is_empty() && text.len() <= 63).then(|| text.to_owned())
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{database}/")?;
        }
        write!(f, "{}.{}", self.schema, self.table)
    }
}

impl TryFrom<String> for Resource {
    type Error = ResourceError;
    fn try_from(text: String) -> Result<Resource, ResourceError> {
        text.parse()
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> String {
        resource.to_string()
    }
}

/// A relation as a statement names it. `schema` is absent when the statement left it to the search path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Relation {
    /// The schema, if the statement says it.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_written_as_it_is_read() {
        for text in ["public.orders", "public.*", "*.*", "analytics/public.orders"] {
            assert_eq!(text.parse::<Resource>().unwrap().to_string(), text);
        }
        for text in ["", "orders", "a.b.c", "a.b*", "/a.b", "a/b/c.d", "a.\"b\"", "a."] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_covers_names_but_no_name_covers_a_wildcard() {
        let all: Resource = "public.*".parse().unwrap();
        let one: Resource = "public.orders".parse().unwrap();
        assert!(all.covers(&one) && !one.covers(&all) && one.covers(&one));
        let elsewhere: Resource = "analytics/public.orders".parse().unwrap();
        assert!(!all.covers(&elsewhere));
    }
}
