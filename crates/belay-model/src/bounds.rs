//! What bounds a grant beyond its resources and effects: functions, row filters, budgets. And masks, which a target says.

use crate::{Resource, Span};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What bounds a request, and the grant made from it, beyond resources and effects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bounds {
    /// Functions that may be called beside the database's own harmless ones.
    pub functions: Vec<FunctionName>,
    /// Tables of which only some rows may be read.
    pub rows: Vec<RowFilter>,
    /// What may be used up while statements run.
    pub budgets: Budgets,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.rows.iter().map(ToString::to_string).collect();
        parts.extend(self.functions.iter().map(|function| format!("may call {function}")));
        let budgets = self.budgets.to_string();
        if !budgets.is_empty() {
            parts.push(budgets);
        }
        f.write_str(&parts.join("; "))
    }
}

/// A function by name, and by argument types where they are given: `app.fmt_money`, `app.fmt_money(numeric)`.
///
/// Without argument types it is every function of the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// The argument types as the database writes them, without spaces; `None` for every function of the name.
    pub arguments: Option<Vec<String>>,
}

impl FunctionName {
    /// Whether all that `other` names is named by `self` too.
    pub fn covers(&self, other: &FunctionName) -> bool {
        self.schema == other.schema
            && self.name == other.name
            && (self.arguments.is_none() || self.arguments == other.arguments)
    }
}

/// A text that is not a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a function; write `schema.name` or `schema.name(type, type)`")]
pub struct FunctionNameError(pub String);

impl FromStr for FunctionName {
    type Err = FunctionNameError;
    fn from_str(text: &str) -> Result<FunctionName, FunctionNameError> {
        let wrong = || FunctionNameError(text.to_owned());
        let (path, arguments) = match text.split_once('(') {
            Some((path, rest)) => (path, Some(types(rest.strip_suffix(')').ok_or_else(wrong)?))),
            None => (text, None),
        };
        let (schema, name) = path.split_once('.').ok_or_else(wrong)?;
        let plain = |part: &str| {
            !part.is_empty() && part.len() <= 63 && !part.contains(['.', '/', '*', '"', '(', ')', ',', '\0'])
        };
        if !plain(schema) || !plain(name) || arguments.iter().flatten().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(FunctionName { schema: schema.to_owned(), name: name.to_owned(), arguments })
    }
}

/// The types between the parentheses, spelled as `pg_catalog.format_type` does.
fn types(list: &str) -> Vec<String> {
    if list.trim().is_empty() {
        return Vec::new();
    }
    list.split(',').map(|one| long_name(&one.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

/// The long spelling of the types that people abbreviate.
fn long_name(name: &str) -> String {
    let (base, array) = name.strip_suffix("[]").map_or((name, ""), |base| (base, "[]"));
    let long = match base {
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        "bool" => "boolean",
        "float8" => "double precision",
        "float4" => "real",
        "varchar" => "character varying",
        "timestamptz" => "timestamp with time zone",
        "timestamp" => "timestamp without time zone",
        other => other,
    };
    format!("{long}{array}")
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)?;
        match &self.arguments {
            Some(types) => write!(f, "({})", types.join(", ")),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for FunctionName {
    type Error = FunctionNameError;
    fn try_from(text: String) -> Result<FunctionName, FunctionNameError> {
        text.parse()
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> String {
        name.to_string()
    }
}

/// Only the rows of a table for which a predicate holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFilter {
    /// The table: exact names, no column.
    pub table: Resource,
    /// A boolean expression over the table's columns, in the database's own SQL.
    pub predicate: String,
}

impl fmt::Display for RowFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of {} where {}", self.table, self.predicate)
    }
}

/// What statements may use up while they run. `None` is no bound of the grant's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Budgets {
    /// Rows returned by one statement.
    pub rows: Option<u64>,
    /// Bytes returned by one statement, as they are on the wire.
    pub bytes: Option<u64>,
    /// How long one statement may run.
    pub statement_time: Option<Span>,
    /// How long a statement may wait for a lock.
    pub lock_wait: Option<Span>,
    /// Bytes of temporary files of one session.
    pub temporary_bytes: Option<u64>,
    /// Connections at the same time.
    pub connections: Option<u32>,
    /// Statements in any minute.
    pub statements_per_minute: Option<u32>,
    /// Rows that one transaction may change at once; what changes more is planned. `None` is [`CHANGED_ROWS`].
    pub changed_rows: Option<u64>,
}

/// How many rows one transaction changes at once where nothing else is said.
pub const CHANGED_ROWS: u64 = 10_000;

impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.rows.map(|rows| format!("at most {} a statement", counted(rows, "row"))),
            self.bytes.map(|bytes| format!("at most {} a statement", size(bytes))),
            self.statement_time.map(|span| format!("at most {span} a statement")),
            self.lock_wait.map(|span| format!("waits at most {span} for a lock")),
            self.temporary_bytes.map(|bytes| format!("at most {} of temporary files", size(bytes))),
            self.connections.map(|count| format!("at most {}", counted(count.into(), "connection"))),
            self.statements_per_minute.map(|count| format!("at most {} a minute", counted(count.into(), "statement"))),
            self.changed_rows.map(|rows| format!("changes at most {} at once", counted(rows, "row"))),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// `1 row`, `2 rows`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `10MB` of ten times 1024 times 1024.
fn size(bytes: u64) -> String {
    let units = [("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];
    let unit = units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// A column whose values are not shown as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// The column: exact names.
    pub column: Resource,
    /// What is shown instead.
    pub kind: MaskKind,
}

/// What is shown instead of a masked value. NULL stays NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskKind {
    /// Nothing: the column may not be named, and the grant's role in the database does not hold it.
    Withheld,
    /// NULL.
    Null,
    /// This text.
    Fixed(String),
    /// The last four characters, the others as `*`.
    LastFour,
    /// A keyed hash: equal values look equal within one grant, and nothing else is told.
    Hash,
    /// Letters and digits replaced by others of their kind, keyed as the hash is; length and punctuation stay.
    Format,
}

impl fmt::Display for MaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaskKind::Withheld => f.write_str("withheld"),
            MaskKind::Null => f.write_str("null"),
            MaskKind::Fixed(text) => write!(f, "fixed={text}"),
            MaskKind::LastFour => f.write_str("last-four"),
            MaskKind::Hash => f.write_str("hash"),
            MaskKind::Format => f.write_str("format"),
        }
    }
}

