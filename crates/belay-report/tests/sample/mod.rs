//! A ledger in memory, in which one of two sessions is asked for, approved, used, changed, and given back in part.

use belay_ledger::{
    Checkpoint, Encoder, FRAME_HEAD, FRAME_TAIL, Hash, InclusionProof, Nodes, Position, Record, Signer, VerifierKey,
    leaf, node,
};
use belay_model::Event;
use belay_report::{Document, RowsBefore, Selection, Subject, Taken, Values, ValuesOfTable, signed_text};
use serde_json::{Value, json};
use std::convert::Infallible;

pub(crate) fn signer() -> Signer {
    Signer::new("belay/test", &[7; 32]).unwrap()
}

pub(crate) fn keys() -> Vec<VerifierKey> {
    vec![signer().verifier().clone()]
}

/// The payloads of the ledger's records.
pub(crate) fn ledger() -> Vec<String> {
    let mut encoder = Encoder::new(Position::START);
    let payload = |event: &Value| {
        let event: Event = serde_json::from_value(event.clone()).unwrap();
        let mut frame = Vec::new();
        encoder.append(&event, &mut frame).unwrap();
        String::from_utf8(frame[FRAME_HEAD..frame.len() - FRAME_TAIL].to_vec()).unwrap()
    };
    events().iter().map(payload).collect()
}

/// The document of a session or request, as the server makes it.
pub(crate) fn document(subject: &str, payloads: &[String]) -> Document {
    let subject: Subject = subject.parse().unwrap();
    let leaves: Vec<Hash> = payloads.iter().map(|payload| leaf(payload.as_bytes())).collect();
    let size = leaves.len() as u64;
    let root = root(&leaves);
    let read: Vec<Record> = payloads.iter().map(|payload| Record::decode(payload.as_bytes()).unwrap()).collect();
    let mut selection = Selection::within(subject, read.iter().map(|record| &record.event)).unwrap();
    let taken: Vec<Taken> = read
        .iter()
        .zip(payloads)
        .filter(|(record, payload)| selection.may_take(payload) && selection.take(&record.event))
        .map(|(record, payload)| Taken { record: record.clone(), payload: payload.clone(), content: None })
        .collect();
    let mut nodes = Leaves(leaves);
    let proof = |seq| InclusionProof::make(&mut nodes, seq, size).unwrap().unwrap();
    let proofs = taken.iter().map(|taken| taken.record.seq).map(proof).collect();
    let checkpoint = Checkpoint { origin: "belay/test".to_owned(), size, root };
    Document::of(subject, &taken, Some((checkpoint.sign(&[&signer()]).to_string(), proofs)))
}

/// The same with rows before and after, signed.
pub(crate) fn signed(subject: &str, payloads: &[String]) -> Document {
    let mut document = document(subject, payloads);
    let row = |status: &str| vec![Some("41".to_owned()), Some(status.to_owned()), None];
    let table = ValuesOfTable {
        table: "public.orders".to_owned(),
        columns: vec!["id".to_owned(), "status".to_owned(), "note".to_owned()],
        rows: vec![RowsBefore { before: Some(row("open")), after: Some(row("<b>paid</b>")), times: 1 }],
        left_out: 1,
    };
    document.values = vec![Values { change: "c_1".to_owned(), tables: vec![table] }];
    let text = signed_text("belay/test", &document);
    document.signature = Some(belay_ledger::Note::sign(text, &[&signer()]).to_string());
    document
}

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let place = |index: u64| usize::try_from(index << level).unwrap();
        Ok(root(&self.0[place(index)..place(index + 1)]))
    }
}

fn root(leaves: &[Hash]) -> Hash {
    if let [one] = leaves {
        return *one;
    }
    let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
    node(root(left), root(right))
}

