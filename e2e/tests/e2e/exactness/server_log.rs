//! What PostgreSQL itself logs of statements, with `log_statement = all`.

use std::collections::BTreeMap;
use std::time::Duration;
use testkit::{Builder, Postgres, until};

/// How the gateway's own statements end.
const OWN: &str = " /* belay */";
/// How the text begins that stands in for a refused statement.
const REFUSED: &str = "/* refused by belay, ";
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that logs every statement, as CSV: text of any kind comes back as it was.
pub(super) fn logging() -> Builder {
    Postgres::builder()
        .setting("logging_collector", "on")
        .setting("log_destination", "csvlog")
        .setting("log_directory", "log")
        .setting("log_filename", "statements.log")
        .setting("log_rotation_age", "0")
        .setting("log_rotation_size", "0")
        .setting("log_statement", "all")
}

/// One session of the server: a back end from its first statement to its last.
pub(super) struct Session {
    pub(super) role: String,
    pub(super) backend: i64,
    pub(super) application: String,
    pub(super) entries: Vec<Entry>,
}

/// One thing that the server names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) what: What,
    pub(super) text: String,
    /// What was bound, in the server's words.
    pub(super) parameters: Option<String>,
    /// The SQLSTATE of the first error after it.
    pub(super) sqlstate: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It was run.
    Run,
    /// It failed before it was run, and is named by the error alone; in a Parse or a Bind, or not.
    Failed { in_batch: bool },
    /// The gateway's own.
    Own,
    /// It stands in for one that was refused.
    Refusal,
}

/// Everything that was logged up to now, by session.
pub(super) fn sessions(postgres: &Postgres, direct: impl Fn(&str) -> String) -> Vec<Session> {
    let end = "SELECT 'the end of the log'";
    direct(end);
    let path = postgres.data_dir().join("log/statements.csv");
    let mut text = String::new();
    let complete = until(PATIENCE, || {
        text = String::from_utf8(std::fs::read(&path).unwrap_or_default()).unwrap_or_default();
        text.contains(end)
    });
    assert!(complete, "{} never comes to its end", path.display());
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    for row in rows(&text) {
        let [user, process, id] = [1, 3, 5].map(|at| row[at].clone());
        if user.is_empty() {
            continue;
        }
        let session = sessions.entry(id).or_insert_with(|| Session {
            role: user,
            backend: process.parse().unwrap(),
            application: String::new(),
            entries: Vec::new(),
        });
        session.application.clone_from(&row[22]);
        session.take(&row);
    }
    sessions.into_values().collect()
}

impl Session {
    fn take(&mut self, row: &[String]) {
        let [tag, severity, sqlstate, message, detail, query] = [7, 11, 12, 13, 14, 19].map(|at| row[at].clone());
        if severity == "LOG" {
            if let Some(text) = named(&message) {
                let what = if text.ends_with(OWN) { What::Own } else { What::Run };
                let parameters = detail.split_once("arameters: ").map(|(_, values)| values.to_owned());
                self.entries.push(Entry { what, text, parameters, sqlstate: None });
            }
            return;
        }
        if severity != "ERROR" {
            return;
        }
        let in_batch = matches!(tag.as_str(), "PARSE" | "BIND");
        let known = self.entries.iter().any(|entry| entry.text == query) && !query.starts_with(REFUSED);
        if query.is_empty() || known {
            // It has its text already; a Parse or a Bind that failed is no error of what ran before.
            if let Some(last) = self.entries.last_mut().filter(|last| !in_batch && last.text == query) {
                last.sqlstate.get_or_insert(sqlstate);
            }
            return;
        }
        let what = match &query {
            text if text.ends_with(OWN) => What::Own,
            text if text.starts_with(REFUSED) => What::Refusal,
            _ => What::Failed { in_batch },
        };
        self.entries.push(Entry { what, text: query, parameters: None, sqlstate: Some(sqlstate) });
    }
}

/// The text in `statement: TEXT`, `execute NAME: TEXT` and their like.
fn named(message: &str) -> Option<String> {
    if let Some(function) = message.strip_prefix("fastpath function call: ") {
        let oid = function.rsplit_once("(OID ")?.1.trim_end_matches(')');
        return Some(format!("<call of function {oid}>"));
    }
    let text = message.strip_prefix("statement: ").or_else(|| {
        let named = message.strip_prefix("execute fetch from ").or_else(|| message.strip_prefix("execute "))?;
        Some(named.split_once(": ")?.1)
    })?;
    Some(text.to_owned())
}

/// The rows of a CSV file.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut letters) = (false, text.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    rows
}
