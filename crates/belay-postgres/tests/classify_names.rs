//! What names mean to the classifier, held against what they mean to PostgreSQL.
//!
//! `names/texts.golden` says of each line of `names/texts.txt` what it takes, under a real catalog; `BELAY_BLESS=1` writes
//! it anew. Beside that, PostgreSQL is asked itself: a view over a text depends on the columns that the text takes, and
//! a prepared text tells whose columns its result shows. Both must be known to the classifier, for generated texts too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "names/generated.rs"]
mod generated;

use belay_model::{Effect, Statement, Via};
use belay_postgres::catalog::Catalog;
use belay_postgres::classify::{Classifier, Limits, PathChange, Place, Reading, SearchPath};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use testkit::Postgres;
use tokio_postgres::Client;

const SCHEMA: &str = include_str!("names/schema.sql");
const ROLE: &str = "belay_test_g_1";

struct World {
    _postgres: Postgres,
    client: Client,
    classifier: Classifier,
}

impl World {
    async fn start() -> World {
        let postgres = Postgres::start();
        postgres.execute("postgres", SCHEMA).await;
        let mut client = postgres.client().await;
        let catalog = Catalog::of_database(&mut client).await.unwrap();
        World { _postgres: postgres, client, classifier: Classifier::new(Limits::default(), Some(catalog)) }
    }

    fn read(&self, text: &str, path: &str) -> Reading {
        let place: Place = self.classifier.place(
            vec![SearchPath::new(path, ROLE).unwrap()],
            Some(SearchPath::new("\"$user\", public", ROLE).unwrap()),
            ROLE,
        );
        self.classifier.read(text, &place)
    }

    /// The columns that PostgreSQL finds in a query; none where it does not take the text.
    async fn columns(&self, text: &str, path: &str) -> Option<BTreeSet<String>> {
        let setup = format!(
            "BEGIN; SET LOCAL search_path = {path}; CREATE TEMP VIEW oracle AS SELECT 1 AS one FROM ({text}\n) AS q"
        );
        let made = self.client.batch_execute(&setup).await.is_ok();
        let found = if made {
            let rows = self.client.query(DEPENDS, &[]).await.unwrap();
            Some(rows.iter().map(|row| row.get::<_, String>(0)).collect())
        } else {
            None
        };
        self.client.batch_execute("ROLLBACK").await.unwrap();
        found
    }

    /// Whose column each place of the result shows, as PostgreSQL tells its clients.
    async fn origins(&self, text: &str, path: &str) -> Vec<Option<String>> {
        self.client.batch_execute(&format!("SET search_path = {path}")).await.unwrap();
        let prepared = self.client.prepare(text).await;
        let mut origins = Vec::new();
        for column in prepared.iter().flat_map(tokio_postgres::Statement::columns) {
            let origin = match (column.table_oid(), column.column_id()) {
                (Some(table), Some(number)) => self.client.query_opt(ORIGIN, &[&table, &number]).await.unwrap(),
                _ => None,
            };
            origins.push(origin.map(|row| row.get(0)));
        }
        self.client.batch_execute("RESET search_path").await.unwrap();
        origins
    }

    /// What PostgreSQL knows of a text and the classifier does not; `None` where PostgreSQL does not take it.
    async fn missed(&self, text: &str, path: &str) -> Option<Vec<String>> {
        let statement = self.read(text, path).statements[0].clone();
        let columns = self.columns(text, path).await?;
        let mut missed = Vec::new();
        if statement.effect == Effect::Opaque {
            missed.push(format!("refused: {:?}", statement.because));
            return Some(missed);
        }
        let known = taken(&statement);
        missed.extend(columns.difference(&known).map(|column| format!("takes {column}")));
        for (place, origin) in self.origins(text, path).await.into_iter().enumerate() {
            let Some(origin) = origin else { continue };
            if !shown(&statement).contains(&format!("{place}={origin}")) && !computed(&statement, &origin) {
                missed.push(format!("shows {origin} at {place}"));
            }
        }
        Some(missed)
    }
}

/// Columns of user tables that the view's rule depends on; a relation without a column where the table alone counts.
const DEPENDS: &str = "SELECT DISTINCT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '')
    FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
    WHERE r.ev_class = 'pg_temp.oracle'::regclass AND d.refclassid = 'pg_class'::regclass
        AND c.relkind <> 'c' AND d.refobjid >= 16384 AND d.refobjid <> r.ev_class";

