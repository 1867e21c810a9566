//! What the ledger says of the same connections.

use e2e::World;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::{LedgerFiles, Ticket, until};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Connection {
    pub(super) name: String,
    pub(super) backend: i64,
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) text: String,
    /// What was bound, as PostgreSQL would log it.
    pub(super) parameters: Option<String>,
    pub(super) denied: Option<String>,
    pub(super) ended: bool,
    pub(super) skipped: bool,
    pub(super) sqlstate: Option<String>,
}

/// The connections under the grant, all of which have ended.
pub(super) fn connections(world: &World, ticket: &Ticket) -> Vec<Connection> {
    let mut files = LedgerFiles::of(world.belay.data_dir().join("ledger"));
    let mut connections: BTreeMap<String, Connection> = BTreeMap::new();
    let mut open = 0;
    let ended = until(PATIENCE, || {
        for record in files.more().iter().filter(|record| record["grant"] == ticket.grant.as_str()) {
            match record["kind"].as_str().unwrap() {
                "login" => open += 1,
                "connection_ended" => open -= 1,
                _ => {}
            }
            take(record, &mut connections);
        }
        open == 0
    });
    assert!(ended, "{open} connections have no end");
    connections.into_values().collect()
}

fn take(record: &Value, connections: &mut BTreeMap<String, Connection>) {
    let Some(name) = record["connection"].as_str() else { return };
    let number = || usize::try_from(record["statement"].as_u64().unwrap()).unwrap();
    let text = |key: &str| record[key].as_str().map(str::to_owned);
    match record["kind"].as_str().unwrap() {
        "login" => {
            let connection =
                Connection { name: name.to_owned(), backend: record["backend"].as_i64().unwrap(), statements: vec![] };
            assert!(connections.insert(name.to_owned(), connection).is_none(), "{record}");
        }
        "statement" => {
            let statements = &mut connections.get_mut(name).unwrap().statements;
            assert_eq!(number(), statements.len() + 1, "{record}");
            let parameters = record["values"].as_array().filter(|values| !values.is_empty());
            statements.push(Statement {
                text: text("text").unwrap(),
                parameters: parameters.map(|values| logged(values)),
                denied: text("denied"),
                ..Statement::default()
            });
        }
        "outcome" => {
            let statement = &mut connections.get_mut(name).unwrap().statements[number() - 1];
            assert!(!statement.ended && statement.denied.is_none(), "{record}");
            statement.ended = true;
            statement.skipped = record["skipped"] == true;
            statement.sqlstate = text("sqlstate");
        }
        _ => {}
    }
}

/// `$1 = 'it''s', $2 = NULL`
fn logged(values: &[Value]) -> String {
    let one = |(place, value): (usize, &Value)| match value["text"].as_str() {
        Some(text) => format!("${} = '{}'", place + 1, text.replace('\'', "''")),
        None if value == "null" => format!("${} = NULL", place + 1),
        None => panic!("not bound as text: {value}"),
    };
    values.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}
