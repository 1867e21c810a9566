//! Statements that go over a budget.

use super::*;
use belay_model::{Budgets, Code, Outcome, Span};
use std::time::Duration;

fn wire(budgets: Budgets) -> Wire {
    let change = |grant: &mut Grant| {
        grant.bounds.budgets = budgets;
        grant.ends_at = seconds(3600);
    };
    Wire::under(change, None)
}

fn rows_at_most(rows: u64) -> Wire {
    wire(Budgets { rows: Some(rows), ..Budgets::default() })
}

fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x05value")
}

fn cancelled(wire: &mut Wire, carried_out: bool) {
    wire.input(Input::Cancelled(carried_out)).unwrap();
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1_000_000)
}

/// Lets the time pass and gives the connection what it asked for.
fn at(wire: &mut Wire, second: i64) {
    wire.now = seconds(second);
    if wire.connection.wake_at().is_some_and(|at| at <= wire.now) {
        wire.input(Input::Time).unwrap();
    }
}

fn outcomes(wire: &Wire) -> Vec<&Outcome> {
    let mut outcomes = Vec::new();
    for kind in &wire.records {
        if let EventKind::Outcome { outcome, .. } = kind {
            outcomes.push(outcome);
        }
    }
    outcomes
}

#[test]
fn a_statement_within_its_budgets_passes_and_what_it_returned_is_on_the_record() {
    let mut wire = wire(Budgets { rows: Some(2), bytes: Some(32), ..Budgets::default() });
    wire.client(&query("SELECT * FROM t"));
    let answer = [message(b'T', b"\0\0"), row(), row(), complete("SELECT 2"), ready(b'I')].concat();
    wire.target(&answer);
    assert_eq!((wire.to_client.clone(), wire.asked()), (answer, String::new()));
    let outcome = outcomes(&wire)[0];
    assert_eq!((outcome.rows, outcome.bytes, outcome.stopped), (Some(2), Some(32), None));
}

#[test]
fn at_the_row_too_many_the_statement_is_cancelled_and_the_client_reads_why() {
    let mut wire = rows_at_most(2);
    wire.client(&query("SELECT * FROM t"));
    wire.target(&[message(b'T', b"\0\0"), row(), row(), row(), row()].concat());
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("T D D", "C"));
    wire.target(&row());
    assert!(!wire.connection.wants_client(), "what is sent now could be hit");
    cancelled(&mut wire, true);
    wire.target(&[row(), failed("57014"), ready(b'I')].concat());
    let said = String::from_utf8_lossy(&wire.to_client).into_owned();
    assert!(said.contains("stopped: more than the 2 rows that g_31 allows one statement [BLY-1013]"), "{said}");
    assert!(said.contains("2 rows were sent before."), "{said}");
    assert_eq!(wire.client_got(), "54000 ZI");
    let outcome = outcomes(&wire)[0];
    assert_eq!((outcome.rows, outcome.bytes, outcome.stopped), (Some(2), Some(32), Some(Code::RowBudget)));
    assert_eq!(outcome.sqlstate.as_deref(), Some("54000"));
    wire.client(&query("SELECT 1"));
    wire.target(&[message(b'T', b"\0\0"), row(), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "T D C ZI", "the connection goes on");
}

#[test]
fn wherever_the_network_cuts_the_client_gets_the_rows_of_its_budget_and_one_error() {
    let answer =
        [message(b'T', b"\0\0"), row(), row(), message(b'N', b"\0"), row(), failed("57014"), ready(b'I')].concat();
    for cut in 0..answer.len() {
        let mut wire = rows_at_most(2);
        wire.client(&query("SELECT * FROM t"));
        for piece in pieces(&answer, &[cut]) {
            wire.target(piece);
        }
        assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("T D D N 54000 ZI", "C"), "{cut}");
    }
}

#[test]
fn bytes_are_counted_as_they_are_on_the_wire() {
    let mut wire = wire(Budgets { bytes: Some(31), ..Budgets::default() });
    wire.client(&query("SELECT * FROM t"));
    wire.target(&[message(b'T', b"\0\0"), row(), row(), failed("57014"), ready(b'I')].concat());
    assert!(String::from_utf8_lossy(&wire.to_client).contains("[BLY-1014]"));
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("T D 54000 ZI", "C"));
}

