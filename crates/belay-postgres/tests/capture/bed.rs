//! A database of its own for each test, and transactions captured in it.

use belay_change::{ChangeSet, Side, Sink, Table, TableChange};
use belay_postgres::capture::{
    Baseline, CaptureError, Hint, Limits, OPENING, Row, Transaction, before_truncate, capture, pins,
};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::Postgres;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Rows by their text, with how many of them there are.
pub(crate) type Rows = BTreeMap<String, i64>;
/// The rows of each table.
pub(crate) type Content = BTreeMap<String, Rows>;

/// One server for all tests of a file.
pub(crate) async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER.get_or_init(|| async { Postgres::start() }).await
}

/// Keeps images in memory.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) tables: Vec<Table>,
    pub(crate) images: Vec<(u16, Side, String)>,
}

impl Sink for Kept {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        self.tables.push(table.clone());
        Ok(u16::try_from(self.tables.len() - 1).unwrap())
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        self.images.push((table, side, String::from_utf8(image.to_vec()).unwrap()));
        Ok(())
    }
}

impl Kept {
    /// What is there after and not before, as a number below zero where it is the other way round.
    pub(crate) fn difference(&self) -> Content {
        let mut content = Content::new();
        for (table, side, image) in &self.images {
            let table = &self.tables[usize::from(*table)];
            let rows = content.entry(format!("{}.{}", table.schema, table.name)).or_default();
            *rows.entry(image.clone()).or_default() += if *side == Side::New { 1 } else { -1 };
        }
        without_zeros(content)
    }
}

fn without_zeros(mut content: Content) -> Content {
    for rows in content.values_mut() {
        rows.retain(|_, count| *count != 0);
    }
    content.retain(|_, rows| !rows.is_empty());
    content
}

/// A database with a client, who writes, and Belay's own connection.
pub(crate) struct Bed {
    pub(crate) database: String,
    pub(crate) writer: Client,
    pub(crate) outsider: Client,
    pub(crate) limits: Limits,
}

