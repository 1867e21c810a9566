//! A grant on two tables and four columns of a schema with fifty: it shows that, and nothing else, to any client.

use e2e::{Terminal, World};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

const SCHEMA: &str = include_str!("narrow_grant.sql");
const GRANT: [&str; 4] = ["shop.orders.id", "shop.orders.status", "shop.customers.id", "shop.customers.city"];
/// One text a line; `#` begins a comment.
const COVERED: &str = include_str!("narrow_grant/covered.txt");
const OUTSIDE: &str = include_str!("narrow_grant/outside.txt");
const UNTRUSTED: &str = include_str!("narrow_grant/untrusted.txt");
const COMPLETED: &str = include_str!("narrow_grant/completed.txt");
const CLIENTS: &str = include_str!("narrow_grant/clients.txt");
const META: &str = include_str!("narrow_grant/meta.txt");

/// Every row of every table, and which relations there are.
const FINGERPRINT: &str = "
SELECT md5(string_agg(concat_ws('/', c.oid, c.relname,
    CASE WHEN c.relkind = 'r' THEN query_to_xml(format('SELECT * FROM %s', c.oid::regclass), true, false, '')::text END), '|'
    ORDER BY c.oid))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE nspname IN ('shop', 'private', 'public') AND relkind IN ('r', 'p', 'v', 'm', 'S')";

/// The shop and its grant; tests change nothing in it.
fn shop() -> &'static (World, Ticket) {
    static SHOP: OnceLock<(World, Ticket)> = OnceLock::new();
    SHOP.get_or_init(|| {
        let world = World::start();
        world.direct(SCHEMA);
        let tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace IN ('shop'::regnamespace, 'private'::regnamespace)";
        assert!(world.direct(tables).parse::<u32>().unwrap() >= 50);
        let ticket = world.belay.grant(&GRANT, "1h");
        (world, ticket)
    })
}

fn texts(file: &'static str) -> Vec<&'static str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What each text says on both outputs, all in one session of `psql`.
fn answers(mut psql: Command, texts: &[&str]) -> Vec<String> {
    let script = texts.iter().fold(String::new(), |script, text| {
        let end = if text.starts_with('\\') { "" } else { ";" };
        format!("{script}\\echo @@@\n{text}{end}\nROLLBACK;\n")
    });
    let child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, script.as_bytes()).unwrap());
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    writer.join().unwrap();
    let found: Vec<String> = outcome.out.split("@@@\n").skip(1).map(str::to_owned).collect();
    assert_eq!(found.len(), texts.len(), "{}", outcome.out);
    found
}

/// `psql` through this shell, so that both outputs come in one order.
fn in_order(psql: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(psql.get_program()).args(psql.get_args());
    shell.envs(psql.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    shell
}

fn through_the_gateway(texts: &[&str]) -> Vec<String> {
    let (world, ticket) = shop();
    answers(in_order(&world.psql(ticket, SAMPLE_DATABASE)), texts)
}

/// As the grant's role, straight to the database.
fn as_the_role(texts: &[&str]) -> Vec<String> {
    let (world, ticket) = shop();
    world.sql(ticket, "SELECT 1").ok();
    let role = world.role(ticket);
    let trusted = role.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(shop().0.postgres.trust(&trusted));
    })
    .join()
    .unwrap();
    let mut psql = Command::new(world.postgres.bin().join("psql"));
    psql.args(["-X", "-At", "-v", "VERBOSITY=verbose", "-h", "127.0.0.1", "-U", &role, "-d", SAMPLE_DATABASE]);
    psql.arg("-p").arg(world.postgres.port().to_string());
    answers(in_order(&psql), texts)
}