#[test]
fn copy_data_counts_too() {
    let mut wire = rows_at_most(1);
    wire.client(&query("COPY (SELECT 1) TO STDOUT"));
    let data = [message(b'H', b"\0\0\0"), message(b'd', b"1\n"), message(b'd', b"2\n"), message(b'c', b"")].concat();
    wire.target(&[data, complete("COPY 2"), ready(b'I')].concat());
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("H d 54000 ZI", "C"));
}

#[test]
fn each_statement_of_a_message_has_the_whole_budget() {
    let mut wire = rows_at_most(1);
    wire.client(&query("SELECT 1; SELECT 2; SELECT 3"));
    let one = [message(b'T', b"\0\0"), row(), complete("SELECT 1")].concat();
    wire.target(&[one.clone(), one.clone(), one, ready(b'I')].concat());
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("T D C T D C T D C ZI", ""));
    assert_eq!((outcomes(&wire)[0].rows, outcomes(&wire)[0].bytes), (Some(3), Some(48)));
}

#[test]
fn a_statement_that_ended_before_it_could_be_cancelled_has_failed_for_the_client_all_the_same() {
    let mut wire = rows_at_most(1);
    wire.client(&query("SELECT * FROM t; SELECT 2"));
    let one = [message(b'T', b"\0\0"), row(), row(), complete("SELECT 2")].concat();
    wire.target(&[one.clone(), one, ready(b'I')].concat());
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("T D 54000 ZI", "C"));
    assert!(!wire.connection.wants_client());
    cancelled(&mut wire, true);
    wire.client(&query("SELECT 3"));
    assert_eq!(wire.target_got(), "QQ");
}

#[test]
fn in_a_transaction_the_target_is_made_to_fail_where_it_had_come_to_an_end() {
    let mut wire = rows_at_most(1);
    wire.client(&query("BEGIN"));
    wire.target(&[complete("BEGIN"), ready(b'T')].concat());
    wire.client(&query("SELECT * FROM t"));
    wire.target(&[message(b'T', b"\0\0"), row(), row(), complete("SELECT 2"), ready(b'T')].concat());
    assert_eq!(wire.target_got(), "QQQ");
    cancelled(&mut wire, true);
    wire.target(&[failed("42601"), ready(b'E')].concat());
    assert_eq!(wire.client_got(), "C ZT T D 54000 ZE");
}

#[test]
fn in_a_batch_the_rest_is_skipped_by_the_target_or_not_heard_of() {
    let batch = [parse("", "SELECT 1"), bind("", ""), execute(""), bind("", ""), execute(""), sync()].concat();
    let opening = [message(b'1', b""), message(b'2', b""), row()].concat();
    let mut skipped = rows_at_most(1);
    skipped.client(&batch);
    skipped.target(&[opening.clone(), row(), failed("57014"), ready(b'I')].concat());
    assert_eq!((skipped.client_got().as_str(), skipped.asked().as_str()), ("1 2 D 54000 ZI", "C"));
    let stopped: Vec<_> = outcomes(&skipped).iter().map(|outcome| (outcome.stopped, outcome.skipped)).collect();
    assert_eq!(stopped, [(Some(Code::RowBudget), false), (None, true)]);
    let mut late = rows_at_most(1);
    late.client(&batch);
    let rest = [row(), complete("SELECT 2"), message(b'2', b""), row(), complete("SELECT 1"), ready(b'I')].concat();
    late.target(&[opening, rest].concat());
    assert_eq!((late.client_got().as_str(), late.asked().as_str()), ("1 2 D 54000 ZI", "C"));
}

#[test]
fn in_a_batch_without_sync_what_follows_a_late_stop_is_not_sent() {
    let mut wire = rows_at_most(1);
    wire.client(&[parse("", "SELECT 1"), bind("", ""), execute(""), message(b'H', b"")].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), row(), row(), complete("SELECT 2")].concat());
    assert_eq!(wire.client_got(), "1 2 D 54000");
    wire.client(&[bind("", ""), execute("")].concat());
    cancelled(&mut wire, true);
    assert_eq!(wire.target_got(), "PBEH");
    wire.now = seconds(100);
    wire.client(&sync());
    assert_eq!(wire.target_got(), "S");
    at(&mut wire, 101);
    wire.target(&ready(b'I'));
    assert_eq!((wire.client_got().as_str(), wire.closed), ("ZI", None));
    wire.client(&query("SELECT 1"));
    assert_eq!(wire.target_got(), "Q");
}