fn events() -> Vec<Value> {
    const AT: i64 = 1_795_402_019_000_000;
    let orders = |keys: Value, updated: u64| json!([{"table": "public.orders", "inserted": 0, "updated": updated, "deleted": 0, "keys": keys}]);
    let here = |kind: Value| {
        let mut event =
            json!({"who": "alice", "target": "orders", "grant": "g_1", "session": "s_1", "connection": "n_1"});
        event.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        event
    };
    let kept = |change: &str, keys: Value, updated: u64, more: Value| {
        let mut event = here(
            json!({"kind": "change_kept", "change": change, "tables": orders(keys, updated), "rows": updated, "fingerprint": "f00d"}),
        );
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let statement = |number: u64, text: &str, effect: &str| {
        here(
            json!({"kind": "statement", "statement": number, "text": text, "effect": effect, "relations": ["public.orders"]}),
        )
    };
    let outcome = |number: u64, rows: u64| {
        here(json!({"kind": "outcome", "statement": number, "rows": rows, "micros": 1234, "transaction": "I"}))
    };
    let mut events = vec![
        json!({"kind": "server_started", "version": "0.1.0"}),
        json!({"who": "alice", "target": "orders", "kind": "request_made", "request": "r_1", "resources": ["public.*"],
            "effects": {"read": true, "write": true, "direct": true, "all": false}, "duration": "1h",
            "reason": "INC-4881: <script>alert(1)</script> two orders are stuck", "break_glass": false, "rule": "u_1"}),
        json!({"who": "mallory", "target": "orders", "kind": "request_made", "request": "r_2", "resources": ["public.*"],
            "effects": {"read": true, "write": false, "direct": false, "all": false}, "duration": "1m", "reason": "other",
            "break_glass": false, "rule": null}),
        json!({"who": "bob", "target": "orders", "kind": "request_approved", "request": "r_1", "still_needed": 0}),
        json!({"who": "bob", "target": "orders", "grant": "g_1", "kind": "grant_made", "request": "r_1",
            "ends_at": AT + 3_600_000_000, "use_by": AT + 600_000_000}),
        json!({"who": "bob", "target": "orders", "grant": "g_2", "kind": "grant_made", "request": "r_2",
            "ends_at": AT + 60_000_000, "use_by": AT + 60_000_000}),
        json!({"who": "alice", "target": "orders", "grant": "g_1", "kind": "token_claimed"}),
        here(
            json!({"kind": "login", "client": "10.0.0.7", "application": "psql", "database": "orders", "backend": 41}),
        ),
        statement(1, "SELECT * FROM orders WHERE status = 'open' AND note <> '\"grant\":\"g_2\"'", "read"),
        json!({"who": "mallory", "target": "orders", "grant": "g_2", "session": "s_2", "connection": "n_2", "kind": "statement",
            "statement": 1, "text": "SELECT '\"grant\":\"g_1\"'", "effect": "read"}),
        outcome(1, 2),
        here(
            json!({"kind": "statement", "statement": 2, "text": "DROP TABLE orders", "effect": "definition", "denied": "BLY-1002",
            "because": "the grant writes rows only"}),
        ),
        statement(3, "UPDATE orders SET status = $1 WHERE id IN (41, 57)", "write"),
        kept("c_1", json!(["41"]), 2, json!({})),
        here(json!({"kind": "change_rows", "change": "c_1", "table": "public.orders", "keys": ["57"]})),
        outcome(3, 2),
        here(json!({"kind": "change_committed", "change": "c_1", "transaction": "771"})),
        here(
            json!({"kind": "plan_made", "plan": "p_1", "tables": orders(json!(["60"]), 1), "rows": 1, "fingerprint": "abcd",
            "approvals_needed": 1}),
        ),
        json!({"who": "bob", "target": "orders", "grant": "g_1", "session": "s_1", "kind": "plan_approved", "plan": "p_1",
            "fingerprint": "abcd", "still_needed": 0}),
        json!({"who": "alice", "target": "orders", "grant": "g_1", "kind": "plan_started", "plan": "p_1", "fingerprint": "abcd"}),
        kept("c_2", json!(["60"]), 1, json!({"plan": "p_1"})),
        here(json!({"kind": "change_committed", "change": "c_2"})),
        here(json!({"kind": "plan_applied", "plan": "p_1", "change": "c_2", "rows": 1, "fingerprint": "abcd"})),
        here(json!({"kind": "connection_ended", "reason": "closed", "in_transaction": false})),
    ];
    // Given back under another grant, after the session.
    let carol = |kind: Value| {
        let mut event = json!({"who": "carol", "target": "orders", "grant": "g_9"});
        event.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        event
    };
    events.extend([
        json!({"who": "bob", "target": "orders", "grant": "g_1", "kind": "grant_extended", "ends_at": AT + 7_200_000_000_i64}),
        json!({"who": "bob", "target": "orders", "grant": "g_1", "kind": "grant_ended", "reason": "revoked"}),
        json!({"who": "bob", "target": "orders", "grant": "g_1", "session": "s_1", "kind": "session_ended", "reason": "revoked"}),
        carol(json!({"kind": "change_kept", "change": "c_3", "tables": orders(json!(["41"]), 1), "rows": 1, "fingerprint": "beef",
            "reverts": ["c_1"], "partial": true})),
        carol(json!({"kind": "change_committed", "change": "c_3"})),
        carol(json!({"kind": "change_reverted", "change": "c_1", "by": "c_3"})),
        json!({"kind": "server_stopped"}),
    ]);
    for (at, event) in events.iter_mut().enumerate() {
        event["at"] = (AT + i64::try_from(at).unwrap() * 1_000_000).into();
    }
    events
}
