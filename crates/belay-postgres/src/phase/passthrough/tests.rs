//! Scripts: what each side sends, what comes out, and what is recorded before.

use super::Passthrough;
use crate::classify::Classifier;
use crate::wire::{FRONTEND_LIMIT, query};
use belay_engine::{Connection, Input, Life, Output, SessionContext};
use belay_model::{
    ConnectionId, Effects, EndReason, EventKind, Grant, GrantId, GrantState, RequestId, Resource, SessionId, Timestamp,
};
use belay_policy::decide;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use tokio::sync::watch;

const NOW: Timestamp = Timestamp(1_000);

/// One connection with both its sides, without IO.
struct Wire {
    connection: Passthrough,
    grant: Grant,
    to_client: Vec<u8>,
    to_target: Vec<u8>,
    /// What was recorded, as `text` or `text, durable`; outcomes as `#1: SQLSTATE or rows`.
    records: Vec<String>,
    closed: Option<EndReason>,
}

impl Wire {
    fn new() -> Wire {
        Wire::under(Effects::ALL)
    }

    fn under(effects: Effects) -> Wire {
        let grant = Grant {
            id: GrantId(31),
            request: RequestId(1),
            principal: "ann".parse().unwrap(),
            target: "orders".parse().unwrap(),
            resources: vec![Resource::everything()],
            effects,
            bounds: belay_model::Bounds::default(),
            masks: Vec::new(),
            state: GrantState::Active,
            granted_at: Timestamp(0),
            use_by: Timestamp(1_000_000),
            ends_at: Timestamp(1_000_000),
            extendable: false,
            record_values: true,
            break_glass: false,
            reviewed_by: None,
        };
        let context = SessionContext {
            grant: Arc::new(grant.clone()),
            session: SessionId(7),
            connection: ConnectionId(1),
            database: "orders".to_owned(),
            cut_in_transaction: false,
            life: watch::channel(Life::Until(grant.ends_at)).1,
        };
        let parameters = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Wire {
            connection: Passthrough::new(Arc::new(Classifier::default()), &context, &parameters),
            grant,
            to_client: Vec::new(),
            to_target: Vec::new(),
            records: Vec::new(),
            closed: None,
        }
    }

