//! A grant of everything: what an administrator's own login could do, on the record and until the grant ends.

use e2e::{Message, Raw, World, cancel_in_the_clear, message};
use serde_json::Value;
use std::time::Duration;
use testkit::{SAMPLE_DATABASE, Ticket, until};

const SOON: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);
/// `lo_creat(integer)`.
const LO_CREAT: u32 = 957;

fn world() -> World {
    let world = World::start();
    world.belay.run("admin", &["rule", "add", "--effect", "all", "--max", "1h", "--approvals", "1"]).ok();
    world
}

/// `alice` gets everything, as `bob` approves.
fn everything(world: &World) -> Ticket {
    let ask = ["request", "orders", "--effect", "all", "--for", "30m", "-m", "a test"];
    let request = world.belay.json("alice", &ask);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap())
}

/// What the ledger holds of this kind under the grant, the oldest first.
fn recorded(world: &World, ticket: &Ticket, kind: &str) -> Vec<Value> {
    let found = world.belay.json("admin", &["audit", "search", &format!("grant:{}", ticket.grant)]);
    let mut items: Vec<Value> = found["items"].as_array().unwrap().clone();
    items.retain(|item| item["event"] == kind);
    items.sort_by_key(|item| item["seq"].as_u64());
    items
}

fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

fn call(function: u32, argument: &[u8]) -> Vec<u8> {
    let mut body = function.to_be_bytes().to_vec();
    body.extend_from_slice(&[0, 1, 0, 0, 0, 1]);
    body.extend_from_slice(&u32::try_from(argument.len()).unwrap().to_be_bytes());
    body.extend_from_slice(argument);
    body.extend_from_slice(&[0, 0]);
    message(b'F', &body)
}

#[test]
fn whatever_a_client_can_say_passes_and_is_recorded() {
    let world = world();
    let ticket = everything(&world);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.tags("CREATE TABLE public.made (a int, b text)"), "CZ");
    raw.send(&message(b'Q', b"COPY made FROM STDIN\0"));
    raw.send(&[message(b'd', b"1\tone\n2\t"), message(b'd', b"two\n"), message(b'c', b"")].concat());
    assert_eq!(tags(&raw.await_ready()), "GCZ");
    raw.send(&call(LO_CREAT, b"-1"));
    assert_eq!(tags(&raw.await_ready()), "VZ");
    // A text that is no UTF-8, in an encoding that says so.
    assert_eq!(raw.tags("SET client_encoding = 'LATIN1'"), "CSZ");
    raw.send(&message(b'Q', b"INSERT INTO made VALUES (3, '\xe9')\0"));
    assert_eq!(tags(&raw.await_ready()), "CZ");
    assert_eq!(raw.tags("SET session_replication_role = replica; SET my.setting = 'x'; RESET ALL"), "CCCSZ");
    assert_eq!(raw.tags("LISTEN news"), "CZ");
    assert_eq!(raw.tags("NOTIFY news, 'extra'"), "CAZ");
    assert_eq!(raw.tags("DO $$ BEGIN DELETE FROM made WHERE a = 1; END $$"), "CZ");
    let said = world
        .direct("SELECT string_agg(a || b, ' ' ORDER BY a), (SELECT count(*) FROM pg_largeobject_metadata) FROM made");
    assert_eq!(said, "2two 3é|1");

    let texts: Vec<String> = recorded(&world, &ticket, "statement").iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 9, "{texts:?}");
    for text in
        ["CREATE TABLE public.made", "COPY made FROM STDIN", "call of function 957", "INSERT INTO made", "LISTEN news"]
    {
        assert!(texts.iter().any(|recorded| recorded.contains(text)), "{text}: {texts:?}");
    }
    assert_eq!(recorded(&world, &ticket, "outcome").len(), 9);
    assert_eq!(world.belay.json("admin", &["audit", "verify"])["intact"], true);
}

#[test]
fn a_session_starts_as_the_client_asks() {
    let world = world();
    let ticket = everything(&world);
    let start = |parameters: &[(&str, &str)]| {
        let mut raw = Raw::open(&world.belay);
        let login = [("user", ticket.user.as_str()), ("database", SAMPLE_DATABASE)];
        raw.start(0, &[&login[..], parameters].concat());
        raw.try_authenticate(&ticket.secret).map(|()| raw)
    };
    let mut set =
        start(&[("client_encoding", "SJIS"), ("options", "-c work_mem=3MB -c session_replication_role=replica")])
            .unwrap();
    set.await_ready();
    assert_eq!(set.parameters["client_encoding"], "SJIS");
    let shown = set.query("SHOW session_replication_role");
    assert!(shown[1].body.ends_with(b"replica"), "{shown:?}");
    let mut replication = start(&[("replication", "database")]).unwrap();
    replication.await_ready();
    assert_eq!(replication.tags("IDENTIFY_SYSTEM"), "TDCZ");
    // The target's own words, where it does not want the client so.
    let Err(refused) = start(&[("client_encoding", "nonsense")]) else { panic!("let in") };
    let fields = refused.fields();
    assert_eq!((fields[&'C'].as_str(), fields[&'S'].as_str()), ("22023", "FATAL"));
}

#[test]
fn a_statement_is_on_the_record_while_it_runs_and_a_cancel_request_stops_it() {
    let world = world();
    let ticket = everything(&world);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let text = "UPDATE orders SET total = 0 WHERE pg_sleep(300) IS NOT NULL";
    raw.send(&message(b'Q', format!("{text}\0").as_bytes()));
    world.await_back_ends(&format!("query = '{text}' AND state = 'active'"), 1, PATIENCE);
    let running = recorded(&world, &ticket, "statement");
    assert_eq!(running.len(), 1, "{running:?}");
    assert!(running[0].to_string().contains(text));
    assert!(recorded(&world, &ticket, "outcome").is_empty());
    cancel_in_the_clear(&world.belay, &raw.key);
    let said = raw.await_ready();
    assert_eq!(said[0].verdict(), "ERROR 57014");
    assert!(recorded(&world, &ticket, "outcome")[0].to_string().contains("57014"));
}

#[test]
fn the_end_of_the_grant_stops_an_update_and_drops_the_role() {
    let world = world();
    let before = world.fingerprint();
    let ticket = everything(&world);
    let text = "UPDATE orders SET total = 0 WHERE pg_sleep(0.1) IS NOT NULL";
    let running = world.running(&ticket, text);
    world.await_back_ends(&format!("query = '{text}'"), 1, PATIENCE);
    let role = world.role(&ticket);
    assert_eq!(world.direct(&format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{role}'")), "t");
    let mut idle = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(idle.tags("BEGIN; DELETE FROM items"), "CCZ");
    world.belay.run("bob", &["revoke", &ticket.grant]).ok();
    assert_eq!(idle.read_to_end().last().expect("a last word").verdict(), "FATAL 57P01 BLY-1031");
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(2));
    world.await_back_ends(&format!("query = '{text}'"), 0, SOON);
    assert!(until(SOON, || world.role(&ticket).is_empty()), "the role is dropped");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_grant_that_may_write_is_not_one_of_everything() {
    let world = world();
    let reader = world.belay.grant(&["public.orders"], "30m");
    let mut raw = Raw::log_in(&world.belay, &reader, SAMPLE_DATABASE);
    raw.send(&call(LO_CREAT, b"-1"));
    assert_eq!(raw.await_ready()[0].verdict(), "ERROR 08P01 BLY-1020");
}
