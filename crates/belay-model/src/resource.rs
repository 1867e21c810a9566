//! Things in a target, by path.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One part of a resource path: an exact name, `*` for any, or a name with `*` in it: `orders_*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Every name.
    Any,
    /// This name, byte for byte, as the database stores it.
    Exact(String),
    /// Names like this one, in which each `*` stands for any characters or none.
    Like(String),
}

impl Pattern {
    /// Whether `name` is covered.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => exact == name,
            Pattern::Like(like) => is_like(like, name),
        }
    }

    fn covers(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Pattern::Any, _) => true,
            (pattern, Pattern::Exact(name)) => pattern.matches(name),
            (Pattern::Like(a), Pattern::Like(b)) => a == b,
            (Pattern::Exact(_) | Pattern::Like(_), _) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pattern::Any => "*",
            Pattern::Exact(name) | Pattern::Like(name) => name,
        })
    }
}

/// Whether `name` is `like` with each `*` replaced by something.
fn is_like(like: &str, name: &str) -> bool {
    let mut parts = like.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else { return like == name };
    let Some(mut middle) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    for part in parts {
        match middle.find(part) {
            Some(at) => middle = middle.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// Tables of a target that a grant names: `public.orders`, `public.*`, `public.orders_*`, `analytics/public.*`; or one
/// column of a table: `public.orders.status`.
///
/// Without a database it is the target's own. A pattern holds for tables that are made later, too. Names that hold
/// `.`, `/`, `*` or `"` cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource {
    /// The database, when it is not the target's own.
    pub database: Option<String>,
    /// The schema.
    pub schema: Pattern,
    /// The table, view or materialized view.
    pub table: Pattern,
    /// The one column; `None` for all of them.
    pub column: Option<String>,
}

impl Resource {
    /// Every table of the target's own database.
    pub fn everything() -> Resource {
        Resource { database: None, schema: Pattern::Any, table: Pattern::Any, column: None }
    }

    /// Whether the relation is named, as a whole or by a column.
    pub fn names(&self, schema: &str, table: &str) -> bool {
        self.schema.matches(schema) && self.table.matches(table)
    }

    /// Whether all that `other` names is named by `self` too.
    pub fn covers(&self, other: &Resource) -> bool {
        self.database == other.database
            && self.schema.covers(&other.schema)
            && self.table.covers(&other.table)
            && (self.column.is_none() || self.column == other.column)
    }
}

/// A text that is not a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a resource; write `schema.table`, `schema.*`, `schema.table.column` or `database/schema.table`")]
pub struct ResourceError(pub String);

impl FromStr for Resource {
    type Err = ResourceError;
    fn from_str(text: &str) -> Result<Resource, ResourceError> {
        let wrong = || ResourceError(text.to_owned());
        let (database, path) = match text.split_once('/') {
            Some((database, path)) => (Some(exact(database).ok_or_else(wrong)?), path),
            None => (None, text),
        };
        let (schema, rest) = path.split_once('.').ok_or_else(wrong)?;
        let (table, column) = match rest.split_once('.') {
            Some((table, column)) => (table, Some(exact(column).ok_or_else(wrong)?)),
            None => (rest, None),
        };
        let (schema, table) = (pattern(schema).ok_or_else(wrong)?, pattern(table).ok_or_else(wrong)?);
        Ok(Resource { database, schema, table, column })
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    match text {
        "*" => Some(Pattern::Any),
        like if like.contains('*') => is_name(&like.replace('*', "x")).then(|| Pattern::Like(like.to_owned())),
        name => exact(name).map(Pattern::Exact),
    }
}

fn exact(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

fn is_name(text: &str) -> bool {
    let plain = !text.contains(['.', '/', '*', '"', '\0']) && !text.chars().any(char::is_control);
    plain && !text.is_empty() && text.len() <= 63
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{database}/")?;
        }
        write!(f, "{}.{}", self.schema, self.table)?;
        match &self.column {
            Some(column) => write!(f, ".{column}"),
            None => Ok(()),
        }
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
        for text in ["public.orders", "public.*", "*.*", "analytics/public.orders", "public.a_*_b*", "a.b.c"] {
            assert_eq!(text.parse::<Resource>().unwrap().to_string(), text);
        }
        for text in ["", "orders", "a.b.c.d", "a.b.*", "a.b.c*", "/a.b", "a/b/c.d", "a.\"b\"", "a."] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_star_stands_for_any_characters_or_none() {
        for (like, name, is) in [
            ("a*", "a", true),
            ("a*", "ba", false),
            ("a*c", "abbc", true),
            ("a*b*c", "axbxbc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("*x*", "yxy", true),
        ] {
            assert_eq!(Pattern::Like(like.to_owned()).matches(name), is, "{like} {name}");
        }
    }

    #[test]
    fn a_wildcard_covers_names_but_no_name_covers_a_wildcard() {
        let all: Resource = "public.*".parse().unwrap();
        let one: Resource = "public.orders".parse().unwrap();
        assert!(all.covers(&one) && !one.covers(&all) && one.covers(&one));
        let (like, column): (Resource, Resource) =
            ("public.or*s".parse().unwrap(), "public.orders.id".parse().unwrap());
        assert!(like.covers(&one) && all.covers(&like) && !one.covers(&like) && !like.covers(&all));
        assert!(one.covers(&column) && !column.covers(&one) && column.names("public", "orders"));
        let elsewhere: Resource = "analytics/public.orders".parse().unwrap();
        assert!(!all.covers(&elsewhere));
    }
}
