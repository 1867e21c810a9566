//! Prepared statements and portals that the protocol and SQL make and run under one name.

use super::*;

/// What a statement of another text is answered with.
fn answered(wire: &mut Wire, sent: &[u8], tag: &str, status: u8) {
    wire.client(sent);
    wire.target(&[complete(tag), ready(status)].concat());
    wire.target_got();
    wire.client_got();
}

fn prepared(wire: &mut Wire, name: &str, text: &str) {
    wire.client(&[parse(name, text), sync()].concat());
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    wire.target_got();
    wire.client_got();
}

/// What a Bind and an Execute of a statement come to, outside a transaction.
fn run(wire: &mut Wire, name: &str) -> String {
    wire.client(&[bind("", name), execute(""), sync()].concat());
    wire.target_got()
}

/// A refused Bind is replaced, and its Execute is not sent.
const REFUSED: &str = "PS";
const PASSED: &str = "BES";

#[test]
fn a_name_that_nobody_has_made_is_refused_in_both_languages() {
    let mut wire = Wire::new();
    assert_eq!(run(&mut wire, "s"), REFUSED);
    wire.target(&[failed("42601"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "26000 ZI");
    wire.client(&query("EXECUTE s"));
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), "26000 ZI".to_owned()));
}

#[test]
fn what_sql_has_prepared_can_be_bound_and_what_the_protocol_has_prepared_can_be_executed() {
    let mut wire = Wire::new();
    answered(&mut wire, &query("PREPARE s AS SELECT 1"), "PREPARE", b'I');
    assert_eq!(run(&mut wire, "s"), PASSED);
    let mut wire = Wire::new();
    prepared(&mut wire, "s", "SELECT 1");
    wire.client(&query("EXECUTE s"));
    assert_eq!(wire.target_got(), "Q");
    let mut wire = Wire::new();
    wire.client(&query("PREPARE p AS SELECT 1; EXECUTE p"));
    assert_eq!(wire.target_got(), "Q", "also in one message");
}

#[test]
fn a_text_that_either_language_may_have_left_is_judged_in_both_its_meanings() {
    let mut wire = Wire::new();
    prepared(&mut wire, "s", "SELECT 1");
    // Whether this was carried out, nobody says: it fails where the name is taken.
    answered(&mut wire, &query("PREPARE s AS SELECT 2"), "PREPARE", b'I');
    assert_eq!(run(&mut wire, "s"), PASSED);
    wire.target(&[message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat());
    prepared(&mut wire, "t", "SET jit = off");
    answered(&mut wire, &query("PREPARE t AS SELECT 2"), "PREPARE", b'I');
    assert_eq!(run(&mut wire, "t"), REFUSED);
}

#[test]
fn statements_about_the_session_do_not_run_by_execute() {
    for text in ["SET search_path = a", "COMMIT", "EXECUTE other", "DEALLOCATE ALL", "DECLARE c CURSOR FOR SELECT 1"] {
        let mut wire = Wire::new();
        prepared(&mut wire, "other", "SELECT 1");
        prepared(&mut wire, "s", text);
        wire.client(&query("EXECUTE s"));
        assert_eq!(wire.target_got(), "", "{text}");
    }
}

#[test]
fn discarding_all_is_believed_only_when_the_target_says_so() {
    let mut wire = Wire::new();
    prepared(&mut wire, "s", "SELECT 1");
    wire.client(&query("DISCARD ALL"));
    wire.target(&[failed("25001"), ready(b'I')].concat());
    wire.target_got();
    assert_eq!(run(&mut wire, "s"), PASSED);
    wire.target(&[message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat());
    for (text, tag) in
        [("DISCARD ALL", "DISCARD ALL"), ("DEALLOCATE ALL", "DEALLOCATE ALL"), ("DEALLOCATE s", "DEALLOCATE")]
    {
        prepared(&mut wire, "s", "SELECT 1");
        answered(&mut wire, &query("PREPARE s2 AS SELECT 1"), "PREPARE", b'I');
        answered(&mut wire, &query(text), tag, b'I');
        assert_eq!(run(&mut wire, "s"), REFUSED, "{text}");
        wire.target(&[failed("42601"), ready(b'I')].concat());
        let left = if tag == "DEALLOCATE" { PASSED } else { REFUSED };
        assert_eq!(run(&mut wire, "s2"), left, "{text}");
        wire.target(&[failed("42601"), ready(b'I')].concat());
    }
}

#[test]
fn a_client_that_deallocates_by_sql_what_it_prepares_by_the_protocol_can_do_so_for_ever() {
    let mut wire = Wire::new();
    for n in 0..12_000 {
        let name = format!("a{n}");
        prepared(&mut wire, &name, "SELECT 1");
        answered(&mut wire, &query(&format!("DEALLOCATE {name}")), "DEALLOCATE", b'I');
    }
    prepared(&mut wire, "last", "SELECT 1");
    assert_eq!(run(&mut wire, "last"), PASSED);
}

#[test]
fn one_message_cannot_prepare_more_statements_than_are_kept() {
    let mut wire = Wire::new();
    let texts: Vec<String> = (0..1_001).map(|n| format!("PREPARE p{n} AS SELECT 1")).collect();
    wire.client(&query(&texts.join("; ")));
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), "54001 ZI".to_owned()));
}

