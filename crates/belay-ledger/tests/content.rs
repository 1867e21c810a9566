//! What is sealed in a record, and what stays in the open.

#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests as tests")]

use belay_ledger::{Encoder, FRAME_HEAD, FRAME_TAIL, Opened, Owner, Position, Record, RecordError, SALT_LEN, Seal};
use belay_model::{ChangeId, Event, EventKind, PlanId, SessionId};
use serde_json::{Value, json};

/// Turns every bit.
struct Turning;

impl Seal for Turning {
    fn salt(&mut self) -> Result<[u8; SALT_LEN], String> {
        Ok([7; SALT_LEN])
    }

    fn seal(&mut self, _: Owner, _: u64, content: &mut Vec<u8>) -> Result<(), String> {
        for byte in content.iter_mut() {
            *byte = !*byte;
        }
        Ok(())
    }
}

fn turned_back(mut bytes: Vec<u8>) -> Opened {
    for byte in &mut bytes {
        *byte = !*byte;
    }
    Opened::Content(bytes)
}

fn payload(event: &Value) -> Vec<u8> {
    let event: Event = serde_json::from_value(event.clone()).unwrap();
    let mut frame = Vec::new();
    Encoder::new(Position::START).append_sealed(&event, &mut Turning, &mut frame).unwrap();
    frame[FRAME_HEAD..frame.len() - FRAME_TAIL].to_vec()
}

fn events() -> Vec<Value> {
    let table = |keys: &[&str]| json!({ "table": "public.orders", "inserted": 0, "updated": 3, "deleted": 0, "keys": keys, "more_keys": 1 });
    let head =
        json!({ "at": 5, "who": "ann", "target": "orders", "grant": "g_3", "session": "s_7", "connection": "n_9" });
    let with = |rest: Value| {
        let mut event = head.clone();
        event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        event
    };
    vec![
        with(
            json!({ "kind": "statement", "statement": 1, "text": "SELECT 'sentinel'", "values": [{ "text": "sentinel" }],
            "effect": "read", "denied": "BLY-1001", "because": "sentinel" }),
        ),
        with(
            json!({ "kind": "login", "client": "[::1]:5000", "application": "sentinel", "database": "shop", "backend": 5 }),
        ),
        with(
            json!({ "kind": "change_kept", "change": "c_1", "tables": [table(&["sentinel", "42"]), table(&[])], "rows": 6,
            "fingerprint": "f" }),
        ),
        with(json!({ "kind": "change_rows", "change": "c_1", "table": "public.orders", "keys": ["sentinel"] })),
        with(
            json!({ "kind": "plan_made", "plan": "p_1", "tables": [table(&["sentinel"])], "rows": 3, "fingerprint": "f",
            "approvals_needed": 1 }),
        ),
    ]
}

#[test]
fn content_is_nowhere_in_a_record_and_comes_back_whole() {
    for event in events() {
        let payload = payload(&event);
        let text = String::from_utf8(payload.clone()).unwrap();
        assert!(!text.contains("sentinel"), "{text}");
        assert!(text.contains(r#""session":"s_7""#), "{text}");
        let (record, content) = Record::open(&payload, |sealed| turned_back(sealed.bytes)).unwrap();
        assert_eq!(record.event, serde_json::from_value(event).unwrap());
        assert!(!record.erased && content.as_deref().unwrap().contains("sentinel"));
        assert_eq!(Record::with_content(&payload, content.as_deref()).unwrap(), record);
    }
}

#[test]
fn rows_of_a_plan_or_change_in_no_session_are_sealed_under_a_key_of_its_own() {
    let owners = [Owner::Change(ChangeId(1)), Owner::Change(ChangeId(1)), Owner::Plan(PlanId(1))];
    for (mut event, owner) in events().into_iter().skip(2).zip(owners) {
        event.as_object_mut().unwrap().remove("session");
        let payload = payload(&event);
        assert!(!String::from_utf8(payload.clone()).unwrap().contains("sentinel"));
        let mut asked = None;
        let opened = Record::open(&payload, |sealed| {
            asked = Some(sealed.owner);
            turned_back(sealed.bytes)
        });
        assert_eq!(asked, Some(owner));
        assert_eq!(opened.unwrap().0.event, serde_json::from_value(event).unwrap());
        assert_eq!(owner.to_string().parse::<Owner>().unwrap(), owner);
    }
    assert_eq!("s_7".parse::<Owner>().unwrap(), Owner::Session(SessionId(7)));
}

#[test]
fn what_is_erased_says_so_and_keeps_its_counts() {
    let erased: Vec<Record> = events().iter().map(|event| Record::decode(&payload(event)).unwrap()).collect();
    assert!(erased.iter().all(|record| record.erased));
    let shown: Vec<Value> = erased.iter().map(|record| serde_json::to_value(record).unwrap()).collect();
    assert_eq!((&shown[0]["text"], &shown[0]["denied"]), (&json!("[erased]"), &json!("BLY-1001")));
    assert_eq!(shown[1]["application"], "[erased]");
    assert_eq!((&shown[2]["tables"][0]["keys"], &shown[2]["tables"][0]["more_keys"]), (&Value::Null, &json!(3)));
}

#[test]
fn content_that_was_not_sealed_in_it_is_refused() {
    let [first, second] = [0, 2].map(|at| payload(&events()[at]));
    let (_, content) = Record::open(&first, |sealed| turned_back(sealed.bytes)).unwrap();
    assert_eq!(Record::with_content(&second, content.as_deref()), Err(RecordError::Content));
    assert!(matches!(Record::open(&first, |_| Opened::Broken), Err(RecordError::Content)));
    let open = json!({ "at": 5, "kind": "server_stopped" });
    assert_eq!(Record::with_content(&payload(&open), content.as_deref()), Err(RecordError::Content));
}

#[test]
fn a_text_that_is_too_long_is_cut_and_its_hash_is_sealed_too() {
    let mut event = events().remove(0);
    event["text"] = json!("sentinel".repeat(200_000));
    let payload = payload(&event);
    assert!(!String::from_utf8(payload.clone()).unwrap().contains("sha256"));
    let (record, _) = Record::open(&payload, |sealed| turned_back(sealed.bytes)).unwrap();
    assert_eq!(record.cut.unwrap().bytes, 1_600_000);
}

#[test]
fn a_record_of_an_earlier_version_is_read_as_it_is() {
    let event: Event = serde_json::from_value(events().remove(0)).unwrap();
    let mut frame = Vec::new();
    Encoder::new(Position::START).append(&event, &mut frame).unwrap();
    let record = Record::decode(&frame[FRAME_HEAD..frame.len() - FRAME_TAIL]).unwrap();
    assert_eq!((record.erased, record.event), (false, event));
}

#[test]
fn a_statement_that_is_too_long_is_cut_so_that_it_fits_when_it_is_sealed() {
    let long = "\u{1}".repeat(1 << 20);
    let values = vec![json!({ "text": "\u{1}".repeat(256) }); 5000];
    let relations: Vec<String> = (0..1000).map(|n| format!("{n:\u{1}>63}.{n:\u{1}>63}")).collect();
    let event = json!({ "at": 5, "session": "s_7", "kind": "statement", "statement": 1, "text": long, "because": long,
        "values": values, "effect": "write", "relations": relations });
    let payload = payload(&event);
    assert!(payload.len() <= belay_ledger::MAX_PAYLOAD, "{}", payload.len());
    let record = Record::decode(&payload).unwrap();
    assert!(matches!(record.event.kind, EventKind::Statement { .. }));
}
