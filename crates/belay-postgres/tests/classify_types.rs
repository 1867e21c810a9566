//! What values call by their types, held against what PostgreSQL calls.
//!
//! The functions of `types/schema.sql` note that they ran. Of each text, PostgreSQL is asked which did; the classifier has
//! to know them all, or refuse the text. What is expected of it stands beside the text, so that it does not refuse more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use belay_model::{Effect, Statement};
use belay_postgres::catalog::Catalog;
use belay_postgres::classify::{Classifier, Limits, Reading, SearchPath};
use std::collections::BTreeSet;
use testkit::Postgres;

const SCHEMA: &str = include_str!("types/schema.sql");
/// Instead of functions: the text is refused.
const REFUSED: &str = "refused";

/// A text, and the functions that the classifier says it may call.
const TEXTS: &[(&str, &str)] = &[
    // What is not written calls nothing, but that values with a cast to JSON may come to be made JSON.
    ("SELECT id, name FROM people WHERE name = 'ada' AND id IN (1, 2)", ""),
    ("SELECT feels FROM people WHERE id = 1", "mood_json"),
    ("SELECT feels, count(*) FROM people GROUP BY feels ORDER BY feels", "mood_json"),
    ("SELECT ARRAY['a', 'b']::text[], ARRAY[1, 2]::bigint[], 'x'::text, 5::text, now()::date", ""),
    ("SELECT x::int FROM (SELECT '5' AS x) AS q", ""),
    ("SELECT name::varchar, id::bigint::text, lower(name) FROM people", ""),
    // Casts, through domains, in arrays and in rows.
    ("SELECT feels::text FROM people", "mood_json mood_text"),
    ("SELECT feels::varchar FROM people", "mood_json"),
    ("SELECT 'calm'::moods::text", "mood_json mood_text"),
    ("SELECT ROW(1, 2)::pair::pairs::text", "pair_text text_pair"),
    ("SELECT ('{calm}'::_mood)::text[]", "mood_json mood_text"),
    ("SELECT ('{calm}'::mood[])::text[]", "mood_json mood_text"),
    ("SELECT ARRAY['calm'::mood]::text[]", "mood_json mood_text"),
    ("SELECT ROW('calm'::mood, 1)::words", "mood_json mood_text pair_text"),
    ("SELECT x::pair FROM (SELECT 'a' AS x) AS q", "text_pair"),
    ("SELECT x::pair FROM (VALUES ('a')) AS q(x)", "text_pair"),
    ("WITH q AS (SELECT NULL AS x, 'a' AS y) SELECT y::pair FROM q", "text_pair"),
    ("SELECT name::pairs FROM people", "text_pair"),
    // JSON is made by casts to it.
    ("SELECT to_json(feels), to_jsonb(feels) FROM people", "mood_json"),
    ("SELECT row_to_json(p) FROM people AS p", "meters_of mood_json"),
    ("SELECT json_agg(ARRAY['calm'::moods])", "mood_json"),
    // What is implicit.
    ("SELECT 1 UNION ALL SELECT high FROM people", "meters_of"),
    ("SELECT CASE WHEN id = 1 THEN high ELSE 5 END FROM people", "meters_of"),
    ("SELECT 4::meters", "meters_of"),
    // Checks of domains.
    ("SELECT 5::evens", "even"),
    ("SELECT '5'::evens, ARRAY[4]::evens[]", "even"),
    ("SELECT twice(5)", "even twice"),
    ("SELECT json_populate_record(NULL::words, '{}')", ""),
    ("SELECT 1::locked", REFUSED),
    ("PREPARE p(evens) AS SELECT 1", "even"),
    ("PREPARE q(moods) AS SELECT $1", "mood_json"),
    ("EXECUTE q('calm'::mood)", "mood_json mood_text"),
    ("EXECUTE q('calm')", ""),
    // Domains do not keep a function from being another one's namesake.
    ("SELECT upper('a'::name2)", REFUSED),
    ("SELECT repeat('a'::text, 5::bigint)", REFUSED),
    ("SELECT pg_catalog.upper('a'::name2)", ""),
    // Functions that call what a text names.
    ("SELECT pg_input_is_valid('5', 'evens')", REFUSED),
    ("SELECT 1::nowhere", REFUSED),
    // Settings of applications.
    ("SHOW seen.calls", REFUSED),
    ("SELECT current_setting('seen.calls')", REFUSED),
    ("SELECT current_setting('search_path'), current_setting('plpgsql.variable_conflict', true)", ""),
    ("SELECT current_setting(name) FROM people", REFUSED),
    // What has a name in `pg_settings` has its value there too.
    ("SELECT current_setting(name) FROM pg_settings", ""),
    ("SELECT s.name, pg_catalog.current_setting(s.name) FROM pg_catalog.pg_settings s WHERE s.source <> 'default'", ""),
    ("SELECT current_setting(s.x) FROM pg_settings s(x) LEFT JOIN people ON people.name = s.x", ""),
    ("SELECT current_setting(pg_settings.name) FROM pg_settings, people", ""),
    ("SELECT (SELECT current_setting(s.name) FROM people LIMIT 1) FROM pg_settings s", ""),
    ("SELECT (SELECT current_setting(name) FROM people LIMIT 1) FROM pg_settings s", REFUSED),
    ("SELECT current_setting(name) FROM pg_settings s(x, name)", REFUSED),
    ("SELECT current_setting(s.name) FROM (SELECT 'seen.calls' AS name) AS s, pg_settings", REFUSED),
    ("SELECT current_setting(name) FROM pg_settings s(x) LEFT JOIN people ON true", REFUSED),
    (
        "SELECT current_setting(name) FROM (SELECT 'seen.calls') AS q(name), LATERAL (SELECT 1 FROM pg_settings) AS l",
        REFUSED,
    ),
    ("SELECT current_setting(name || '') FROM pg_settings", REFUSED),
    ("WITH pg_settings AS (SELECT 'seen.calls' AS name) SELECT current_setting(name) FROM pg_settings", REFUSED),
    ("SELECT current_setting(setting) FROM pg_settings", REFUSED),
    ("SHOW search_path", ""),
];

