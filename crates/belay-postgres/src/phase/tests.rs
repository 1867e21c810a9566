//! Scripts: what each side sends, and what comes out on each side.

mod bound_setting;
mod budgets;
mod copied;
mod masks;
mod run_by_name;

use super::{Established, Outset};
use crate::catalog::keep::CatalogCell;
use crate::classify::SearchPath;
use crate::mask::{MaskKey, MaskedColumns};
use crate::wire::{error_fields, query};
use belay_engine::{Connection, Input, Life, Output, ProtocolError, SessionContext};
use belay_model::{
    Access, ColumnUse, ConnectionId, Effects, EndReason, EventKind, Grant, GrantId, GrantState, Relation, RequestId,
    Resource, SessionId, Shown, Statement, Timestamp, TransactionStatus, Via,
};
use belay_policy::decide;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use tokio::sync::watch;

const NOW: Timestamp = Timestamp(1_000);

/// One connection with both its sides, without IO.
struct Wire {
    connection: Established,
    grant: Arc<Grant>,
    to_client: Vec<u8>,
    to_target: Vec<u8>,
    records: Vec<EventKind>,
    closed: Option<EndReason>,
    /// What else was asked for: `C` for a cancel, `L` for a look at the back end.
    asked: String,
    now: Timestamp,
    /// What statements show of `app.c.email`, for each its number in its message and the place in its result.
    shows: Vec<(usize, u16)>,
}

impl Wire {
    fn new() -> Wire {
        Wire::under(|_| {}, None)
    }

    fn under(change: impl FnOnce(&mut Grant), columns: Option<MaskedColumns>) -> Wire {
        let mut grant = Grant {
            id: GrantId(31),
            request: RequestId(1),
            principal: "alice".parse().unwrap(),
            target: "orders".parse().unwrap(),
            resources: vec![Resource::everything()],
            effects: Effects::READ,
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
        change(&mut grant);
        let grant = Arc::new(grant);
        let context = SessionContext {
            grant: Arc::clone(&grant),
            session: SessionId(7),
            connection: ConnectionId(1),
            database: "orders".to_owned(),
            cut_in_transaction: false,
            life: watch::channel(Life::Until(grant.ends_at)).1,
        };
        let start = Outset { path: SearchPath::of(std::iter::empty(), "role"), role: "role".to_owned() };
        let connection = Established::new(CatalogCell::without_catalog(), &start, &context, TransactionStatus::Idle);
        Wire {
            connection: match columns {
                Some(columns) => connection.with_masks(columns, MaskKey::new([1; 32])),
                None => connection,
            },
            grant,
            to_client: Vec::new(),
            to_target: Vec::new(),
            records: Vec::new(),
            closed: None,
            asked: String::new(),
            now: NOW,
            shows: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) -> Result<(), ProtocolError> {
        self.connection.handle(input, self.now)?;
        while let Some(output) = self.connection.poll() {
            match output {
                Output::ToClient(bytes) => self.to_client.extend_from_slice(&bytes),
                Output::ToUpstream(bytes) => self.to_target.extend_from_slice(&bytes.into_bytes()),
                Output::Record { event, .. } => self.records.push(event.kind),
                Output::Close(reason) => self.closed = Some(reason),
                Output::Cancel => self.asked.push('C'),
                Output::Look => self.asked.push('L'),
                Output::Settle(_) | Output::Answer(_) => self.asked.push('S'),
                Output::Decide(statements) => {
                    let statements = self.seen(&statements);
                    let decision = decide(&self.grant, &statements, self.now);
                    self.connection.handle(Input::Decided(decision), self.now)?;
                }
            }
        }
        Ok(())
    }

    /// The statements with what they show.
    fn seen(&self, statements: &[Statement]) -> Vec<Statement> {
        let mut statements = statements.to_vec();
        // No catalog says here which schema a name without one means.
        for relation in statements.iter_mut().flat_map(|statement| &mut statement.relations) {
            relation.schema.get_or_insert_with(|| "app".to_owned());
        }
        for (number, position) in &self.shows {
            let Some(statement) = statements.get_mut(*number).filter(|one| one.verb == "SELECT") else { continue };
            let relation = Relation { schema: Some("app".to_owned()), name: "c".to_owned() };
            let columns = vec![ColumnUse { name: "email".to_owned(), computed: false }];
            statement.accesses = vec![Access { relation, columns, via: Via::Named, kin: Vec::new().into() }];
            statement.shows.push(Shown { position: *position, access: 0, column: 0 });
        }
        statements
    }

    /// What happened before it, besides bytes.
    fn asked(&mut self) -> String {
        std::mem::take(&mut self.asked)
    }

    fn client(&mut self, bytes: &[u8]) {
        self.input(Input::Client(Bytes::copy_from_slice(bytes))).unwrap();
    }

    fn target(&mut self, bytes: &[u8]) {
        self.input(Input::Upstream(Bytes::copy_from_slice(bytes))).unwrap();
    }

    /// What the target got since the last look, as message types.
    fn target_got(&mut self) -> String {
        types(&std::mem::take(&mut self.to_target))
    }

    /// What the client got since the last look: types, an error as its SQLSTATE, ReadyForQuery with its status.
    fn client_got(&mut self) -> String {
        let bytes = std::mem::take(&mut self.to_client);
        let said = messages(&bytes).into_iter().map(|(tag, body)| match tag {
            'E' => error_fields(body).sqlstate,
            'Z' => format!("Z{}", char::from(body[0])),
            other => other.to_string(),
        });
        said.collect::<Vec<_>>().join(" ")
    }
}

fn messages(mut bytes: &[u8]) -> Vec<(char, &[u8])> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        all.push((char::from(bytes[0]), &bytes[5..=length]));
        bytes = &bytes[length + 1..];
    }
    all
}

