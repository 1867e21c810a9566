//! Messages that are malformed, truncated, oversized or out of order: a last word in the protocol's words, the end of
//! that connection, and nothing else.

use e2e::{Raw, World, message};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::OnceLock;
use testkit::{Belay, SAMPLE_DATABASE, Ticket};

const CORPUS: &str = include_str!("../../corpus/robustness.jsonl");
/// What all of the tests here together may cost the gateway.
const GROWTH_KIB: u64 = 96 * 1024;

/// A gateway of these tests' own, because its memory is looked at.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::start)
}

/// Runs `act` while another session is open, which must not notice, and the data and the memory must not either.
fn beside_a_bystander(act: impl FnOnce(&World, &Ticket)) {
    let world = world();
    let ticket = &world.belay.grant(&["public.*"], "2h");
    let before = world.fingerprint();
    let mut bystander = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
    bystander.query("BEGIN");
    let memory = world.belay.resident_kib();
    act(world, ticket);
    assert_eq!(bystander.tags("SELECT count(*) FROM orders"), "TDCZ");
    assert_eq!(bystander.tags("COMMIT"), "CZ");
    let grown = world.belay.resident_kib().saturating_sub(memory);
    assert!(grown < GROWTH_KIB, "grown by {grown} KiB");
    assert_eq!(world.fingerprint(), before);
}

/// Sends bytes in the clear and reads until the gateway hangs up.
fn in_the_clear(belay: &Belay, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = Raw::tcp(belay);
    let _ = tcp.write_all(bytes);
    let _ = tcp.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer);
    answer
}

#[test]
fn broken_start_ups_are_answered_and_closed() {
    beside_a_bystander(|world, _| {
        for (bytes, said) in [
            (&b"\x7f\xff\xff\xff\0\x03\0\0"[..], "invalid length of startup packet"),
            (b"\0\0\0\x04", "invalid length of startup packet"),
            (b"\0\0\0\0", "invalid length of startup packet"),
            (b"\0\0\0\x09\0\x02\0\0\0", "unsupported frontend protocol 2.0"),
            (b"\0\0\0\x09\x00\x04\0\0\0", "unsupported frontend protocol 4.0"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "invalid length of startup packet"),
            (b"\0\0\0\x0e\0\x03\0\0user\0x", "invalid startup packet layout"),
            (b"\0\0\0\x10\0\x03\0\0user\0x\0\0", "TLS is required"),
        ] {
            let answer = in_the_clear(&world.belay, bytes);
            let text = String::from_utf8_lossy(&answer);
            assert!(
                answer.first() == Some(&b'E') && text.contains("FATAL") && text.contains(said),
                "{bytes:?}: {text}"
            );
        }
        for silent in [
            &b""[..],
            b"\0\0",
            b"\0\0\0\x20\0\x03\0\0user\0",
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\0",
            b"\x16\x03\x01\xff\xff",
        ] {
            let answer = in_the_clear(&world.belay, silent);
            assert!(!answer.starts_with(b"R"), "{silent:?}: {answer:?}");
        }
    });
}

#[test]
fn what_follows_the_tls_request_in_the_clear_is_never_read_as_a_start_up() {
    beside_a_bystander(|world, _| {
        let injected = [
            &b"\0\0\0\x08\x04\xd2\x16\x2f"[..],
            b"\0\0\0\x10\0\x03\0\0user\0x\0\0",
            &message(b'Q', b"DELETE FROM orders\0"),
        ]
        .concat();
        let answer = in_the_clear(&world.belay, &injected);
        assert_eq!(answer.first(), Some(&b'S'));
        assert!(!answer.windows(5).any(|window| window == b"FATAL"), "{answer:?}");
    });
}