/// Every value of a column that is not granted is a text with `hidden` before a blank or a number, or a number above
/// 900000.
fn leaks(answer: &str) -> bool {
    let number = |word: &str| word.len() == 6 && word.starts_with("900");
    answer.contains("hidden ")
        || answer.contains("hidden1")
        || answer.split(|letter: char| !letter.is_ascii_digit()).any(number)
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_grant_covers_is_read() {
    let covered = texts(COVERED);
    let (gateway, role) = (through_the_gateway(&covered), as_the_role(&covered));
    let rows = covered.iter().zip(gateway.iter().zip(&role));
    let wrong = rows.filter(|(_, (gateway, role))| gateway.contains("ERROR:") || gateway != role || leaks(gateway));
    assert_none(&wrong.map(|(text, (gateway, role))| format!("{text}: {gateway}{role}")).collect::<Vec<_>>());
}

#[test]
fn everything_else_is_refused_by_the_gateway_and_by_the_database() {
    let (world, _) = shop();
    let before = world.direct(FINGERPRINT);
    let outside = texts(OUTSIDE);
    let gateway = through_the_gateway(&outside);
    let role = as_the_role(&outside);
    let mut wrong = Vec::new();
    for (text, (gateway, role)) in outside.iter().zip(gateway.iter().zip(&role)) {
        if !gateway.contains("[BLY-") || leaks(gateway) {
            wrong.push(format!("gateway: {text}: {gateway}"));
        }
        if !role.contains("ERROR:") || leaks(role) {
            wrong.push(format!("database: {text}: {role}"));
        }
    }
    assert_none(&wrong);
    assert_eq!(world.direct(FINGERPRINT), before);
}

#[test]
fn what_one_layer_lets_through_shows_nothing() {
    let (world, _) = shop();
    let before = world.direct(FINGERPRINT);
    let untrusted = texts(UNTRUSTED);
    let both = through_the_gateway(&untrusted).into_iter().zip(as_the_role(&untrusted));
    let wrong = untrusted.iter().zip(both).filter(|(_, (gateway, role))| leaks(gateway) || leaks(role));
    assert_none(&wrong.map(|(text, (gateway, role))| format!("{text}: {gateway}{role}")).collect::<Vec<_>>());
    assert_eq!(world.direct(FINGERPRINT), before);
}

#[test]
fn what_clients_ask_of_the_catalog_is_answered() {
    let meta: Vec<&str> = texts(META).into_iter().chain(texts(CLIENTS)).collect();
    let answers = through_the_gateway(&meta);
    let wrong = meta.iter().zip(&answers).filter(|(_, answer)| answer.contains("ERROR:") || leaks(answer));
    assert_none(&wrong.map(|(text, answer)| format!("{text}: {answer}")).collect::<Vec<_>>());
    let described = &answers[meta.iter().position(|text| *text == "\\d+ shop.customers").unwrap()];
    assert!(described.contains("city|text") && described.contains("where they live"), "{described}");
}

/// The texts of this session that were refused.
fn refused(world: &World, ticket: &Ticket) -> Vec<String> {
    let query = format!("grant:{} kind:statement", ticket.grant);
    let found = world.belay.json("admin", &["audit", "search", &query, "--limit", "1000"]);
    let refused = found["items"].as_array().unwrap().iter().filter(|entry| !entry["fields"]["denied"].is_null());
    refused.map(Value::to_string).collect()
}

#[test]
fn completion_in_psql_asks_nothing_that_is_refused() {
    let (world, _) = shop();
    let ticket = world.belay.grant(&GRANT, "1h");
    let mut psql = Command::new(world.postgres.bin().join("psql"));
    psql.args(["-X", "-At"]);
    world.belay.libpq(&mut psql, &ticket, SAMPLE_DATABASE);
    let mut terminal = Terminal::start(&psql);
    terminal.expect("=> ");
    terminal.keys("SELECT * FROM shop.salar\t");
    terminal.expect("shop.salaries");
    for begun in texts(COMPLETED) {
        // Tab twice asks for the list, `n` wants no long one, and what was typed is thrown away.
        terminal.keys(&format!("\x15{begun}\t\tn\x15"));
        terminal.line("\\echo do'ne'");
        terminal.expect("done");
        terminal.expect("=> ");
    }
    assert_eq!(refused(world, &ticket), Vec::<String>::new());
}
