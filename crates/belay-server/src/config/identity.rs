//! What a configuration is known by in the ledger.

use aws_lc_rs::digest::{SHA256, digest};

/// The settings of a file: names, and a hash over their values. No value can be read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 over `name = value`, a line for each setting, in the order of their names; in hex.
    pub hash: String,
    /// The names of what is set, such as `listen.api`.
    pub settings: Vec<String>,
}

impl Identity {
    /// Of a file's text. Order, comments and white space are no part of it; secrets are references there.
    pub(super) fn of(text: &str) -> Identity {
        let mut lines = Vec::new();
        let table: toml::Table = toml::from_str(text).unwrap_or_default();
        flatten("", &toml::Value::Table(table), &mut lines);
        lines.sort();
        let whole: Vec<String> = lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let hash = hex::encode(digest(&SHA256, whole.concat().as_bytes()).as_ref());
        Identity { hash, settings: lines.into_iter().map(|(name, _)| name).collect() }
    }
}

fn flatten(name: &str, value: &toml::Value, lines: &mut Vec<(String, String)>) {
    let within = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| flatten(&within(key), value, lines)),
        toml::Value::Array(values) if values.iter().any(toml::Value::is_table) => {
            values.iter().enumerate().for_each(|(place, value)| flatten(&within(&place.to_string()), value, lines));
        }
        value => lines.push((name.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_comments_are_no_part_of_it_and_values_are() {
        let one = Identity::of("[limits]\nconnections = 5 # few\n[listen]\napi = \"127.0.0.1:1\"\n");
        let other = Identity::of("listen = { api = \"127.0.0.1:1\" }\nlimits.connections = 5\n");
        assert_eq!(one, other);
        assert_eq!(one.settings, ["limits.connections", "listen.api"]);
        assert_ne!(one.hash, Identity::of("[limits]\nconnections = 6\n[listen]\napi = \"127.0.0.1:1\"\n").hash);
        assert_eq!(Identity::of("[[events]]\nurl = \"x\"\n").settings, ["events.0.url"]);
    }
}
