//! What bounds a request, as options of the command line.

use belay_model::{FunctionName, Resource, Span};
use belay_web::shape::{Bounds, Budgets, RowFilter};
use std::str::FromStr;

/// What a request is bounded to beyond tables and columns.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct BoundArgs {
    /// A function that may be called beside PostgreSQL's own harmless ones; several times for several
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<FunctionName>,
    /// Only the rows of a table for which a condition holds, e.g. `app.orders: customer_id = 7`; several times for several
    #[arg(long = "rows", value_name = "TABLE: CONDITION")]
    rows: Vec<Filter>,
    /// The most rows that one statement may return
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_rows: Option<u64>,
    /// The most bytes that one statement may return, e.g. `10MB`
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<Size>,
    /// The longest that one statement may run, e.g. `30s`
    #[arg(long, value_name = "SPAN")]
    statement_time: Option<Span>,
    /// The longest that a statement may wait for a lock, e.g. `2s`
    #[arg(long, value_name = "SPAN")]
    lock_wait: Option<Span>,
    /// The most that a session may put into temporary files, e.g. `1GB`
    #[arg(long, value_name = "SIZE")]
    temp_bytes: Option<Size>,
    /// The most connections at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
    /// The most rows that one transaction may change at once under `direct`; what changes more is planned
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_changed_rows: Option<u64>,
    /// The most statements in any minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    statements_per_minute: Option<u32>,
}

impl BoundArgs {
    /// The same as the API takes it.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            functions: self.functions.clone(),
            rows: self.rows.iter().map(|filter| filter.0.clone()).collect(),
            budgets: Budgets {
                rows: self.max_rows,
                bytes: self.max_bytes.map(|size| size.0),
                statement_time: self.statement_time,
                lock_wait: self.lock_wait,
                temporary_bytes: self.temp_bytes.map(|size| size.0),
                connections: self.max_connections,
                statements_per_minute: self.statements_per_minute,
                changed_rows: self.max_changed_rows,
            },
        }
    }
}

/// `app.orders: customer_id = 7`.
#[derive(Debug, Clone)]
struct Filter(RowFilter);

impl FromStr for Filter {
    type Err = String;
    fn from_str(text: &str) -> Result<Filter, String> {
        let example = "write for example `app.orders: customer_id = 7`";
        let (table, predicate) = text.split_once(':').ok_or_else(|| format!("`{text}` has no `:`; {example}"))?;
        let table: Resource = table.trim().parse().map_err(|error| format!("{error}; {example}"))?;
        if predicate.trim().is_empty() {
            return Err(format!("`{text}` has no condition; {example}"));
        }
        Ok(Filter(RowFilter { table, predicate: predicate.trim().to_owned() }))
    }
}

/// A number of bytes: `512kB`, `10MB`, `1GB`; each unit is 1024 times the one before, as in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size(u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("`{text}` is no size; write for example `512kB`, `10MB` or `1GB`");
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (digits, unit) = text.split_at(at);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1 << 10,
            "mb" => 1 << 20,
            "gb" => 1 << 30,
            _ => return Err(wrong()),
        };
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        // What is sent as JSON is read as a float by some.
        bytes.filter(|bytes| (1..=1 << 50).contains(bytes)).map(Size).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        for (text, bytes) in [("1B", 1), ("2kB", 2_048), ("10MB", 10 << 20), ("1gb", 1 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
        for text in ["", "10", "MB", "0MB", "-1MB", "1.5GB", "99999999999GB", "1TB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_filter_is_a_table_and_a_condition() {
        let Filter(filter) = "app.orders: status = 'a:b'".parse().unwrap();
        assert_eq!((filter.table.to_string().as_str(), filter.predicate.as_str()), ("app.orders", "status = 'a:b'"));
        for text in ["app.orders", "orders: true", "app.orders:", "app.orders: "] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
