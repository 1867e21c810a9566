//! What the tables of a scenario hold, seen past the gateway.

use std::collections::BTreeMap;
use tokio_postgres::{Client, SimpleQueryMessage};

const PINS: &str = "SET extra_float_digits = 3; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
    SET bytea_output = 'hex'; SET TimeZone = 'UTC'; SET lc_monetary = 'C'";

/// By table: its columns in order, and its rows as sorted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, (Vec<String>, Vec<String>)>);

impl State {
    /// What the tables hold now. A table that is not there counts as such.
    pub(crate) async fn of(client: &Client, tables: &[String]) -> State {
        client.batch_execute(PINS).await.expect("settings");
        let mut state = BTreeMap::new();
        for table in tables {
            state.insert(table.clone(), one(client, table).await);
        }
        State(state)
    }

    /// How the other one differs, in words.
    pub(crate) fn differs(&self, other: &State) -> Option<String> {
        for (table, (columns, rows)) in &self.0 {
            let (columns_there, rows_there) = &other.0[table];
            if columns != columns_there {
                return Some(format!("columns of {table}: {columns:?} and {columns_there:?}"));
            }
            if rows != rows_there {
                let gone = rows.iter().find(|row| !rows_there.contains(row));
                let come = rows_there.iter().find(|row| !rows.contains(row));
                return Some(format!(
                    "{table}: {} rows and {} rows; {gone:?} / {come:?}",
                    rows.len(),
                    rows_there.len()
                ));
            }
        }
        None
    }
}

async fn one(client: &Client, table: &str) -> (Vec<String>, Vec<String>) {
    let columns = format!(
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
         WHERE attrelid = to_regclass('{}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        table.replace('\'', "''")
    );
    let columns = texts(client, &columns).await;
    if columns.is_empty() {
        return (vec!["not there".to_owned()], Vec::new());
    }
    let mut rows = texts(client, &format!("SELECT (belay_row.*)::text FROM ONLY {table} belay_row")).await;
    // A partitioned table holds its rows in its partitions.
    rows.extend(texts(client, &format!("SELECT (belay_row.*)::text FROM {table} belay_row")).await);
    rows.sort();
    (columns, rows)
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let answer = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    rows.collect()
}
