//! The ledger and the server's own log name the same statements in the same order: with `log_statement = all` each is
//! a record of the other, made by programs that know nothing of each other.
//!
//! What the ledger says was denied must not be in the log. What it says ran must be there, and nothing else, but for
//! the gateway's own statements, which say so.

mod batch;
mod recorded;
mod server_log;
mod traffic;

use e2e::World;
use recorded::{Connection, Statement};
use server_log::{Entry, Session, What};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::slice::Iter;
use testkit::{Belay, Ticket};
use traffic::{Client, Kind};

/// How many statements are sent under each grant where `BELAY_STATEMENTS` does not say.
const STATEMENTS: usize = 300;
const CLIENTS: usize = 4;
/// The gateway's connections other than those for clients.
const CONTROL: &str = "belay-control";
/// How many statements are shown before one that is wrong.
const SHOWN: usize = 10;
/// `invalid_cursor_name` and `invalid_sql_statement_name`.
const NOBODYS: [&str; 2] = ["34000", "26000"];

#[test]
fn the_ledger_and_the_servers_log_name_the_same_statements_in_the_same_order() {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let statements = number("BELAY_STATEMENTS").map_or(STATEMENTS, |number| usize::try_from(number).unwrap());
    let any = || u64::from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let seed = number("BELAY_SEED").unwrap_or_else(any);
    let postgres = World::target_of(server_log::logging());
    let belay = Belay::start_with(&postgres, "");
    let world = World { postgres, belay };
    let grants = grants(&world);
    for (kind, ticket) in &grants {
        send(&world, ticket, *kind, statements, seed);
    }
    let sessions = server_log::sessions(&world.postgres, |sql| world.direct(sql));
    for (kind, ticket) in &grants {
        let connections = recorded::connections(&world, ticket);
        let counted = compare(*kind, &world.role(ticket), &connections, &sessions);
        match counted {
            Ok(Counted { run, denied, skipped }) => println!(
                "{kind:?}, seed {seed}: {run} ran, {denied} denied, {skipped} skipped, over {} connections",
                connections.len()
            ),
            Err(why) => panic!("{kind:?}, BELAY_SEED={seed} BELAY_STATEMENTS={statements}: {why}"),
        }
    }
}

/// One for each way in which statements pass.
fn grants(world: &World) -> Vec<(Kind, Ticket)> {
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    for effect in ["all", "direct", "write", "read"] {
        world.belay.run("admin", &["rule", "add", "--effect", effect, "--max", "2h", "--approvals", "1"]).ok();
    }
    let kinds = [
        (Kind::Read, "read", "public.*"),
        (Kind::Planned, "write", "public.*"),
        (Kind::Direct, "direct", "public.*"),
        (Kind::All, "all", ""),
    ];
    let granted = |(kind, effect, resources): (Kind, &str, &str)| {
        let ask = ["request", "orders", "--effect", effect, "--for", "2h", "-m", "a test"];
        let resources: &[&str] = if resources.is_empty() { &[] } else { &[resources] };
        let request = world.belay.json("alice", &[&ask[..], resources].concat());
        let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
        (kind, world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap()))
    };
    kinds.into_iter().map(granted).collect()
}

fn send(world: &World, ticket: &Ticket, kind: Kind, statements: usize, seed: u64) {
    std::thread::scope(|scope| {
        for place in 0..CLIENTS {
            let client = move || Client::log_in(world, ticket, kind, place, seed).send(statements / CLIENTS);
            scope.spawn(client);
        }
    });
}

struct Counted {
    run: usize,
    denied: usize,
    skipped: usize,
}