fn types(bytes: &[u8]) -> String {
    messages(bytes).iter().map(|(tag, _)| *tag).collect()
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

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

fn failed(sqlstate: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{sqlstate}\0Mx\0\0").as_bytes())
}

#[test]
fn a_read_passes_byte_for_byte_both_ways_and_is_on_the_record() {
    let mut wire = Wire::new();
    let sent = query("SELECT * FROM orders");
    wire.client(&sent);
    assert_eq!(wire.to_target, sent);
    let answer = [message(b'T', b"\0\0"), message(b'D', b"\0\0"), complete("SELECT 1"), ready(b'I')].concat();
    wire.target(&answer);
    assert_eq!(wire.to_client, answer);
    match wire.records.as_slice() {
        [
            EventKind::Statement { statement: 1, text, denied: None, relations, .. },
            EventKind::Outcome { statement: 1, outcome, .. },
        ] => {
            assert_eq!((&**text, outcome.rows), ("SELECT * FROM orders", Some(1)));
            assert_eq!(relations.names(), ["orders"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_outside_a_transaction_is_answered_without_the_target() {
    let mut wire = Wire::new();
    wire.client(&query("UPDATE orders SET x = 1"));
    assert_eq!(wire.target_got(), "");
    assert_eq!(wire.client_got(), "25006 ZI");
    wire.client(&query("SELECT 1; DELETE FROM orders"));
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), "25006 ZI".to_owned()));
}

#[test]
fn a_write_inside_a_transaction_fails_the_transaction_in_the_target() {
    let mut wire = Wire::new();
    wire.client(&query("BEGIN"));
    wire.target(&[complete("BEGIN"), ready(b'T')].concat());
    wire.client(&query("UPDATE orders SET x = 1"));
    assert!(!String::from_utf8_lossy(&wire.to_target).contains("UPDATE"));
    assert_eq!(wire.target_got(), "QQ");
    wire.target(&[failed("42601"), ready(b'E')].concat());
    assert_eq!(wire.client_got(), "C ZT 25006 ZE");
    wire.client(&query("UPDATE orders SET x = 2"));
    wire.target(&[failed("42601"), ready(b'E')].concat());
    assert_eq!(wire.client_got(), "25P02 ZE", "in a failed transaction every statement gets the same answer");
}

#[test]
fn a_refusal_in_a_batch_stops_it_and_nothing_behind_it_is_sent() {
    let mut wire = Wire::new();
    let batch = [
        parse("", "SELECT 1"),
        bind("", ""),
        execute(""),
        parse("", "DELETE FROM orders"),
        bind("", ""),
        execute(""),
        sync(),
    ];
    wire.client(&batch.concat());
    assert!(!String::from_utf8_lossy(&wire.to_target).contains("DELETE"));
    assert_eq!(wire.target_got(), "PBEPS");
    wire.target(&[message(b'1', b""), message(b'2', b""), complete("SELECT 1"), failed("42601"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "1 2 C 25006 ZI");
    wire.client(&[parse("", "SELECT 2"), sync()].concat());
    assert_eq!(wire.target_got(), "PS", "the connection stays usable");
}

#[test]
fn an_error_of_the_target_hides_a_refusal_behind_it() {
    let mut wire = Wire::new();
    wire.client(
        &[parse("", "SELECT nope"), bind("", ""), execute(""), parse("", "DELETE FROM orders"), sync()].concat(),
    );
    wire.target(&[failed("42703"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "42703 ZI");
    assert!(matches!(wire.records.last(), Some(EventKind::Outcome { outcome, .. }) if outcome.skipped));
}

#[test]
fn a_bind_waits_where_a_parse_of_an_earlier_batch_is_not_answered() {
    let mut wire = Wire::new();
    wire.client(&[parse("a", "SELECT 1"), sync()].concat());
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    wire.target_got();
    wire.client(&[parse("a", "SELECT 2"), sync(), bind("", "a"), execute(""), sync()].concat());
    assert_eq!(wire.target_got(), "PS");
    wire.target(&[failed("42P05"), ready(b'I')].concat());
    assert_eq!(wire.target_got(), "BES");
}

#[test]
fn a_statement_that_the_target_never_took_is_not_known() {
    let mut wire = Wire::new();
    wire.client(&[parse("a", "SELECT 1"), sync()].concat());
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    wire.client(&[parse("a", "SELECT 2"), sync()].concat());
    wire.target(&[failed("42P05"), ready(b'I')].concat());
    wire.records.clear();
    wire.client(&[bind("", "a"), execute(""), sync()].concat());
    assert!(matches!(wire.records.first(), Some(EventKind::Statement { text, .. }) if &**text == "SELECT 1"));
}

#[test]
fn pipelined_simple_queries_are_judged_one_after_the_other() {
    let mut wire = Wire::new();
    wire.client(&[query("BEGIN"), query("UPDATE orders SET x = 1"), query("COMMIT")].concat());
    assert_eq!(wire.target_got(), "Q");
    assert!(!wire.connection.wants_client());
    wire.target(&[complete("BEGIN"), ready(b'T')].concat());
    wire.target(&[failed("42601"), ready(b'E')].concat());
    wire.target(&[complete("ROLLBACK"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "C ZT 25006 ZE C ZI");
}

#[test]
fn a_query_behind_a_batch_without_sync_gets_the_answers_out_and_cannot_hide_its_transaction() {
    let mut wire = Wire::new();
    let batch = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    wire.client(&[parse("", "SELECT 1"), sync(), batch, query("DELETE FROM orders").to_vec()].concat());
    assert_eq!(wire.target_got(), "PSPBEH", "the target is asked for what it holds back");
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "1 ZI");
    wire.target(&[message(b'1', b""), message(b'2', b""), complete("SELECT 1")].concat());
    assert_eq!(wire.target_got(), "Q", "the target's transaction has to fail");
    wire.target(&[failed("42601"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "1 2 C 25006 ZI");
}

#[test]
fn after_an_error_in_a_batch_everything_up_to_the_sync_is_dropped_here_as_it_is_there() {
    let mut wire = Wire::new();
    wire.client(&[parse("", "SELECT nope"), message(b'H', b"")].concat());
    wire.target(&failed("42703"));
    wire.client(&[query("SELECT 1").to_vec(), execute("")].concat());
    assert_eq!(wire.target_got(), "PH");
    wire.client(&sync());
    wire.target(&ready(b'I'));
    assert_eq!((wire.target_got(), wire.client_got()), ("S".to_owned(), "42703 ZI".to_owned()));
    wire.client(&query("SELECT 2"));
    assert_eq!(wire.target_got(), "Q", "the connection goes on");
}

#[test]
fn a_close_in_a_batch_that_fails_does_not_hide_what_runs_afterwards() {
    let mut wire = Wire::new();
    wire.client(&[parse("x", "SELECT 'seen'"), sync()].concat());
    wire.target(&[message(b'1', b""), ready(b'I')].concat());
    let failing = [parse("", "SELECT nope"), message(b'C', b"Sx\0"), sync()].concat();
    wire.client(&[failing, bind("", "x"), execute(""), sync()].concat());
    wire.target(&[failed("42703"), ready(b'I')].concat());
    let texts: Vec<_> = wire
        .records
        .iter()
        .filter_map(|kind| match kind {
            EventKind::Statement { text, .. } => Some(&**text),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["SELECT 'seen'"]);
}

#[test]
fn a_function_call_is_refused_and_unknown_messages_end_the_connection() {
    let mut wire = Wire::new();
    wire.client(&message(b'F', b"\0\0\0\x01\0\0\0\0\0\0"));
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), "08P01 ZI".to_owned()));
    let unknown = wire.input(Input::Client(Bytes::from_static(b"?\0\0\0\x04")));
    assert!(unknown.is_err());
    wire.input(Input::End(EndReason::Protocol)).unwrap();
    assert_eq!((wire.client_got(), wire.closed), ("08P01".to_owned(), Some(EndReason::Protocol)));
}

#[test]
fn stray_copy_messages_end_here() {
    let mut wire = Wire::new();
    wire.client(&[message(b'd', b"1\n"), message(b'c', b""), message(b'f', b"x\0")].concat());
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), String::new()));
    assert!(wire.input(Input::Upstream(Bytes::from(message(b'G', b"\0\0\0")))).is_err());
}

#[test]
fn losing_the_read_only_default_ends_the_connection() {
    let mut wire = Wire::new();
    wire.client(&query("SELECT 1"));
    wire.target(&message(b'S', b"default_transaction_read_only\0off\0"));
    assert_eq!(wire.closed, Some(EndReason::ReadOnlyLost));
}

#[test]
fn the_last_word_is_not_said_inside_a_row() {
    let mut wire = Wire::new();
    wire.client(&query("SELECT 1"));
    wire.target(&message(b'D', &[0; 100])[..50]);
    wire.to_client.clear();
    wire.input(Input::End(EndReason::Revoked)).unwrap();
    assert_eq!((wire.to_client.len(), wire.closed), (0, Some(EndReason::Revoked)));
}

#[test]
fn a_warning_waits_for_the_end_of_a_row() {
    let mut wire = Wire::new();
    wire.client(&query("SELECT 1"));
    let row = message(b'D', &[0; 100]);
    wire.target(&row[..50]);
    wire.input(Input::Expiring(600)).unwrap();
    assert_eq!(wire.to_client.len(), 50);
    wire.target(&row[50..]);
    assert_eq!(wire.client_got(), "D N");
    wire.input(Input::Expiring(60)).unwrap();
    assert!(String::from_utf8_lossy(&wire.to_client).contains("the grant ends in 60 seconds"));
    assert_eq!(wire.client_got(), "N");
}

#[test]
fn values_are_recorded_with_the_statement_they_were_bound_to() {
    let mut wire = Wire::new();
    let bound = message(b'B', b"\0\0\0\0\0\x01\0\0\0\x0242\0\0");
    wire.client(&[parse("", "SELECT $1"), bound, execute(""), sync()].concat());
    match wire.records.as_slice() {
        [EventKind::Statement { values: Some(values), .. }] => {
            assert_eq!(values, &[belay_model::BindValue::Text("42".to_owned())]);
        }
        other => panic!("{other:?}"),
    }
}

/// A conversation with most of the messages in it.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let client = [
        query("BEGIN").to_vec(),
        parse("s", "SELECT * FROM orders WHERE id = $1"),
        bind("p", "s"),
        message(b'D', b"Pp\0"),
        execute("p"),
        message(b'C', b"Pp\0"),
        sync(),
    ];
    let target = [
        complete("BEGIN"),
        ready(b'T'),
        message(b'1', b""),
        message(b'2', b""),
        message(b'T', b"\0\0"),
        message(b'D', &[7; 40]),
        message(b'D', &[8; 400]),
        complete("SELECT 2"),
        message(b'3', b""),
        ready(b'T'),
    ];
    (client.concat(), target.concat())
}

fn converse(cuts_client: &[usize], cuts_target: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<EventKind>) {
    let ((client, target), mut wire) = (conversation(), Wire::new());
    for piece in pieces(&client, cuts_client) {
        wire.client(piece);
    }
    for piece in pieces(&target, cuts_target) {
        wire.target(piece);
    }
    (wire.to_target, wire.to_client, wire.records)
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).filter(|piece| !piece.is_empty()).collect()
}

#[test]
fn a_conversation_arrives_whole() {
    let (client, target) = conversation();
    let (to_target, to_client, _) = converse(&[], &[]);
    assert_eq!((to_target, to_client), (client, target));
}

proptest! {
    #[test]
    fn where_the_network_cuts_makes_no_difference(
        client in prop::collection::vec(0usize..10_000, 0..20),
        target in prop::collection::vec(0usize..10_000, 0..20),
    ) {
        prop_assert_eq!(converse(&client, &target), converse(&[], &[]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(client in prop::collection::vec(any::<u8>(), 0..300), target in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut wire = Wire::new();
        let _ = wire.input(Input::Client(Bytes::from(client)));
        let _ = wire.input(Input::Upstream(Bytes::from(target)));
    }
}