    fn input(&mut self, input: Input) -> Result<(), belay_engine::ProtocolError> {
        self.connection.handle(input, NOW)?;
        while let Some(output) = self.connection.poll() {
            match output {
                Output::ToClient(bytes) => self.to_client.extend_from_slice(&bytes),
                Output::ToUpstream(bytes) => self.to_target.extend_from_slice(&bytes.into_bytes()),
                Output::Record { event, durable } => self.records.push(recorded(&event.kind, durable)),
                Output::Close(reason) => self.closed = Some(reason),
                Output::Decide(statements) => {
                    let decision = decide(&self.grant, &statements, NOW);
                    self.connection.handle(Input::Decided(decision), NOW)?;
                }
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    fn client(&mut self, bytes: &[u8]) {
        self.input(Input::Client(Bytes::copy_from_slice(bytes))).unwrap();
    }

    fn target(&mut self, bytes: &[u8]) {
        self.input(Input::Upstream(Bytes::copy_from_slice(bytes))).unwrap();
    }

    fn recorded(&mut self) -> String {
        std::mem::take(&mut self.records).join("; ")
    }
}

fn recorded(kind: &EventKind, durable: bool) -> String {
    match kind {
        EventKind::Statement { statement, text, denied, .. } => {
            let denied = denied.map(|code| format!(", {code}")).unwrap_or_default();
            format!("{statement} {text}{denied}{}", if durable { ", durable" } else { "" })
        }
        EventKind::Outcome { statement, outcome, .. } => {
            let rows = outcome.rows.map(|rows| rows.to_string()).unwrap_or_default();
            let skipped = if outcome.skipped { "skipped" } else { "" };
            format!("#{statement}: {}{rows}{skipped}", outcome.sqlstate.clone().unwrap_or_default())
        }
        other => other.word().to_owned(),
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0").as_bytes())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

fn error(sqlstate: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{sqlstate}\0Mno\0\0").as_bytes())
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

#[test]
fn a_write_is_durable_before_it_leaves_and_a_read_need_not_be() {
    let mut wire = Wire::new();
    wire.client(&query("DROP TABLE orders"));
    assert_eq!(wire.recorded(), "1 DROP TABLE orders, durable");
    assert_eq!(wire.to_target, query("DROP TABLE orders"));
    wire.target(&[complete("DROP TABLE"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "#1: ");
    wire.client(&query("SELECT 1"));
    wire.target(&[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "2 SELECT 1; #2: 1");
    for text in ["EXECUTE s", "EXPLAIN ANALYZE EXECUTE s", "FETCH c", "no sql", "SELECT unknown_function()"] {
        wire.client(&query(text));
        assert!(wire.recorded().ends_with(", durable"), "{text}");
        wire.target(&ready(b'I'));
        wire.records.clear();
    }
}

#[test]
fn a_text_that_cannot_be_read_for_sure_is_durable() {
    let mut wire = Wire::new();
    wire.target(&message(b'S', b"client_encoding\0SJIS\0"));
    wire.client(&query("SELECT 1"));
    wire.target(&[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "1 SELECT 1, durable; #1: 1");
    wire.target(&message(b'S', b"client_encoding\0UTF8\0"));
    wire.client(&query("SET standard_conforming_strings = off"));
    wire.client(&query("SELECT 2"));
    assert_eq!(wire.recorded(), "2 SET standard_conforming_strings = off, durable; 3 SELECT 2, durable");
    wire.client(&message(b'Q', b"SELECT '\xff'\0"));
    assert!(wire.recorded().ends_with(", durable"));
}

#[test]
fn a_batch_leaves_whole_and_its_write_is_recorded_when_it_is_bound() {
    let mut wire = Wire::new();
    let batch = [parse("", "DELETE FROM t"), bind("", ""), message(b'D', b"P\0"), execute(""), sync()].concat();
    wire.client(&batch);
    assert_eq!(wire.recorded(), "1 DELETE FROM t, durable");
    assert_eq!(wire.to_target, batch);
    let answer = [message(b'1', b""), message(b'2', b""), message(b'n', b""), complete("DELETE 3"), ready(b'I')];
    wire.target(&answer.concat());
    assert_eq!(wire.recorded(), "#1: 3");
    assert!(!wire.connection.is_busy());
    wire.client(&[parse("r", "SELECT $1"), bind("", "r")].concat());
    assert_eq!(wire.recorded(), "", "a read is recorded when it is executed");
    wire.client(&[execute(""), sync()].concat());
    assert_eq!(wire.recorded(), "2 SELECT $1");
    wire.target(&[message(b'1', b""), error("22012"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "#2: skipped");
}

#[test]
fn what_is_bound_is_on_the_record_in_the_order_in_which_it_runs() {
    let mut wire = Wire::new();
    wire.client(&[parse("", "DELETE FROM t"), bind("a", ""), parse("", "DELETE FROM u"), bind("b", "")].concat());
    assert_eq!(wire.recorded(), "1 DELETE FROM t, durable; 2 DELETE FROM u, durable");
    wire.client(&[execute("b"), execute("a"), sync()].concat());
    assert_eq!(wire.recorded(), "#1: skipped; 3 DELETE FROM t, durable");
    let answers = ["1", "2", "1", "2"].map(|tag| message(tag.as_bytes()[0], b""));
    wire.target(&[answers.concat(), complete("DELETE 1"), complete("DELETE 2"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "#2: 1; #3: 2");
}

#[test]
fn what_is_bound_and_not_executed_is_said_not_to_have_run() {
    let mut wire = Wire::new();
    wire.client(&[parse("s", "DELETE FROM t"), bind("", "s"), bind("", "s"), sync()].concat());
    let said = "1 DELETE FROM t, durable; #1: skipped; 2 DELETE FROM t, durable; #2: skipped";
    assert_eq!(wire.recorded(), said);
}

#[test]
fn a_statement_cannot_pass_under_the_text_of_another() {
    let mut wire = Wire::new();
    wire.client(&[parse("s", "DELETE FROM t"), sync()].concat());
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    // The target refuses the second one of the same name, and the first one stays.
    wire.client(&[parse("s", "SELECT 1"), sync(), bind("", "s"), execute(""), sync()].concat());
    assert_eq!(wire.recorded(), "", "which one is meant is not known yet");
    assert_eq!(wire.to_target.last_chunk::<5>(), Some(b"S\0\0\0\x04"));
    wire.target(&[error("42P05"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "1 DELETE FROM t, durable");
    wire.target(&[message(b'2', b""), complete("DELETE 1"), ready(b'I')].concat());
    wire.client(&query("DEALLOCATE s; PREPARE s AS DELETE FROM u"));
    wire.target(&[complete("DEALLOCATE"), complete("PREPARE"), ready(b'I')].concat());
    wire.records.clear();
    wire.client(&[bind("", "s"), execute(""), sync()].concat());
    assert_eq!(wire.recorded(), "3 <prepared statement `s` made in SQL>, durable");
}

#[test]
fn a_function_call_is_recorded_with_its_arguments() {
    let mut wire = Wire::new();
    let call = message(b'F', b"\0\0\x03\xbb\0\0\0\x01\0\0\0\x02-1\0\0");
    wire.client(&call);
    assert_eq!(wire.recorded(), "1 <call of function 955>, durable");
    wire.target(&[message(b'V', b"\xff\xff\xff\xff"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "#1: ");
    assert_eq!(wire.to_target, call);
    wire.client(&message(b'F', b"\0"));
    assert_eq!(wire.recorded(), "2 <function call that cannot be read>, durable");
}

#[test]
fn copy_passes_both_ways_and_what_the_target_ignores_is_not_waited_for() {
    let mut wire = Wire::new();
    // libpq sends a Sync with the Execute, and another one behind the data.
    let begin = [parse("", "COPY t FROM STDIN"), bind("", ""), execute(""), sync()].concat();
    wire.client(&begin);
    wire.target(&[message(b'1', b""), message(b'2', b""), message(b'G', b"\0\0\0")].concat());
    let data = [message(b'd', b"1\n"), message(b'c', b""), sync()].concat();
    wire.client(&data);
    wire.target(&[complete("COPY 1"), ready(b'I')].concat());
    assert_eq!(wire.recorded(), "1 COPY t FROM STDIN, durable; #1: 1");
    assert!(!wire.connection.is_busy());
    assert_eq!(wire.to_target, [begin.clone(), data.clone()].concat());
    // The same without waiting for the target, and a query behind it.
    wire.client(&[begin, data, query("SELECT 1").to_vec()].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), message(b'G', b"\0\0\0"), complete("COPY 1")].concat());
    wire.target(&ready(b'I'));
    assert!(wire.connection.is_busy());
    wire.target(&[complete("SELECT 1"), ready(b'I')].concat());
    assert!(!wire.connection.is_busy());
    // A COPY that never begins.
    wire.client(&[query("COPY none FROM STDIN").to_vec(), message(b'd', b"1\n"), message(b'c', b"")].concat());
    wire.target(&[error("42P01"), ready(b'I')].concat());
    assert!(!wire.connection.is_busy());
}

#[test]
fn a_message_longer_than_memory_is_for_passes_and_its_beginning_is_recorded() {
    let mut wire = Wire::new();
    let text = format!("SELECT '{}'", "x".repeat(FRONTEND_LIMIT));
    let bytes = query(&text);
    for chunk in bytes.chunks(1 << 20) {
        wire.client(chunk);
    }
    assert_eq!(wire.to_target.len(), bytes.len());
    let recorded = wire.recorded();
    assert!(recorded.starts_with(&format!("1 <Query of {} bytes that begins> SELECT 'xxx", bytes.len())));
    assert!(recorded.ends_with("xxx, durable") && recorded.len() < 70_000);
}

#[test]
fn after_the_end_of_the_grant_nothing_leaves() {
    let mut wire = Wire::new();
    wire.grant.ends_at = NOW;
    wire.client(&message(b'd', b"1\n"));
    assert_eq!((wire.to_target.len(), wire.closed), (0, Some(EndReason::Expired)));
    let mut wire = Wire::new();
    wire.grant.ends_at = NOW;
    wire.client(&query("DELETE FROM t"));
    assert_eq!(wire.recorded(), "1 DELETE FROM t, BLY-1030");
    assert!(wire.to_target.is_empty());
}

#[test]
fn a_grant_that_is_judged_gets_nowhere() {
    let mut wire = Wire::under(Effects { all: false, ..Effects::ALL });
    wire.client(&query("SELECT 1"));
    assert!(wire.to_target.is_empty() && wire.closed.is_some());
}

#[test]
fn a_goodbye_passes_and_leaves_the_target_to_finish() {
    let mut wire = Wire::new();
    wire.client(&[query("DELETE FROM t").to_vec(), message(b'X', b"")].concat());
    assert_eq!(wire.to_target, [query("DELETE FROM t").to_vec(), message(b'X', b"")].concat());
    assert_eq!(wire.closed, Some(EndReason::Closed));
    assert!(!wire.connection.is_busy() && !wire.connection.in_transaction());
}

#[test]
fn a_target_that_ends_the_connection_has_the_last_word() {
    let mut wire = Wire::new();
    let fatal = message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0");
    wire.target(&fatal);
    wire.input(Input::End(EndReason::TargetLost)).unwrap();
    assert_eq!(wire.to_client, fatal);
    let mut wire = Wire::new();
    wire.input(Input::End(EndReason::Revoked)).unwrap();
    assert_eq!(wire.to_client[0], b'E');
}

#[test]
fn a_batch_without_an_end_is_answered_when_too_much_is_due() {
    let mut wire = Wire::new();
    let batch = bind("", "").repeat(super::PENDING_LIMIT + 10);
    wire.client(&batch);
    assert!(!wire.connection.wants_client());
    assert!(wire.to_target.ends_with(b"H\0\0\0\x04"));
    wire.target(&message(b'2', b"").repeat(super::PENDING_LIMIT));
    assert!(wire.connection.wants_client());
    assert_eq!(wire.to_target.len(), batch.len() + 5);
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::sample::select(b"QFPBEDCSHdcfXp?\0\xff".to_vec());
    (tags, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| message(tag, &body))
}

proptest! {
    #[test]
    fn whatever_the_client_sends_arrives_as_it_was(
        messages in prop::collection::vec(any_message(), 0..20),
        cuts in prop::collection::vec(1usize..60, 1..40),
    ) {
        let mut wire = Wire::new();
        let bytes = messages.concat();
        let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
        while at < bytes.len() {
            let end = bytes.len().min(at + cuts.next().unwrap());
            wire.client(&bytes[at..end]);
            wire.target(&ready(b'I'));
            at = end;
        }
        // What waits for answers gets them.
        (0..50).for_each(|_| wire.target(&ready(b'I')));
        let goodbye = messages.iter().position(|message| message[0] == b'X');
        let expected: Vec<u8> = messages[..goodbye.map_or(messages.len(), |at| at + 1)].concat();
        prop_assert_eq!(&wire.to_target, &expected);
    }

    #[test]
    fn whatever_the_target_sends_arrives_as_it_was(
        messages in prop::collection::vec(any_message(), 0..20),
        cut in 0usize..200,
    ) {
        let mut wire = Wire::new();
        let bytes = messages.concat();
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        wire.client(&query("SELECT 1"));
        wire.target(head);
        wire.target(tail);
        prop_assert_eq!(&wire.to_client, &bytes);
    }
}