/// All of a grant's connections; what is wrong with the first that is.
fn compare(kind: Kind, role: &str, connections: &[Connection], sessions: &[Session]) -> Result<Counted, String> {
    let mut sessions: HashMap<i64, &Session> =
        sessions.iter().filter(|session| session.role == role).map(|session| (session.backend, session)).collect();
    let mut counted = Counted { run: 0, denied: 0, skipped: 0 };
    let mut texts = HashSet::new();
    for connection in connections {
        let session = sessions.remove(&connection.backend);
        let entries = session.map_or(&[][..], |session| &session.entries);
        let walked = same(kind, &connection.statements, entries);
        walked.map_err(|(place, why)| told(&why, place, connection, entries))?;
        texts.extend(connection.statements.iter().map(|statement| statement.text.as_str()));
        counted.denied += connection.statements.iter().filter(|statement| statement.denied.is_some()).count();
        counted.skipped += connection.statements.iter().filter(|statement| statement.skipped).count();
        counted.run += connection.statements.len();
    }
    counted.run -= counted.denied + counted.skipped;
    // What the gateway itself does as the grant's role, when it tries a plan again.
    for session in sessions.values() {
        if session.application != CONTROL {
            return Err(format!("back end {} of the role is in no record", session.backend));
        }
        let theirs = session.entries.iter().filter(|entry| entry.text.ends_with(" */") && entry.what == What::Run);
        if let Some(entry) = theirs.into_iter().find(|entry| !texts.contains(entry.text.as_str())) {
            return Err(format!("a statement of nobody's was tried: {entry:?}"));
        }
    }
    Ok(counted)
}

/// One connection from both sides; else the statement where they part, and how.
fn same(kind: Kind, statements: &[Statement], entries: &[Entry]) -> Result<(), (usize, String)> {
    let mut rest = entries.iter();
    for (place, statement) in statements.iter().enumerate() {
        if let Some(code) = &statement.denied {
            refused(code, &mut rest);
        } else if !statement.ended {
            return Err((place, format!("no outcome of {statement:?}")));
        } else if !statement.skipped {
            ran(kind, statement, &statements[..place], &mut rest).map_err(|why| (place, why))?;
        }
    }
    past_own(&mut rest);
    match rest.next() {
        Some(entry) => Err((statements.len(), format!("only the server has {entry:?}"))),
        None => Ok(()),
    }
}

/// What stands in for a refused statement comes in its place, where anything does.
fn refused(code: &str, rest: &mut Iter<'_, Entry>) {
    let mut ahead = rest.clone();
    past_own(&mut ahead);
    if ahead.next().is_some_and(|entry| entry.what == What::Refusal && entry.text.contains(code)) {
        *rest = ahead;
    }
}

fn ran(kind: Kind, statement: &Statement, before: &[Statement], rest: &mut Iter<'_, Entry>) -> Result<(), String> {
    let mut ahead = rest.clone();
    let ended = past_own(&mut ahead);
    if kind.settles() && ahead.as_slice().first().is_some_and(|entry| is_part(statement, entry)) {
        while ahead.as_slice().first().is_some_and(|entry| is_part(statement, entry)) {
            ahead.next();
            *rest = ahead.clone();
            past_own(&mut ahead);
        }
        return Ok(());
    }
    // A cursor or a prepared statement that nobody made has no text for the server to log.
    let failed_with = |states: &[&str]| statement.sqlstate.as_deref().is_some_and(|state| states.contains(&state));
    let is_nobodys = is_made_in_sql(statement) && failed_with(&NOBODYS);
    // In a failed transaction the server refuses a function call before it would log it.
    let is_call = statement.text.starts_with("<call of function ") && failed_with(&["25P02"]);
    if is_nobodys || is_call {
        return Ok(());
    }
    let Some(entry) = ahead.next().filter(|entry| is(statement, before, entry)) else {
        // The end of a transaction that writes is the gateway's to send.
        let ends = ["COMMIT", "ROLLBACK"].iter().any(|word| statement.text.starts_with(word));
        if kind.settles() && ends && ended {
            past_own(rest);
            return Ok(());
        }
        return Err(format!("only the ledger has {statement:?}; the server goes on with {:?}", rest.next()));
    };
    if entry.what == What::Run && entry.parameters != statement.parameters {
        return Err(format!("other values: {statement:?} and {entry:?}"));
    }
    if entry.sqlstate != statement.sqlstate && !kind.settles() {
        return Err(format!("another outcome: {statement:?} and {entry:?}"));
    }
    *rest = ahead;
    Ok(())
}