#[test]
fn broken_logins_are_answered_and_closed() {
    beside_a_bystander(|world, ticket| {
        let long = vec![b'x'; 70_000];
        let no_mechanism = message(b'p', b"PLAIN\0\0\0\0\x03abc");
        let no_message = message(b'p', b"SCRAM-SHA-256\0\0\0\0\x09abc");
        let nonsense = message(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,");
        for bytes in [
            &message(b'Q', b"SELECT 1\0")[..],
            &message(b'p', &long),
            b"p\0\0\0\x03",
            &no_mechanism,
            &no_message,
            &nonsense,
            b"\xff\xff\xff\xff\xff",
        ] {
            let mut raw = Raw::open(&world.belay);
            raw.start(0, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
            assert_eq!(raw.read().unwrap().unwrap().tag, b'R');
            raw.send(bytes);
            let said = raw.read_to_end();
            let last = said.last().unwrap_or_else(|| panic!("nothing said to {bytes:?}"));
            assert_eq!(last.verdict(), "FATAL 08P01 BLY-1023", "{bytes:?}");
        }
    });
}

#[test]
fn broken_messages_inside_a_session_end_it_with_a_protocol_error() {
    beside_a_bystander(|world, ticket| {
        let many = (0..20_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
        let too_many_types = [&b"\0SELECT 1\0\xff\xff"[..], &many[..100]].concat();
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("a length below four", b"Q\0\0\0\x03".to_vec()),
            ("a length of 4 GiB", b"Q\xff\xff\xff\xff".to_vec()),
            ("a length of 1 GiB", b"P\x40\0\0\0".to_vec()),
            ("a long Sync", message(b'S', b"xxxx")),
            ("a long Execute", message(b'E', &vec![b'x'; 60_000])),
            ("an unknown type", message(b'z', b"")),
            ("a type of zero", message(0, b"")),
            ("a password in a session", message(b'p', b"x\0")),
            ("a query without its end", message(b'Q', b"SELECT 1")),
            ("a query with two ends", message(b'Q', b"SELECT 1\0DELETE FROM orders\0")),
            ("an empty query body", message(b'Q', b"")),
            ("a Parse with fewer types than it says", message(b'P', &too_many_types)),
            ("a Bind that says too many values", message(b'B', b"\0\0\0\0\xff\xff\0\0")),
            ("a Bind with a negative length", message(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0")),
            ("a Describe of nothing known", message(b'D', b"Xname\0")),
            ("a Close without a name", message(b'C', b"S")),
            ("a start-up packet", b"\0\0\0\x08\0\x03\0\0".to_vec()),
        ];
        for (what, bytes) in cases {
            let mut raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
            raw.send(&bytes);
            let said = raw.read_to_end();
            assert_eq!(
                said.last().unwrap_or_else(|| panic!("nothing said to {what}")).verdict(),
                "FATAL 08P01 BLY-1023",
                "{what}"
            );
        }
    });
}

#[test]
fn a_session_that_breaks_off_inside_a_message_is_closed_and_runs_nothing() {
    beside_a_bystander(|world, ticket| {
        let whole = message(b'Q', b"SELECT pg_sleep(260)\0");
        for end in [1, 4, 5, whole.len() - 1] {
            let mut raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
            raw.send(&whole[..end]);
        }
        assert_eq!(world.back_ends("query LIKE 'SELECT pg_sleep(260)%'"), 0);
    });
}

#[test]
fn messages_out_of_order_get_the_protocols_own_errors() {
    beside_a_bystander(|world, ticket| {
        let mut raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
        // Execute and Describe of what was never made; then the session goes on.
        for bytes in [
            message(b'E', b"nowhere\0\0\0\0\0"),
            message(b'D', b"Snothing\0"),
            message(b'B', b"\0nothing\0\0\0\0\0\0\0"),
        ] {
            raw.send(&bytes);
            raw.send(&message(b'S', b""));
            let answer = raw.await_ready();
            assert!(answer[0].tag == b'E' && answer[0].fields()[&'V'] == "ERROR", "{answer:?}");
        }
        // COPY data outside of COPY is passed over, as PostgreSQL does.
        raw.send(&[message(b'd', b"1\t2\n"), message(b'c', b""), message(b'f', b"no\0")].concat());
        assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    });
}

#[test]
fn statements_too_long_or_too_deep_are_refused_and_the_session_goes_on() {
    beside_a_bystander(|world, ticket| {
        let mut raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
        let long = format!("SELECT '{}'", "x".repeat(2 << 20));
        let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        let nots = format!("SELECT {} true", "NOT ".repeat(200_000));
        let joined = format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(60_000));
        for sql in [long, deep, nots, joined] {
            let answer = raw.query(&sql);
            assert_eq!(answer[0].verdict(), "ERROR 54001 BLY-1008", "{}", &sql[..20]);
            assert_eq!(raw.tags("SELECT 1"), "TDCZ");
        }
    });
}

#[test]
fn unfinished_messages_of_many_clients_cost_little_memory() {
    beside_a_bystander(|world, ticket| {
        let before = world.belay.resident_kib();
        let mut clients: Vec<Raw> = (0..18).map(|_| Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE)).collect();
        for client in &mut clients {
            // The largest that is taken, and only its first half megabyte.
            client.send(b"Q\x00\xf0\x00\x00");
            client.send(&vec![b'x'; 512 * 1024]);
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let grown = world.belay.resident_kib().saturating_sub(before);
        assert!(grown < 18 * 4 * 1024, "{grown} KiB for 18 half-megabytes");
        let strangers: Vec<_> = (0..200)
            .map(|_| {
                let mut tcp = Raw::tcp(&world.belay);
                let _ = tcp.write_all(b"\0\0\x27\x10\0\x03\0\0user\0");
                tcp
            })
            .collect();
        assert!(world.belay.resident_kib().saturating_sub(before) < GROWTH_KIB);
        drop(strangers);
    });
}

#[test]
fn the_recorded_cases_get_no_login_and_change_nothing() {
    beside_a_bystander(|world, ticket| {
        for line in CORPUS.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            if case["engine"] != "postgresql" {
                continue;
            }
            let sent: Vec<Vec<u8>> =
                case["statements"].as_array().unwrap().iter().map(|hex| bytes_of(hex.as_str().unwrap())).collect();
            if case["bare"] == true {
                let answer = in_the_clear(&world.belay, &sent.concat());
                assert!(!answer.contains(&b'Z') || !answer.starts_with(b"R"), "{}: {answer:?}", case["id"]);
                continue;
            }
            let mut raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
            for bytes in &sent {
                raw.send(bytes);
            }
            raw.send(&message(b'X', b""));
            // Whatever is said, the connection comes to its end.
            raw.read_to_end();
        }
    });
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