#[test]
fn a_portal_cannot_be_emptied_in_many_small_pieces() {
    let mut wire = rows_at_most(3);
    wire.client(&[parse("", "SELECT 1"), bind("p", ""), execute("p"), message(b'H', b"")].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), row(), row(), message(b's', b"")].concat());
    wire.client(&[execute("p"), sync()].concat());
    wire.target(&[row(), row(), failed("57014"), ready(b'E')].concat());
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("1 2 D D s D 54000 ZE", "C"));
    assert_eq!(outcomes(&wire)[1].rows, Some(1));
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled_whatever_the_client_set() {
    let mut wire = wire(Budgets { statement_time: Some(Span::from_seconds(30)), ..Budgets::default() });
    wire.client(&query("SET statement_timeout = 0"));
    wire.target(&[complete("SET"), ready(b'I')].concat());
    assert_eq!(wire.connection.wake_at(), None);
    wire.client(&query("SELECT pg_sleep(1000)"));
    assert_eq!(wire.connection.wake_at(), Some(seconds(30)));
    at(&mut wire, 29);
    assert_eq!(wire.asked(), "");
    at(&mut wire, 30);
    assert_eq!(wire.asked(), "C");
    cancelled(&mut wire, true);
    wire.to_client.clear();
    wire.target(&[failed("57014"), ready(b'I')].concat());
    let said = String::from_utf8_lossy(&wire.to_client).into_owned();
    assert!(said.contains("stopped: longer than the 30s that g_31 allows one statement [BLY-1015]"), "{said}");
    assert_eq!((wire.client_got().as_str(), outcomes(&wire)[1].stopped), ("57014 ZI", Some(Code::TimeBudget)));
    assert_eq!(wire.connection.wake_at(), None);
}

#[test]
fn the_statements_of_a_message_share_its_time() {
    let mut wire = wire(Budgets { statement_time: Some(Span::from_seconds(30)), ..Budgets::default() });
    wire.client(&query("SELECT 1; SELECT 2"));
    at(&mut wire, 20);
    wire.target(&complete("SELECT 1"));
    assert_eq!(wire.connection.wake_at(), Some(seconds(30)));
    at(&mut wire, 30);
    assert_eq!(wire.asked(), "C");
}