fn said(reading: &Reading) -> String {
    let refused = |statement: &Statement| statement.effect > Effect::Read;
    if reading.statements.iter().any(refused) {
        return REFUSED.to_owned();
    }
    let called: BTreeSet<&str> = reading
        .statements
        .iter()
        .flat_map(|statement| &statement.calls)
        .map(|function| function.name.as_str())
        .collect();
    called.into_iter().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_postgresql_calls_for_a_type_is_known() {
    let postgres = Postgres::start();
    postgres.execute("postgres", SCHEMA).await;
    let mut client = postgres.client().await;
    let catalog = Catalog::of_database(&mut client).await.unwrap();
    let classifier = Classifier::new(Limits::default(), Some(catalog));
    let place = classifier.place(vec![SearchPath::new("public", "nobody").unwrap()], None, "nobody");
    let mut wrong = Vec::new();
    client.batch_execute("SET seen.calls = ''").await.unwrap();
    let named = "SELECT count(*) FROM pg_settings WHERE name LIKE 'seen.%'";
    let named: i64 = client.query_one(named, &[]).await.unwrap().get(0);
    assert_eq!(named, 0, "settings of applications are in pg_settings");
    for (text, expected) in TEXTS {
        let said = said(&classifier.read(text, &place));
        if said != *expected {
            wrong.push(format!("{text}\n  expected {expected:?}, found {said:?}"));
        }
        client.batch_execute("SET seen.calls = ''").await.unwrap();
        // Some fail, for what is of no matter here; by then they may have called something.
        let _ = client.batch_execute(text).await;
        let ran: String = client.query_one("SELECT current_setting('seen.calls')", &[]).await.unwrap().get(0);
        for function in ran.split_whitespace() {
            if said != REFUSED && !said.split(' ').any(|known| known == function) {
                wrong.push(format!("{text}\n  PostgreSQL calls {function}, found {said:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