/// Whether it is this statement, which may be one that SQL has made before.
fn is(statement: &Statement, before: &[Statement], entry: &Entry) -> bool {
    let here = match entry.what {
        What::Run => true,
        What::Failed { .. } => statement.sqlstate.is_some() && statement.sqlstate == entry.sqlstate,
        What::Own | What::Refusal => false,
    };
    let text =
        entry.text == statement.text || is_made_in_sql(statement) && before.iter().any(|made| made.text == entry.text);
    here && text
}

/// Whether the ledger names it by the name that it has in SQL: what that stands for is on the record before.
fn is_made_in_sql(statement: &Statement) -> bool {
    ["<prepared statement `", "<cursor `"].iter().any(|what| statement.text.starts_with(what))
}

/// Whether it is a part of the message, which begins with BEGIN: such a message is sent in parts, each with as much space
/// before it as the others take.
fn is_part(statement: &Statement, entry: &Entry) -> bool {
    let part = entry.text.trim_start_matches(' ');
    let before = entry.text.len() - part.len();
    let behind: String = statement.text.chars().skip(before).collect();
    entry.what == What::Run && entry.text != statement.text && !part.is_empty() && behind.starts_with(part)
}

/// Passes over the gateway's own statements, and over what failed before there was anything to run. Whether a transaction
/// was ended.
fn past_own(rest: &mut Iter<'_, Entry>) -> bool {
    let mut ended = false;
    while let Some(entry) = rest.as_slice().first() {
        match entry.what {
            What::Own => ended |= entry.text.contains("COMMIT") || entry.text.contains("ROLLBACK"),
            What::Failed { in_batch: true } => {}
            _ => break,
        }
        rest.next();
    }
    ended
}

/// With the newest of what both said up to there.
fn told(why: &str, place: usize, connection: &Connection, entries: &[Entry]) -> String {
    let mut told = format!("{}, back end {}: {why}", connection.name, connection.backend);
    let before = &connection.statements[place.saturating_sub(SHOWN)..place];
    for statement in before {
        let _ = write!(told, "\n  ledger {statement:?}");
    }
    let shown = before.first().map(|first| first.text.as_str());
    let from = entries.iter().position(|entry| Some(entry.text.as_str()) == shown).unwrap_or(0);
    for entry in entries[from..].iter().take(4 * SHOWN) {
        let _ = write!(told, "\n  server {entry:?}");
    }
    told
}

#[test]
fn what_only_one_of_them_has_is_found() {
    let statement = |text: &str| Statement { text: text.to_owned(), ended: true, ..Statement::default() };
    let entry = |text: &str| Entry { what: What::Run, text: text.to_owned(), parameters: None, sqlstate: None };
    let both = || ([statement("a"), statement("b")].into_iter(), [entry("a"), entry("b")].into_iter());
    let check = |statements: Vec<Statement>, entries: Vec<Entry>| same(Kind::All, &statements, &entries).is_ok();
    let (statements, entries) = both();
    assert!(check(statements.collect(), entries.collect()));
    let (statements, entries) = both();
    assert!(!check(statements.rev().collect(), entries.collect()), "another order");
    let (statements, entries) = both();
    assert!(!check(statements.take(1).collect(), entries.collect()), "not in the ledger");
    let (statements, entries) = both();
    assert!(!check(statements.collect(), entries.take(1).collect()), "not in the server's log");
    for change in [
        |statement: &mut Statement| statement.denied = Some("BLY-1001".to_owned()),
        |statement: &mut Statement| statement.skipped = true,
        |statement: &mut Statement| statement.sqlstate = Some("22012".to_owned()),
        |statement: &mut Statement| statement.parameters = Some("$1 = '1'".to_owned()),
        |statement: &mut Statement| statement.ended = false,
    ] {
        let (statements, entries) = both();
        let mut statements: Vec<Statement> = statements.collect();
        change(&mut statements[0]);
        assert!(!check(statements, entries.collect()));
    }
}