/// A word that is no kind of mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of mask; known: withheld, null, fixed=TEXT, last-four, hash, format")]
pub struct MaskKindError(pub String);

impl FromStr for MaskKind {
    type Err = MaskKindError;
    fn from_str(text: &str) -> Result<MaskKind, MaskKindError> {
        Ok(match text {
            "withheld" => MaskKind::Withheld,
            "null" => MaskKind::Null,
            "last-four" => MaskKind::LastFour,
            "hash" => MaskKind::Hash,
            "format" => MaskKind::Format,
            other => match other.strip_prefix("fixed=") {
                Some(shown) if shown.len() <= 200 && !shown.chars().any(char::is_control) => {
                    MaskKind::Fixed(shown.to_owned())
                }
                _ => return Err(MaskKindError(other.to_owned())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_mask_is_written_as_it_is_read() {
        for text in ["withheld", "null", "fixed=n/a", "fixed=", "last-four", "hash", "format"] {
            assert_eq!(text.parse::<MaskKind>().unwrap().to_string(), text);
        }
        assert!("fixed".parse::<MaskKind>().is_err() && "fixed=a\n".parse::<MaskKind>().is_err());
    }

    #[test]
    fn bounds_are_told_in_words() {
        let rows = vec![RowFilter { table: "app.orders".parse().unwrap(), predicate: "id = 7".to_owned() }];
        let budgets = Budgets { rows: Some(5), bytes: Some(10 << 20), ..Budgets::default() };
        let bounds = Bounds { functions: vec!["app.f".parse().unwrap()], rows, budgets };
        let text =
            "rows of app.orders where id = 7; may call app.f; at most 5 rows a statement, at most 10MB a statement";
        assert_eq!((bounds.to_string().as_str(), Bounds::default().to_string().as_str()), (text, ""));
    }

    #[test]
    fn a_function_is_written_as_the_database_spells_it() {
        for (text, spelled) in [
            ("app.fmt_money", "app.fmt_money"),
            ("app.fmt_money(numeric)", "app.fmt_money(numeric)"),
            ("app.f(int, text[])", "app.f(integer, text[])"),
            ("app.f( double  precision )", "app.f(double precision)"),
            ("app.f()", "app.f()"),
        ] {
            assert_eq!(text.parse::<FunctionName>().unwrap().to_string(), spelled);
        }
        for text in ["f", "app.", "app.f(", "app.f(int,)", "a.b.c", "app.*"] {
            assert!(text.parse::<FunctionName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_alone_covers_every_overload_and_a_signature_only_itself() {
        let all: FunctionName = "app.f".parse().unwrap();
        let one: FunctionName = "app.f(int)".parse().unwrap();
        let other: FunctionName = "app.f(text)".parse().unwrap();
        assert!(all.covers(&one) && one.covers(&one) && !one.covers(&other) && !one.covers(&all));
    }
}
