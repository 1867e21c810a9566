//! What a report says, and that nobody can make it say something else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what goes wrong in a test stops it")]

mod sample;

use belay_report::{Fault, check, check_page, embedded, page};
use sample::{document, keys, ledger, signed};
use serde_json::Value;

fn json(document: &belay_report::Document) -> String {
    serde_json::to_string(document).unwrap()
}

#[test]
fn a_session_is_told_from_its_request_to_what_is_not_given_back() {
    let document = document("s_1", &ledger());
    let report = &document.report;
    let request = report.request.as_ref().unwrap();
    assert_eq!((request.id.as_str(), request.who.as_deref(), request.seconds), ("r_1", Some("alice"), 3_600));
    assert_eq!(report.summary.approved_by, ["bob"]);
    let acts: Vec<&str> = report.grants[0].steps.iter().map(|step| step.act.as_str()).collect();
    assert_eq!(acts, ["token_claimed", "grant_extended", "grant_ended"]);
    let connection = &report.sessions[0].connections[0];
    assert_eq!(connection.statements.iter().map(|statement| statement.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(connection.statements[1].refused.as_deref(), Some("BLY-1002"));
    assert_eq!(connection.statements[2].outcome.as_ref().unwrap().rows, Some(2));
    let third = &connection.statements[2];
    assert_eq!((third.plan.as_deref(), third.change.as_deref()), (Some("p_1"), Some("c_2")));
    assert_eq!((report.plans[0].state.as_str(), report.plans[0].steps.len()), ("applied", 3));
    let changes: Vec<_> = report.changes.iter().map(|change| (change.id.as_str(), change.state.as_str())).collect();
    assert_eq!(changes, [("c_1", "committed"), ("c_2", "committed"), ("c_3", "committed")]);
    assert_eq!(report.changes[0].tables[0].keys, ["41", "57"], "with the keys of the record that follows");
    assert_eq!(
        (report.changes[0].statement, report.changes[0].reverted_by.as_slice()),
        (Some(3), &["c_3".to_owned()][..])
    );
    let left: Vec<_> =
        report.not_given_back.iter().map(|left| (&*left.change, left.tables[0].keys.join(","))).collect();
    assert_eq!(left, [("c_1", "57".to_owned()), ("c_2", "60".to_owned())]);
    let summary = &report.summary;
    assert_eq!((summary.statements, summary.refused, summary.rows_changed), (3, 1, 3));
}

#[test]
fn nothing_of_another_session_is_in_it() {
    for subject in ["s_1", "r_1"] {
        let document = document(subject, &ledger());
        let all: String = document.records.iter().map(|record| record.payload.as_str()).collect();
        assert!(!all.contains("mallory") && !all.contains("server_started"), "{subject}");
        assert!(all.contains("carol"), "{subject}: who gave back what it changed belongs to it");
    }
}

#[test]
fn a_report_and_its_page_are_checked_with_the_public_key_alone() {
    let ledger = ledger();
    for document in [document("s_1", &ledger), signed("s_1", &ledger), document("r_1", &ledger)] {
        let checked = check(&json(&document), &keys()).unwrap();
        assert_eq!((checked.checkpoint.size, checked.is_signed), (ledger.len() as u64, document.signature.is_some()));
        let page = page(&document);
        assert_eq!(check_page(&page, &keys()).unwrap().document, document);
        assert_eq!(
            serde_json::from_str::<Value>(&embedded(&page).unwrap()).unwrap(),
            serde_json::to_value(&document).unwrap()
        );
    }
    let other = belay_ledger::Signer::new("belay/test", &[8; 32]).unwrap().verifier().clone();
    assert!(matches!(check(&json(&document("s_1", &ledger)), &[other]), Err(Fault::Checkpoint(_))));
}

#[test]
fn each_kind_of_forgery_is_named() {
    let ledger = ledger();
    let forged = |forge: &dyn Fn(&mut belay_report::Document)| {
        let mut document = signed("s_1", &ledger);
        forge(&mut document);
        check(&json(&document), &keys()).unwrap_err().to_string()
    };
    let said = forged(&|document| document.report.changes[0].tables[0].keys[0] = "42".to_owned());
    assert_eq!(said, "its text is not what its records say: `changes.0.tables.0.keys.0` differs");
    let said = forged(&|document| document.records[1].payload = document.records[1].payload.replace("bob", "eve"));
    assert!(said.starts_with("record 3: it is not the record that is in the ledger"), "{said}");
    let said = forged(&|document| document.values[0].tables[0].rows[0].times = 2);
    assert_eq!(said, "the server's signature: it is not of this report");
    let said = forged(&|document| document.signature = None);
    assert_eq!(said, "the server's signature: rows before and after are there, and no signature");
    assert!(forged(&|document| document.proof = None).contains("has no proof"));
    let size = |document: &mut belay_report::Document| {
        let proof = document.proof.as_mut().unwrap();
        proof.checkpoint = proof.checkpoint.replacen("belay/test\n31\n", "belay/test\n32\n", 1);
    };
    assert_eq!(forged(&size), "the checkpoint: none of these keys has signed it as it is");
    let left_out = |document: &mut belay_report::Document| {
        *document = self::document("s_1", &ledger);
        document.records.remove(2);
    };
    let said = forged(&left_out);
    assert_eq!(said, "the checkpoint: the proof has hashes that nothing leads to");
}

#[test]
fn a_page_that_shows_something_else_than_its_data_is_found() {
    let page = page(&signed("s_1", &ledger()));
    for (from, to) in
        [("bob", "eve"), ("57", "58"), ("refused", "allowed"), ("</main>", "<p>approved by all</p></main>")]
    {
        let forged = page.replacen(from, to, 1);
        assert_ne!(forged, page);
        assert!(check_page(&forged, &keys()).is_err(), "{from}");
    }
}

#[test]
fn nothing_that_people_wrote_becomes_a_part_of_the_page() {
    let page = page(&signed("s_1", &ledger()));
    assert!(!page.contains("<script>alert") && !page.contains("<b>paid"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("&lt;b&gt;paid&lt;/b&gt;"));
    assert_eq!(page.matches("<script").count(), 1, "the data, which are no program");
}

/// Numbers that look like those of a die, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }
}

/// Changes one thing somewhere in a value.
fn edit(value: &mut Value, dice: &mut Dice) {
    let inside = |dice: &mut Dice| dice.below(4) > 0;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(dice.below(fields.len())).unwrap().clone();
            match dice.below(20) {
                0 => drop(fields.remove(&key)),
                1 => drop(fields.insert(format!("{key}x"), Value::from(1))),
                _ => edit(&mut fields[&key], dice),
            }
        }
        Value::Array(items) if !items.is_empty() && inside(dice) => {
            let at = dice.below(items.len());
            edit(&mut items[at], dice);
        }
        Value::Array(items) if !items.is_empty() => match dice.below(3) {
            0 => drop(items.remove(dice.below(items.len()))),
            1 => items.push(items[dice.below(items.len())].clone()),
            _ => {
                let (one, other) = (dice.below(items.len()), dice.below(items.len()));
                items.swap(one, other);
            }
        },
        Value::Array(items) => items.push(Value::from("41")),
        Value::String(text) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = dice.below(letters.len() + 1);
            match (letters.get(at).copied(), dice.below(3)) {
                (Some(_), 0) => drop(letters.remove(at)),
                (Some(letter), 1) => letters[at] = if letter == 'e' { 'a' } else { 'e' },
                (Some(letter), _) if letter.is_ascii_alphabetic() => letters[at] = (letter as u8 ^ 0x20) as char,
                _ => letters.insert(at, '1'),
            }
            *text = letters.into_iter().collect();
        }
        Value::Number(number) => *value = Value::from(number.as_u64().unwrap_or(0) + 1),
        Value::Bool(flag) => *flag = !*flag,
        Value::Null | Value::Object(_) => *value = Value::from("x"),
    }
}

#[test]
fn a_thousand_random_edits_are_all_found() {
    let document = serde_json::to_value(signed("s_1", &ledger())).unwrap();
    let (mut dice, mut made) = (Dice(41), 0);
    while made < 1_000 {
        let mut edited = document.clone();
        edit(&mut edited, &mut dice);
        if edited != document {
            made += 1;
            let json = edited.to_string();
            assert!(check(&json, &keys()).is_err(), "edit {made} is not found: {json}");
        }
    }
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let text = json(&signed("s_1", &ledger()));
    let (before, after) = text.split_once(r#""fields":{""#).unwrap();
    let key = after.split('"').next().unwrap();
    // Readers that take the first of two see what nobody has signed.
    let forged = format!(r#"{before}"fields":{{"{key}":"forged","{after}"#);
    let said = check(&forged, &keys()).unwrap_err().to_string();
    assert!(said.contains(&format!("`{key}` comes twice")), "{said}");
    assert!(check(&text, &keys()).is_ok());
}
