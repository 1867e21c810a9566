//! A database, and a change set made without the capture: every table's whole text before and after.

use belay_change::{ChangeSet, Column, Generated, Images, Means, Side, Sink, Table, TableChange};
use belay_postgres::revert::{Conflicts, How, RevertError, revert};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::Postgres;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, SimpleQueryMessage};

pub(crate) async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER.get_or_init(|| async { Postgres::builder().setting("max_connections", "200").start() }).await
}

/// A database of its own, a connection that writes and one that reverts.
pub(crate) struct Bench {
    pub(crate) database: String,
    pub(crate) writer: Client,
    pub(crate) control: Client,
    observer: Client,
}

/// Every table with its rows.
pub(crate) type Snapshot = BTreeMap<u32, (Table, Vec<String>)>;

/// A change set with its images.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) set: ChangeSet,
    pub(crate) images: Vec<(u16, Side, Vec<u8>)>,
}

impl Bench {
    pub(crate) async fn with(setup: &[&str]) -> Bench {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("bench_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let postgres = server().await;
        postgres.execute("postgres", &format!("CREATE DATABASE {database}")).await;
        let bench = Bench::over(postgres, database).await;
        bench.write(setup).await;
        bench
    }

    /// Leaves nothing behind, where one server sees a database for each of many cases.
    pub(crate) async fn leave(self) {
        let drop_it = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        server().await.execute("postgres", &drop_it).await;
    }

    /// Runs statements as the client would, each of its own.
    pub(crate) async fn write(&self, statements: &[&str]) {
        for statement in statements {
            let done = self.writer.batch_execute(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }

    /// The same database over other connections.
    pub(crate) async fn beside(&self) -> Bench {
        Bench::over(server().await, self.database.clone()).await
    }

    async fn over(postgres: &Postgres, database: String) -> Bench {
        let client = || postgres.client_in(&database);
        let (writer, control, observer) = tokio::join!(client(), client(), client());
        observer.batch_execute(PINNED).await.unwrap();
        Bench { database, writer, control, observer }
    }

    /// The first column of what a query gives.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        rows(&self.writer, sql).await.into_iter().map(|mut row| row.remove(0)).collect()
    }

    /// Logs in as somebody without rights but those that `grants` gives to `other`.
    pub(crate) async fn log_in(&mut self, grants: &str) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let user = format!("other_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let grants = grants.replace("other", &user);
        self.write(&[&format!("CREATE ROLE {user} LOGIN PASSWORD 'pw'"), &grants]).await;
        self.control = server().await.login(&user, "pw", &self.database).await.unwrap();
    }

    /// What these statements changed.
    pub(crate) async fn changed_by(&self, statements: &[&str]) -> Kept {
        let before = self.snapshot().await;
        self.write(statements).await;
        difference(&before, &self.snapshot().await)
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        let client = &self.observer;
        let mut tables = Snapshot::new();
        for row in rows(client, TABLES).await {
            let oid: u32 = row[0].parse().unwrap();
            let table =
                Table { oid, schema: row[1].clone(), name: row[2].clone(), columns: Vec::new(), key: Vec::new() };
            tables.insert(oid, (table, Vec::new()));
        }
        for (oid, (table, images)) in &mut tables {
            for row in rows(client, &COLUMNS.replace("$1", &oid.to_string())).await {
                let generated = match row[2].as_str() {
                    "a" => Generated::IdentityAlways,
                    "s" => Generated::Stored,
                    "v" => Generated::Virtual,
                    _ => Generated::No,
                };
                table.columns.push(Column { name: row[0].clone(), type_name: row[1].clone(), generated });
            }
            let key = rows(client, &KEY.replace("$1", &oid.to_string())).await;
            table.key = key.iter().map(|row| row[0].parse().unwrap()).collect();
            let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
            let text = format!("SELECT textin(record_out(belay_snap.*)) FROM ONLY {name} belay_snap");
            *images = rows(client, &text).await.into_iter().map(|mut row| row.remove(0)).collect();
            images.sort();
        }
        tables
    }

    /// Reverts and commits; gives the revert's own change set and the rows that were kept.
    pub(crate) async fn revert(&mut self, kept: &Kept, how: &How) -> Result<(Kept, Conflicts), RevertError> {
        self.attempt(kept, how, true).await
    }

    /// Reverts and rolls back.
    pub(crate) async fn dry_run(&mut self, kept: &Kept, how: &How) -> Result<(Kept, Conflicts), RevertError> {
        self.attempt(kept, how, false).await
    }

    async fn attempt(&mut self, kept: &Kept, how: &How, commit: bool) -> Result<(Kept, Conflicts), RevertError> {
        let mut sink = Taken::default();
        let mut images = Listed(kept.images.clone().into());
        let reverted = revert(&mut self.control, &kept.set, &mut images, &mut sink, how).await?;
        let (set, left) = (reverted.changes().clone(), reverted.kept().clone());
        if commit {
            reverted.commit().await?;
        } else {
            reverted.undo().await?;
        }
        assert_eq!(sink.tables, set.tables.iter().map(|change| change.table.clone()).collect::<Vec<_>>());
        Ok((Kept { set, images: sink.images }, left))
    }
}

impl Kept {
    pub(crate) fn change_of(&self, table: &str) -> &TableChange {
        self.set.tables.iter().find(|change| change.table.name == table).unwrap()
    }
}

/// The rows that differ, as multisets.
pub(crate) fn difference(before: &Snapshot, after: &Snapshot) -> Kept {
    let mut kept = Kept { set: ChangeSet::default(), images: Vec::new() };
    for (oid, (table, new)) in after {
        let old = before.get(oid).map(|(_, old)| old.clone()).unwrap_or_default();
        let (gone, come) = (without(&old, new), without(new, &old));
        if gone.is_empty() && come.is_empty() {
            continue;
        }
        let number = u16::try_from(kept.set.tables.len()).unwrap();
        // Counts as if nothing were an update, but for the events of triggers all three count.
        let updated = u64::from(!gone.is_empty() && !come.is_empty());
        kept.set.tables.push(TableChange {
            table: table.clone(),
            inserted: come.len() as u64,
            updated,
            deleted: gone.len() as u64,
            indirect: false,
            means: Means::Scan,
            volatile: Vec::new(),
        });
        kept.images.extend(gone.into_iter().map(|image| (number, Side::Old, image.into_bytes())));
        kept.images.extend(come.into_iter().map(|image| (number, Side::New, image.into_bytes())));
    }
    kept
}

fn without(all: &[String], others: &[String]) -> Vec<String> {
    let mut count: BTreeMap<&String, usize> = BTreeMap::new();
    for other in others {
        *count.entry(other).or_default() += 1;
    }
    let mut rest = Vec::new();
    for image in all {
        match count.get_mut(image) {
            Some(left) if *left > 0 => *left -= 1,
            _ => rest.push(image.clone()),
        }
    }
    rest
}

struct Listed(VecDeque<(u16, Side, Vec<u8>)>);

impl Images for Listed {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        Ok(self.0.pop_front())
    }
}

#[derive(Default)]
struct Taken {
    tables: Vec<Table>,
    images: Vec<(u16, Side, Vec<u8>)>,
}

impl Sink for Taken {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        self.tables.push(table.clone());
        Ok(u16::try_from(self.tables.len() - 1).unwrap())
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        self.images.push((table, side, image.to_vec()));
        Ok(())
    }
}

pub(crate) async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

const PINNED: &str = "SET extra_float_digits = 3; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';
    SET bytea_output = 'hex'; SET TimeZone = 'UTC'; SET search_path = pg_catalog; SET lc_monetary = 'C'";

const TABLES: &str = "SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

const COLUMNS: &str = "SELECT attname, format_type(atttypid, atttypmod),
    CASE WHEN attgenerated <> '' THEN attgenerated WHEN attidentity = 'a' THEN 'a' END
    FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

const KEY: &str = "SELECT place - 1 FROM pg_constraint
    JOIN (SELECT attnum, row_number() OVER (ORDER BY attnum) AS place FROM pg_attribute
        WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped) a ON a.attnum = ANY (conkey)
    WHERE conrelid = $1 AND contype = 'p' ORDER BY 1";
