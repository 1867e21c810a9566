//! The settings under which images are written and read.

/// Settings that decide how a value looks as text. Under them a value is written exactly and read back as itself.
const PINNED: [(&str, &str); 11] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("client_encoding", "'UTF8'"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    ("extra_float_digits", "3"),
    ("datestyle", "'ISO, YMD'"),
    ("intervalstyle", "'postgres'"),
    ("bytea_output", "'hex'"),
    ("timezone", "'UTC'"),
    ("xmloption", "'content'"),
    ("lc_monetary", "'C'"),
];

/// The same as clauses of a function, which writes images within a session of others. The encoding is of the connection
/// alone.
pub(super) fn of_function() -> String {
    let clause = |(name, value): &(&str, &str)| (*name != "client_encoding").then(|| format!("SET {name} = {value}"));
    PINNED.iter().filter_map(clause).collect::<Vec<_>>().join("\n")
}

/// SQL that pins them, for the connection or for what is left of a transaction (`local`).
pub fn pins(local: bool) -> String {
    let scope = if local { "LOCAL" } else { "SESSION" };
    PINNED.iter().map(|(name, value)| format!("SET {scope} {name} = {value};")).collect::<Vec<_>>().join("\n")
}
