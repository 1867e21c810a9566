//! Columns of the database's own catalog that no grant shows: where they come out as they are, their places in the result
//! are told, to be shown as NULL; where anything is made of them, the text is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use belay_model::Effect;
use belay_postgres::catalog::Catalog;
use belay_postgres::classify::{Classifier, Limits, SearchPath};
use testkit::Postgres;

const SCHEMA: &str = "CREATE VIEW settings AS SELECT rolname, rolconfig FROM pg_roles;
    CREATE VIEW names AS SELECT rolname FROM pg_roles; CREATE TABLE pg_roles_of (rolconfig text)";

/// A text, and the places that are hidden; nothing where it is refused.
const TEXTS: &[(&str, Option<&[u16]>)] = &[
    ("SELECT rolname, rolconfig FROM pg_roles", Some(&[1])),
    (
        "SELECT a.oid, a.*, d.description FROM pg_catalog.pg_roles a LEFT JOIN pg_shdescription d ON a.oid = d.objoid",
        Some(&[12]),
    ),
    ("SELECT rolname FROM pg_roles ORDER BY rolcanlogin", Some(&[])),
    ("TABLE pg_user", Some(&[8])),
    ("SELECT q.c FROM (SELECT usename, useconfig AS c FROM pg_user) AS q", Some(&[0])),
    ("WITH q AS MATERIALIZED (SELECT subconninfo FROM pg_subscription) SELECT 1, * FROM q", Some(&[1])),
    ("SELECT attmissingval FROM pg_attribute WHERE attrelid = 'hr.secrets'::regclass", Some(&[0])),
    ("SELECT count(*) FROM pg_attribute", Some(&[])),
    (
        "SELECT attname, CASE WHEN atthasmissing AND NOT attisdropped THEN attmissingval ELSE NULL END FROM pg_attribute",
        Some(&[1]),
    ),
    ("SELECT 1, rolconfig FROM pg_roles UNION ALL SELECT 2, useconfig FROM pg_user", Some(&[1])),
    ("EXPLAIN SELECT rolconfig FROM pg_roles", Some(&[])),
    ("SELECT rolconfig FROM pg_roles_of", Some(&[])),
    ("SELECT rolname FROM names", Some(&[])),
    ("SELECT rolname FROM settings", None),
    ("SELECT rolconfig::text FROM pg_roles", None),
    ("SELECT unnest(rolconfig) FROM pg_roles", None),
    ("SELECT rolname FROM pg_roles WHERE rolconfig IS NOT NULL", None),
    ("SELECT rolname FROM pg_roles ORDER BY rolconfig", None),
    ("SELECT DISTINCT rolconfig FROM pg_roles", None),
    ("SELECT r FROM pg_roles AS r", None),
    ("SELECT to_jsonb(pg_user) FROM pg_user", None),
    ("SELECT (SELECT attmissingval FROM pg_attribute LIMIT 1)", None),
    ("SELECT CASE WHEN rolconfig IS NULL THEN 1 END FROM pg_roles", None),
    ("COPY pg_attribute TO STDOUT", None),
    ("COPY (SELECT rolconfig FROM pg_roles) TO STDOUT", None),
    ("DECLARE c CURSOR FOR SELECT * FROM pg_roles", None),
    ("PREPARE p AS SELECT useconfig FROM pg_user", None),
];

#[tokio::test]
async fn secret_columns_of_the_catalog_are_hidden_or_refused() {
    let postgres = Postgres::start();
    postgres.execute("postgres", SCHEMA).await;
    let mut client = postgres.client().await;
    let catalog = Catalog::of_database(&mut client).await.unwrap();
    let classifier = Classifier::new(Limits::default(), Some(catalog));
    let place = classifier.place(vec![SearchPath::new("public", "nobody").unwrap()], None, "nobody");
    for (text, expected) in TEXTS {
        let reading = classifier.read(text, &place);
        let [statement] = &*reading.statements else { panic!("{text}") };
        let found = (statement.effect <= Effect::Read).then_some(statement.hides.as_slice());
        assert_eq!(found, *expected, "{text}: {:?}", statement.because);
        assert!(statement.accesses.iter().all(|access| access.relation.schema.as_deref() == Some("public")), "{text}");
    }
}