#[test]
fn a_statement_that_was_done_just_before_its_time_is_not_touched() {
    let mut wire = wire(Budgets { statement_time: Some(Span::from_seconds(1)), ..Budgets::default() });
    wire.client(&query("SELECT 1"));
    at(&mut wire, 1);
    wire.target(&[message(b'T', b"\0\0"), row(), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "T D C ZI");
    wire.client(&query("SELECT 2"));
    assert_eq!(wire.target_got(), "Q", "the cancel is still under way");
    cancelled(&mut wire, true);
    assert_eq!(wire.target_got(), "Q");
    assert_eq!(outcomes(&wire)[0].stopped, None);
}

#[test]
fn what_a_batch_without_sync_has_answered_does_not_count_as_running() {
    let mut wire = wire(Budgets { statement_time: Some(Span::from_seconds(5)), ..Budgets::default() });
    wire.client(&[parse("", "SELECT 1"), bind("", ""), execute("")].concat());
    at(&mut wire, 5);
    assert_eq!((wire.target_got().as_str(), wire.asked().as_str()), ("PBEH", ""));
    wire.target(&[message(b'1', b""), message(b'2', b""), complete("SELECT 1")].concat());
    assert_eq!(wire.connection.wake_at(), None);
    wire.client(&[bind("", ""), execute("")].concat());
    at(&mut wire, 10);
    wire.client(&execute(""));
    at(&mut wire, 11);
    assert_eq!((wire.target_got().as_str(), wire.asked().as_str()), ("BEHE", "C"), "asked once, then stopped");
}

#[test]
fn what_waits_for_a_lock_too_long_is_cancelled() {
    let mut wire = wire(Budgets { lock_wait: Some(Span::from_seconds(2)), ..Budgets::default() });
    wire.client(&query("SELECT * FROM t"));
    at(&mut wire, 2);
    assert_eq!(wire.asked(), "L");
    assert_eq!(wire.connection.wake_at(), None, "until the answer is there");
    wire.input(Input::Waiting(None)).unwrap();
    assert_eq!(wire.connection.wake_at(), Some(seconds(4)));
    at(&mut wire, 4);
    wire.input(Input::Waiting(Some(Duration::from_millis(1500)))).unwrap();
    assert_eq!(wire.connection.wake_at(), Some(Timestamp(seconds(4).0 + 500_000)));
    at(&mut wire, 5);
    wire.input(Input::Waiting(Some(Duration::from_secs(2)))).unwrap();
    assert_eq!(wire.asked(), "LLC");
    wire.target(&[failed("57014"), ready(b'I')].concat());
    assert!(String::from_utf8_lossy(&wire.to_client).contains("to wait for a lock [BLY-1015]"));
}

#[test]
fn a_look_that_comes_back_after_its_statement_stops_nothing() {
    let mut wire = wire(Budgets { lock_wait: Some(Span::from_seconds(2)), ..Budgets::default() });
    wire.client(&query("SELECT * FROM t"));
    at(&mut wire, 2);
    wire.target(&[complete("SELECT 0"), ready(b'I')].concat());
    wire.client(&query("SELECT * FROM t"));
    wire.input(Input::Waiting(Some(Duration::from_secs(9)))).unwrap();
    assert_eq!(wire.asked(), "L");
}

#[test]
fn a_cancel_that_cannot_be_carried_out_ends_the_connection() {
    let mut wire = rows_at_most(1);
    wire.client(&query("SELECT * FROM t"));
    wire.target(&[row(), row()].concat());
    cancelled(&mut wire, false);
    assert_eq!((wire.client_got().as_str(), wire.closed), ("D 57014", Some(EndReason::Bound)));
    assert!(wire.connection.is_busy(), "so its back end is terminated");
}

#[test]
fn a_target_that_does_not_end_a_cancelled_statement_loses_the_connection() {
    let mut wire = rows_at_most(1);
    wire.client(&query("SELECT * FROM t"));
    wire.target(&[row(), row()].concat());
    cancelled(&mut wire, true);
    at(&mut wire, 9);
    assert_eq!(wire.closed, None);
    at(&mut wire, 10);
    assert_eq!(wire.closed, Some(EndReason::Bound));
}

#[test]
fn masked_rows_count_as_others_do() {
    let mut wire = Wire::under(
        |grant| grant.bounds.budgets.rows = Some(1),
        Some(MaskedColumns::new([(9, 1, belay_model::MaskKind::Null)])),
    );
    wire.client(&query("FETCH ALL FROM c"));
    let description = message(b'T', b"\0\x01x\0\0\0\0\x09\0\x01\0\0\0\x19\0\x08\xff\xff\xff\xff\0\0");
    wire.target(&[description, row(), row(), failed("57014"), ready(b'I')].concat());
    assert!(!String::from_utf8_lossy(&wire.to_client).contains("value"));
    assert_eq!((wire.client_got().as_str(), wire.asked().as_str()), ("T D 54000 ZI", "C"));
}

#[test]
fn how_many_statements_a_message_runs_is_told_while_it_is_judged() {
    let mut wire = Wire::new();
    for (bytes, runs) in
        [(query("SELECT 1; SELECT 2").to_vec(), 2), (parse("", "SELECT 1"), 0), (bind("", ""), 0), (execute(""), 1)]
    {
        wire.connection.handle(Input::Client(Bytes::from(bytes)), NOW).unwrap();
        let Some(Output::Decide(statements)) = wire.connection.poll() else { panic!("nothing to judge") };
        assert_eq!(wire.connection.about_to_run(), runs);
        wire.input(Input::Decided(decide(&wire.grant, &statements, NOW))).unwrap();
        if runs == 2 {
            wire.target(&[complete("SELECT 1"), complete("SELECT 1"), ready(b'I')].concat());
        }
    }
}