const ORIGIN: &str = "SELECT n.nspname || '.' || c.relname || '.' || a.attname FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attrelid = $1 AND a.attnum = $2 AND a.attnum > 0 AND c.oid >= 16384";

fn taken(statement: &Statement) -> BTreeSet<String> {
    let named = statement.accesses.iter().filter(|access| access.via == Via::Named);
    named
        .flat_map(|access| {
            let columns = access.columns.iter().map(|column| format!("{}.{}", access.relation, column.name));
            columns.chain([access.relation.to_string()]).collect::<Vec<_>>()
        })
        .collect()
}

fn shown(statement: &Statement) -> Vec<String> {
    let shows = statement.shows.iter().map(|shown| {
        let access = &statement.accesses[usize::from(shown.access)];
        format!("{}={}.{}", shown.position, access.relation, access.columns[usize::from(shown.column)].name)
    });
    shows.collect()
}

fn computed(statement: &Statement, column: &str) -> bool {
    statement.accesses.iter().any(|access| {
        access.columns.iter().any(|used| used.computed && format!("{}.{}", access.relation, used.name) == column)
    })
}

fn described(statement: &Statement) -> String {
    let mut text = format!("{} {}", statement.effect.word(), statement.verb);
    for access in &statement.accesses {
        let columns: Vec<String> = access
            .columns
            .iter()
            .map(|column| format!("{}{}", column.name, if column.computed { "!" } else { "" }))
            .collect();
        let via = match &access.via {
            Via::Named => String::new(),
            other => format!(" {other:?}"),
        };
        write!(text, " {}({}){via}", access.relation, columns.join(", ")).unwrap();
    }
    for call in &statement.calls {
        write!(text, " calls {call}").unwrap();
    }
    if !statement.shows.is_empty() {
        write!(text, " shows {}", shown(statement).join(" ")).unwrap();
    }
    if let Some(code) = statement.code {
        write!(text, " [{code}]").unwrap();
    }
    if let Some(because) = &statement.because {
        write!(text, ": {because}").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn names_mean_what_the_table_says_and_postgresql_agrees() {
    let world = World::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/names");
    let (mut now, mut path, mut wrong) = (String::new(), "\"$user\", public".to_owned(), Vec::new());
    for line in std::fs::read_to_string(folder.join("texts.txt")).unwrap().lines() {
        writeln!(now, "{line}").unwrap();
        if let Some(value) = line.strip_prefix("@path ") {
            value.clone_into(&mut path);
        } else if !line.is_empty() && !line.starts_with('#') {
            let reading = world.read(line, &path);
            for statement in reading.statements.iter() {
                writeln!(now, "  {}", described(statement)).unwrap();
            }
            if !matches!(reading.path, PathChange::None) {
                writeln!(now, "  path: {:?}", reading.path).unwrap();
            }
            let refused = reading.statements.iter().any(|statement| statement.effect > Effect::Read);
            if !refused && let Some(missed) = world.missed(line, &path).await {
                wrong.extend(missed.into_iter().map(|missed| format!("{line}: {missed}")));
            }
        }
    }
    let golden = folder.join("texts.golden");
    if std::env::var_os("BELAY_BLESS").is_some() {
        std::fs::write(&golden, &now).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let then = std::fs::read_to_string(&golden).unwrap();
    let different = then.lines().zip(now.lines()).find(|(then, now)| then != now);
    assert!(then == now, "first difference, before and now: {different:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_texts_take_and_show_what_postgresql_says() {
    let world = World::start().await;
    let count: u64 = std::env::var("BELAY_GENERATED").map_or(1_500, |count| count.parse().unwrap());
    let (mut asked, mut wrong) = (0, Vec::new());
    for seed in 0..count {
        let text = generated::query(seed);
        if let Some(missed) = world.missed(&text, "app, public").await {
            asked += 1;
            wrong.extend(missed.into_iter().map(|missed| format!("{seed}: {missed}: {text}")));
        }
    }
    println!("{asked} of {count} generated texts are legal");
    assert!(asked * 4 > count, "only {asked} of {count} texts are legal");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
