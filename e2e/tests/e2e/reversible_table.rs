//! The table in docs/writes.md that says what can be given back is true: each of its statements is run under a grant
//! that makes changes at once, and what it says becomes of it is looked at over a direct connection.

use e2e::World;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

const PAGE: &str = include_str!("../../../docs/writes.md");
const SCHEMA: &str = include_str!("reversible_table.sql");
const HEADER: &str = "| operation | statements | can be given back | how |";

/// Every row, and everything else that a statement could leave behind; sequences are looked at by themselves.
const CONTENT: &str = "
SELECT md5(concat_ws('/',
    'orders', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.orders t),
    'lines', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.lines t),
    'prices', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.prices t),
    'price_log', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.price_log t),
    'words', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.words t),
    'tickets', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.tickets t),
    'measures', (SELECT string_agg(t.tableoid::regclass || t::text, '|' ORDER BY t::text) FROM app.measures t),
    'cache', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.cache t),
    'policed', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.policed t),
    'files', (SELECT string_agg(t::text, '|' ORDER BY t::text) FROM app.files t),
    'scrap', (SELECT concat(pg_relation_filenode(c.oid), c.relchecks, c.relhastriggers) FROM pg_class c
        WHERE c.oid = to_regclass('app.scrap')),
    'objects', (SELECT string_agg(oid::text, '|' ORDER BY oid) FROM pg_largeobject_metadata),
    'prepared', (SELECT count(*) FROM pg_prepared_xacts),
    'definitions', (SELECT string_agg(concat(c.oid, c.relname, has_table_privilege('public', c.oid, 'SELECT')), '|'
        ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace = 'app'::regnamespace AND c.relkind <> 'S'),
    'columns', (SELECT string_agg(concat(attrelid, attname, atttypid), '|' ORDER BY attrelid, attnum) FROM pg_attribute
        JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'app'::regnamespace AND NOT attisdropped)))";

const SEQUENCES: &str = "SELECT string_agg(sequencename || coalesce(last_value, 0), '|' ORDER BY 1)
    FROM pg_sequences WHERE schemaname = 'app'";

/// One row of the table.
struct Row<'p> {
    operation: &'p str,
    statements: Vec<&'p str>,
    verdict: &'p str,
}

fn table() -> Vec<Row<'static>> {
    let rows = PAGE.lines().skip_while(|line| *line != HEADER).skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [operation, statements, verdict, _] = cells[..] else { panic!("{line}") };
        // What stands between backquotes.
        let statements = statements.split('`').skip(1).step_by(2).collect();
        Row { operation, statements, verdict }
    };
    rows.map(row).collect()
}

/// `COPY ... FROM STDIN` gets one row.
fn with_data(statement: &str) -> String {
    if statement.ends_with("FROM STDIN") {
        return format!("{statement};\n20\tcopied\n\\.\n\\echo");
    }
    statement.to_owned()
}

#[test]
fn what_the_table_says_of_each_operation_is_what_becomes_of_it() {
    let rows = table();
    assert!(rows.len() > 30, "the table is read: {} rows", rows.len());
    let world = World::start();
    let port = world.postgres.port().to_string();
    let schema = SCHEMA.replace("$port", &port).replace("$password", world.postgres.password());
    world.direct(&schema.replace("$database", SAMPLE_DATABASE));
    let ticket = granted(&world);
    let mut wrong = Vec::new();
    for row in &rows {
        if row.operation == "MERGE" && world.postgres.major() < 15 {
            continue;
        }
        let judged = judge(&world, &ticket, row);
        wrong.extend(judged.err().map(|why| format!("{} is not {}: {why}", row.operation, row.verdict)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(world: &World, ticket: &Ticket, row: &Row<'_>) -> Result<(), String> {
    match row.verdict {
        "fully" if given_back(world, ticket, row)? => Err("a sequence has moved".to_owned()),
        "partly" if !given_back(world, ticket, row)? => Err("nothing but rows has changed".to_owned()),
        "fully" | "partly" => Ok(()),
        "refused" => refused(world, ticket, row),
        other => Err(format!("`{other}` says nothing")),
    }
}

/// A grant of `alice` that makes changes at once, of the whole database and of the one foreign table.
fn granted(world: &World) -> Ticket {
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    let rule = ["rule", "add", "--target", "orders", "--effect", "direct", "--max", "1h", "--approvals", "1"];
    world.belay.run("admin", &rule).ok();
    let ask = ["request", "orders", "*.*", "app.far", "--effect", "direct", "-m", "a test"];
    let request = world.belay.json("alice", &ask);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap())
}

fn run(world: &World, ticket: &Ticket, row: &Row<'_>) -> String {
    let statements: Vec<String> = row.statements.iter().map(|one| with_data(one)).collect();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    assert!(!statements.is_empty(), "{} has no statement", row.operation);
    world.said(ticket, &statements).concat()
}

/// It is committed, and giving it back leaves every row as it was. Says whether a sequence has moved.
fn given_back(world: &World, ticket: &Ticket, row: &Row<'_>) -> Result<bool, String> {
    let (before, sequences) = (world.direct(CONTENT), world.direct(SEQUENCES));
    let said = run(world, ticket, row);
    if said.contains("ERROR") || said.contains("FATAL") || !said.contains("undo: belay revert c_") {
        return Err(said);
    }
    if world.direct(CONTENT) == before {
        return Err(format!("nothing has changed: {said}"));
    }
    let Outcome { code, out, err } = world.belay.run("alice", &["-y", "revert", "s_1"]);
    if code != 0 {
        return Err(format!("the revert fails: {out}{err}"));
    }
    if world.direct(CONTENT) != before {
        return Err("something is not as it was".to_owned());
    }
    Ok(world.direct(SEQUENCES) != sequences)
}

/// Belay says no, and nothing has changed.
fn refused(world: &World, ticket: &Ticket, row: &Row<'_>) -> Result<(), String> {
    let (before, sequences) = (world.direct(CONTENT), world.direct(SEQUENCES));
    let said = run(world, ticket, row);
    if !said.lines().any(|line| line.starts_with("ERROR") && line.contains("[BLY-")) {
        return Err(said);
    }
    if (world.direct(CONTENT), world.direct(SEQUENCES)) != (before, sequences) {
        return Err(format!("refused, and yet something has changed: {said}"));
    }
    Ok(())
}
