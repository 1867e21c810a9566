//! What classifying costs with a real catalog, as ratios to the bare parser in the same run.
//!
//! `cargo run --release -p belay-postgres --example classify_cost`

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use belay_postgres::catalog::Catalog;
use belay_postgres::catalog::rows::Rows;
use belay_postgres::classify::{Classifier, Limits, Place, SearchPath};
use std::hint::black_box;
use std::time::Instant;
use testkit::Postgres;

const SCHEMA: &str = "CREATE SCHEMA app;
    CREATE TABLE app.orders (id int PRIMARY KEY, customer_id int, total numeric, status text, note text, placed timestamptz);
    CREATE TABLE app.customers (id int PRIMARY KEY, name text, city text, email text, phone text, created date);
    CREATE TABLE app.lines (order_id int, item_id int);
    CREATE TABLE app.items (id int PRIMARY KEY, sku text);
    CREATE TABLE app.prices (item_id int, price numeric, valid daterange);";

/// The sides of a ratio take turns in each round; times are of the fastest round, ratios the median of all.
const ROUNDS: usize = 21;

const STATEMENTS: [(&str, &str); 6] = [
    ("select 1", "SELECT 1"),
    ("select by key", "SELECT id, customer_id, total, status FROM app.orders WHERE id = {n}"),
    (
        "orm select, join",
        "SELECT o.id AS o_id, o.customer_id AS o_customer_id, o.total AS o_total, o.status AS o_status, o.note AS o_note, \
         c.id AS c_id, c.name AS c_name, c.city AS c_city, c.email AS c_email, c.phone AS c_phone, c.created AS c_created \
         FROM app.orders AS o LEFT OUTER JOIN app.customers AS c ON c.id = o.customer_id \
         WHERE o.status IN ('new', 'paid') AND o.total >= {n} ORDER BY o.total DESC LIMIT 20 OFFSET 0",
    ),
    (
        "five joins, window, lateral",
        "WITH recent AS (SELECT o.id, o.customer_id, o.total, row_number() OVER (PARTITION BY o.customer_id ORDER BY o.placed \
         DESC) AS n FROM app.orders o WHERE o.placed > now() - interval '30 days') SELECT c.name, r.total, i.sku, p.price, \
         coalesce(x.sum, 0) AS sum, count(*) FILTER (WHERE r.total > {n}) AS big FROM recent r JOIN app.customers c ON c.id = \
         r.customer_id JOIN app.lines l ON l.order_id = r.id JOIN app.items i ON i.id = l.item_id JOIN app.prices p ON \
         p.item_id = i.id AND p.valid @> current_date LEFT JOIN LATERAL (SELECT sum(y.total) AS sum FROM app.orders y WHERE \
         y.customer_id = c.id AND y.status <> 'void') x ON true WHERE r.n <= 3 AND c.city = 'Oslo' GROUP BY 1, 2, 3, 4, 5 \
         HAVING count(*) > 1 ORDER BY r.total DESC, c.name LIMIT 50",
    ),
    (
        "update",
        "UPDATE app.orders SET status = 'paid', note = $1 FROM app.customers c WHERE c.id = customer_id AND orders.id = {n} \
         RETURNING orders.id",
    ),
    ("begin", "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
];

/// The catalog of a real server.
fn catalog_rows() -> Rows {
    let postgres = Postgres::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        postgres.execute("postgres", SCHEMA).await;
        Catalog::rows_of_database(&mut postgres.client().await).await.unwrap()
    })
}

fn main() {
    let rows = catalog_rows();
    let with = |limits| Classifier::new(limits, Some(Catalog::new(rows.clone())));
    let place_in = |classifier: &Classifier| -> Place {
        classifier.place(vec![SearchPath::new("public", "role").unwrap()], None, "role")
    };
    println!(
        "{:28} {:>9} {:>10} {:>10} {:>10} {:>10}",
        "statement", "parse us", "new/parse", "new us", "shape us", "text us"
    );
    for (name, template) in STATEMENTS {
        let text = template.replace("{n}", "4711");
        let others: Vec<String> = (0..512).map(|n| template.replace("{n}", &(10_000 + n).to_string())).collect();
        let (forgetful, remembering) = (with(Limits { cache: 0, ..Limits::default() }), with(Limits::default()));
        let (from_forgetful, from_remembering) = (place_in(&forgetful), place_in(&remembering));
        let read = remembering.read(&text, &from_remembering);
        assert!(read.statements.iter().all(|statement| statement.because.is_none()), "{:?}", read.statements);
        let (mut parse, mut fresh, mut shape, mut exact) = (f64::MAX, f64::MAX, f64::MAX, f64::MAX);
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let bare = micros(200, |_| drop(black_box(pg_query::parse(&text, 0))));
            let whole = micros(200, |_| drop(black_box(forgetful.read(&text, &from_forgetful))));
            ratios.push(whole / bare);
            (parse, fresh) = (parse.min(bare), fresh.min(whole));
            // Its texts come once each: a second time they would be known by themselves.
            let by_shape = with(Limits::default());
            let place = place_in(&by_shape);
            by_shape.read(&text, &place);
            shape = shape.min(micros(others.len(), |n| drop(black_box(by_shape.read(&others[n], &place)))));
            exact = exact.min(micros(2_000, |_| drop(black_box(remembering.read(&text, &from_remembering)))));
        }
        ratios.sort_by(f64::total_cmp);
        println!("{name:28} {parse:9.2} {:10.2} {fresh:10.2} {shape:10.2} {exact:10.2}", ratios[ROUNDS / 2]);
    }
}

fn micros(times: usize, mut work: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    for n in 0..times {
        work(n);
    }
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52, for printing")]
    let times = times as f64;
    start.elapsed().as_secs_f64() * 1e6 / times
}