#[test]
fn names_are_the_same_where_the_server_cuts_them() {
    let mut wire = Wire::new();
    let long = "n".repeat(70);
    prepared(&mut wire, &long, "COMMIT");
    wire.client(&query(&format!("EXECUTE {}", "n".repeat(63))));
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), "42501 ZI".to_owned()));
    assert_eq!(run(&mut wire, &long[..65]), PASSED);
}

#[test]
fn a_portal_that_sets_the_search_path_runs_once() {
    let mut wire = Wire::new();
    answered(&mut wire, &query("BEGIN"), "BEGIN", b'T');
    let first = [parse("", "SELECT set_config('search_path', 'a', false)"), bind("p", ""), execute("p"), sync()];
    wire.client(&first.concat());
    assert_eq!(wire.target_got(), "PBES");
    wire.target(&[message(b'1', b""), message(b'2', b""), complete("SELECT 1"), ready(b'T')].concat());
    wire.client(&[execute("p"), sync()].concat());
    assert_eq!(wire.target_got(), "PS", "the second time it sets nothing");
    wire.target(&[failed("42601"), ready(b'E')].concat());
    assert_eq!(wire.client_got().split(' ').nth_back(1), Some("42501"));
}

#[test]
fn a_portal_that_sets_the_search_path_is_not_fetched_from() {
    let mut wire = Wire::new();
    answered(&mut wire, &query("BEGIN"), "BEGIN", b'T');
    wire.client(&[parse("", "SELECT set_config('search_path', 'a', false)"), bind("p", ""), sync()].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), ready(b'T')].concat());
    wire.target_got();
    wire.client(&query("FETCH ALL FROM p"));
    assert!(!String::from_utf8_lossy(&wire.to_target).contains("FETCH"));
}

#[test]
fn a_portal_whose_name_sql_has_declared_since_is_not_run_as_what_it_was() {
    let mut wire = Wire::new();
    answered(&mut wire, &query("BEGIN"), "BEGIN", b'T');
    wire.client(&[parse("", "SELECT 1"), bind("p", ""), sync()].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), ready(b'T')].concat());
    answered(&mut wire, &query("CLOSE p"), "CLOSE CURSOR", b'T');
    answered(&mut wire, &query("DECLARE p CURSOR FOR SELECT 2"), "DECLARE CURSOR", b'T');
    wire.client(&[execute("p"), sync()].concat());
    assert_eq!(wire.target_got(), "PS");
}

#[test]
fn the_texts_of_parses_that_wait_for_their_answers_are_bounded() {
    let mut wire = Wire::new();
    let text = format!("SELECT '{}'", "x".repeat(1_000_000));
    for n in 0..100 {
        wire.client(&[parse(&format!("s{n}"), &text), sync()].concat());
    }
    let sent = types(&wire.to_target).matches('P').count();
    assert!((32..=35).contains(&sent), "{sent}");
    assert!(!wire.connection.wants_client());
    for _ in 0..sent {
        wire.target(&[message(b'1', b""), ready(b'I')].concat());
    }
    assert!(types(&wire.to_target).matches('P').count() > sent, "it goes on");
}