impl Bed {
    /// A database in which `setup` was run.
    pub(crate) async fn with(setup: &str) -> Bed {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let postgres = server().await;
        let database = format!("bed_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        postgres.execute("postgres", &format!("CREATE DATABASE {database}")).await;
        postgres.execute(&database, setup).await;
        let writer = postgres.client_in(&database).await;
        let outsider = postgres.client_in(&database).await;
        Bed { database, writer, outsider, limits: Limits::default() }
    }

    /// One more connection.
    pub(crate) async fn client(&self) -> Client {
        server().await.client_in(&self.database).await
    }

    /// The same writer under another name.
    pub(crate) async fn written_by(mut self, role: &str) -> Bed {
        server().await.trust(role).await;
        self.writer = server().await.login(role, "", &self.database).await.unwrap();
        self
    }

    /// Begins a transaction on the writer.
    pub(crate) async fn begin(&self, how: &str) -> Transaction {
        self.begin_with(how, OPENING).await
    }

    /// The same with another opening.
    pub(crate) async fn begin_with(&self, how: &str, opening: &str) -> Transaction {
        self.writer.batch_execute(how).await.unwrap();
        let baseline = Baseline::read(&rows(&self.writer, opening).await).unwrap();
        Transaction::begun(baseline, &self.limits, &[])
    }

    /// Runs these statements in a transaction of their own, takes its changes and commits, or rolls back where they
    /// cannot be taken.
    pub(crate) async fn run(&mut self, statements: &[&str]) -> Result<(ChangeSet, Kept), CaptureError> {
        let transaction = self.begin("BEGIN").await;
        self.run_in(transaction, statements).await
    }

    /// The same, with the statements known to the capture.
    pub(crate) async fn hinted(&mut self, statements: &[&str]) -> Result<(ChangeSet, Kept), CaptureError> {
        let mut transaction = self.begin("BEGIN").await;
        for text in statements {
            transaction.hint(&Hint { text: (*text).to_owned(), parameters: Vec::new() });
        }
        self.run_in(transaction, statements).await
    }

    /// The same, of a transaction that has begun.
    pub(crate) async fn run_in(
        &mut self,
        mut transaction: Transaction,
        statements: &[&str],
    ) -> Result<(ChangeSet, Kept), CaptureError> {
        let mut kept = Kept::default();
        match self.statements(&mut transaction, statements, &mut kept).await {
            Ok(()) => {}
            Err(error) => {
                self.writer.batch_execute("ROLLBACK").await.unwrap();
                return Err(error);
            }
        }
        let set = self.end(transaction, &mut kept).await?;
        Ok((set, kept))
    }

    async fn statements(
        &mut self,
        transaction: &mut Transaction,
        statements: &[&str],
        kept: &mut Kept,
    ) -> Result<(), CaptureError> {
        for sql in statements {
            if sql.trim_start().to_ascii_lowercase().starts_with("truncate") {
                let (writer, outsider) = (&mut self.writer, &mut self.outsider);
                before_truncate(writer, outsider, transaction, sql, &self.limits, kept).await?;
            }
            self.writer.batch_execute(sql).await?;
        }
        Ok(())
    }

    /// Takes the changes and commits, or rolls back.
    pub(crate) async fn end(&mut self, transaction: Transaction, kept: &mut Kept) -> Result<ChangeSet, CaptureError> {
        let set = capture(&mut self.writer, &mut self.outsider, transaction, &self.limits, kept).await;
        self.writer.batch_execute(if set.is_ok() { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
        set
    }

    /// Every row of every table, as Belay writes rows.
    pub(crate) async fn content(&self) -> Content {
        let client = self.client().await;
        client.batch_execute(&pins(false)).await.unwrap();
        let tables = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
        let mut content = Content::new();
        for row in rows(&client, tables).await {
            let [Some(schema), Some(name)] = row.as_slice() else { panic!("{row:?}") };
            let quoted = format!("\"{schema}\".\"{}\"", name.replace('"', "\"\""));
            let of = rows(&client, &format!("SELECT record_out(zq.*) FROM ONLY {quoted} zq")).await;
            let counted = content.entry(format!("{schema}.{name}")).or_default();
            for row in of {
                *counted.entry(row[0].clone().unwrap()).or_default() += 1;
            }
        }
        content
    }

    /// Runs these statements and holds what was taken against what is really different.
    pub(crate) async fn exact(&mut self, statements: &[&str]) -> (ChangeSet, Kept) {
        let before = self.content().await;
        let (set, kept) = self.run(statements).await.unwrap_or_else(|error| panic!("{statements:?}: {error}"));
        assert_eq!(kept.difference(), between(before, self.content().await), "{statements:?}");
        (set, kept)
    }

    /// Runs these statements, which are refused and leave nothing. Returns what stands in the way.
    pub(crate) async fn refused(&mut self, statements: &[&str]) -> String {
        let before = self.content().await;
        let error = self.run(statements).await.err().unwrap_or_else(|| panic!("not refused: {statements:?}"));
        assert_eq!(before, self.content().await);
        assert!(!matches!(error, CaptureError::Target { .. } | CaptureError::Lost(_)), "{error:?}");
        error.to_string()
    }
}

/// What is in `after` and not in `before`, counted.
pub(crate) fn between(mut before: Content, after: Content) -> Content {
    before.values_mut().flat_map(BTreeMap::values_mut).for_each(|count| *count = -*count);
    for (table, rows) in after {
        let of = before.entry(table).or_default();
        for (row, count) in rows {
            *of.entry(row).or_default() += count;
        }
    }
    without_zeros(before)
}

/// The rows of a question, as text.
pub(crate) async fn rows(client: &Client, sql: &str) -> Vec<Row> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

/// The counts of one table.
pub(crate) fn counts(set: &ChangeSet, table: &str) -> (u64, u64, u64) {
    let change = of(set, table);
    (change.inserted, change.updated, change.deleted)
}

/// What was changed in one table.
pub(crate) fn of<'a>(set: &'a ChangeSet, table: &str) -> &'a TableChange {
    let named = |change: &&TableChange| change.table.name == table;
    set.tables.iter().find(named).unwrap_or_else(|| panic!("{table} is not in {set:?}"))
}
