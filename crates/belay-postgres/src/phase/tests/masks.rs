//! Results with masked columns. The table is `app.c`, 100 in the target, with `id` (1) and `email` (2).

use super::*;
use belay_model::{Mask, MaskKind};

const TEXT: u32 = 25;
const INT8: u32 = 20;
const ID: (u32, i16, u32) = (100, 1, INT8);
const EMAIL: (u32, i16, u32) = (100, 2, TEXT);

fn masked_wire() -> Wire {
    let columns = MaskedColumns::new([(100, 2, MaskKind::LastFour)]);
    Wire::under(|grant| grant.masks = masks(), Some(columns))
}

fn masks() -> Vec<Mask> {
    vec![Mask { column: "app.c.email".parse().unwrap(), kind: MaskKind::LastFour }]
}

fn described(fields: &[(u32, i16, u32)], binary: bool) -> Vec<u8> {
    let mut body = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for (table, column, type_oid) in fields {
        body.extend_from_slice(b"x\0");
        body.extend_from_slice(&table.to_be_bytes());
        body.extend_from_slice(&column.to_be_bytes());
        body.extend_from_slice(&type_oid.to_be_bytes());
        body.extend_from_slice(&[0, 8, 255, 255, 255, 255, 0, u8::from(binary)]);
    }
    message(b'T', &body)
}

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    message(b'D', &body)
}

/// The rows that the client got, NULL as `-`; nothing else of what it got is looked at.
fn rows(wire: &Wire) -> Vec<String> {
    let bodies = messages(&wire.to_client).into_iter().filter(|(tag, _)| *tag == 'D').map(|(_, body)| body);
    let text = |body: &[u8]| {
        let (mut rest, mut values) = (&body[2..], Vec::new());
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            let end = 4 + usize::try_from(length).unwrap_or(0);
            values.push(if length < 0 { "-".to_owned() } else { String::from_utf8_lossy(&rest[4..end]).into_owned() });
            rest = &rest[end..];
        }
        values.join(" ")
    };
    bodies.map(text).collect()
}

fn select_of(fields: &[(u32, i16, u32)], values: &[&[&str]]) -> Vec<u8> {
    let rows = values.iter().flat_map(|values| row(values)).collect();
    [described(fields, false), rows, complete(&format!("SELECT {}", values.len())), ready(b'I')].concat()
}

/// That the connection ends at `bytes` of the target, that nothing of the value is shown, and that the client reads why.
#[track_caller]
fn ends_without_showing(wire: &mut Wire, bytes: &[u8]) {
    wire.target_got();
    assert!(wire.input(Input::Upstream(Bytes::copy_from_slice(bytes))).is_err());
    wire.input(Input::End(EndReason::Protocol)).unwrap();
    let said = String::from_utf8_lossy(&wire.to_client).into_owned();
    assert!(!said.contains("secret"), "{said}");
    assert!(said.contains("ended: ") && said.contains("[BLY-1012]"), "{said}");
    assert_eq!(wire.client_got().split(' ').next_back(), Some("42501"));
    wire.client(&query("SELECT 1"));
    assert_eq!(wire.target_got(), "", "nothing goes to the target any more");
}

#[test]
fn a_masked_column_of_a_simple_query_is_masked_and_nothing_else_changes() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 1)];
    wire.client(&query("SELECT id, email FROM c"));
    let answer = select_of(&[ID, EMAIL], &[&["1", "secret@home"], &["2", "ab"]]);
    wire.target(&answer);
    assert_eq!(rows(&wire), ["1 *******home", "2 **"]);
    assert!(wire.to_client.starts_with(&described(&[ID, EMAIL], false)), "the description passes as it came");
    assert_eq!(wire.client_got(), "T D D C ZI");
}

#[test]
fn of_several_statements_in_a_message_each_has_its_own_masks() {
    let mut wire = masked_wire();
    wire.shows = vec![(1, 0)];
    wire.client(&query("SELECT 'secret1'; SELECT email FROM c; SELECT 'secret2'"));
    let constant: (u32, i16, u32) = (0, 0, TEXT);
    let part = |field, value: &str| [described(&[field], false), row(&[value]), complete("SELECT 1")].concat();
    let answer = [part(constant, "secret1"), part(EMAIL, "secret@home"), part(constant, "secret2"), ready(b'I')];
    wire.target(&answer.concat());
    assert_eq!(rows(&wire), ["secret1", "*******home", "secret2"]);
}

#[test]
fn masked_rows_keep_their_place_among_the_others_wherever_the_network_cuts() {
    let notice = message(b'N', b"SNOTICE\0\0");
    let answer = [
        described(&[EMAIL], false),
        row(&["first@home"]),
        notice,
        row(&["second@home"]),
        row(&["third@home"]),
        complete("SELECT 3"),
        ready(b'I'),
    ]
    .concat();
    let run = |cuts: &[usize]| {
        let mut wire = masked_wire();
        wire.shows = vec![(0, 0)];
        wire.client(&query("SELECT email FROM c"));
        for piece in pieces(&answer, cuts) {
            wire.target(piece);
        }
        wire.to_client
    };
    let whole = run(&[]);
    for first in 0..answer.len() {
        assert_eq!(run(&[first, first + 7]), whole, "{first}");
    }
    assert_eq!(types(&whole), "TDNDDCZ");
}

#[test]
fn a_prepared_statement_is_described_before_each_first_execute_and_the_client_hears_nothing_of_it() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 1)];
    wire.client(&[parse("s", "SELECT id, email FROM c"), bind("", "s"), execute(""), sync()].concat());
    assert_eq!(wire.target_got(), "PBDES");
    let opening = [message(b'1', b""), message(b'2', b""), described(&[ID, EMAIL], false)].concat();
    let result = [row(&["1", "secret@home"]), complete("SELECT 1"), ready(b'I')].concat();
    wire.target(&[opening, result].concat());
    assert_eq!(rows(&wire), ["1 *******home"]);
    assert_eq!(wire.client_got(), "1 2 D C ZI");
    wire.client(&[bind("", "s"), message(b'D', b"P\0"), execute(""), sync()].concat());
    assert_eq!(wire.target_got(), "BDDES");
    let twice = [described(&[ID, EMAIL], true), described(&[ID, EMAIL], true)].concat();
    wire.target(&[message(b'2', b""), twice, row(&["????????", "secret@home"]), complete("SELECT 1")].concat());
    assert_eq!(rows(&wire), ["???????? *******home"], "binary text is text, and what is not masked stays");
    wire.target(&ready(b'I'));
    assert_eq!(wire.client_got(), "2 T D C ZI", "its own Describe is answered once");
}

#[test]
fn a_portal_stays_masked_over_its_executes() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&[parse("", "SELECT email FROM c"), bind("p", ""), execute("p"), message(b'H', b"")].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), described(&[EMAIL], false), row(&["one@home"])].concat());
    wire.target(&message(b's', b""));
    assert_eq!(wire.target_got(), "PBDEH");
    wire.client(&[execute("p"), sync()].concat());
    assert_eq!(wire.target_got(), "ES", "it is known by now");
    wire.target(&[row(&["two@home"]), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(rows(&wire), ["****home", "****home"]);
}

#[test]
fn a_type_that_is_not_text_is_null() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email FROM c"));
    wire.target(&select_of(&[(100, 2, INT8)], &[&["4111111111111111"]]));
    assert_eq!(rows(&wire), ["-"]);
}

#[test]
fn what_a_cursor_or_an_sql_prepared_statement_shows_is_masked_by_its_origin() {
    for text in ["FETCH 10 FROM c1", "EXECUTE s1"] {
        let mut wire = masked_wire();
        wire.client(&query("PREPARE s1 AS SELECT email, id FROM c"));
        wire.target(&[complete("PREPARE"), ready(b'I')].concat());
        wire.client(&query(text));
        wire.target(&select_of(&[EMAIL, ID], &[&["secret@home", "1"]]));
        assert_eq!(rows(&wire), ["*******home 1"], "{text}");
        wire.to_client.clear();
        wire.target_got();
        wire.client(&[parse("", text), bind("", ""), execute(""), sync()].concat());
        assert_eq!(wire.target_got(), "PBDES", "{text}");
        let opening = [message(b'1', b""), message(b'2', b""), described(&[EMAIL, ID], false)].concat();
        wire.target(&[opening, row(&["secret@home", "1"]), complete("FETCH 1"), ready(b'I')].concat());
        assert_eq!(rows(&wire), ["*******home 1"], "{text}");
    }
}

#[test]
fn a_portal_that_sql_declared_is_masked_by_its_origin_at_each_execute() {
    let mut wire = masked_wire();
    for _ in 0..2 {
        wire.to_client.clear();
        wire.client(&[execute("c1"), sync()].concat());
        assert_eq!(wire.target_got(), "DES");
        wire.target(&[described(&[EMAIL], false), row(&["secret@home"]), message(b's', b""), ready(b'T')].concat());
        assert_eq!(rows(&wire), ["*******home"]);
    }
}

#[test]
fn a_portal_keeps_the_masks_of_its_first_execute() {
    let mut wire = masked_wire();
    wire.client(&[parse("", "FETCH 2 FROM c1"), bind("p", ""), execute("p"), message(b'H', b"")].concat());
    let opening = [message(b'1', b""), message(b'2', b""), described(&[EMAIL], false)].concat();
    wire.target(&[opening, row(&["one@home"]), message(b's', b"")].concat());
    wire.target_got();
    // The client closes the cursor and declares one of this name over another table; the portal still has the rows.
    wire.client(&[execute("p"), sync()].concat());
    assert_eq!(wire.target_got(), "ES", "what the cursor's name means by now is not asked");
    wire.target(&[row(&["two@home"]), complete("FETCH 1"), ready(b'T')].concat());
    assert_eq!(rows(&wire), ["****home", "****home"]);
}

#[test]
fn an_own_describe_that_fails_fails_as_the_execute_would() {
    let mut wire = masked_wire();
    wire.client(&[execute("nope"), sync()].concat());
    wire.target(&[failed("34000"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "34000 ZI");
    assert!(
        matches!(wire.records.last(), Some(EventKind::Outcome { outcome, .. }) if outcome.sqlstate.as_deref() == Some("34000"))
    );
}

#[test]
fn where_masks_are_not_known_by_number_no_cursor_is_shown() {
    let mut wire = Wire::under(|grant| grant.masks = masks(), None);
    wire.client(&query("FETCH 1 FROM c1"));
    ends_without_showing(&mut wire, &select_of(&[EMAIL], &[&["secret@home"]]));
}

#[test]
fn a_result_that_shows_a_masked_column_elsewhere_than_it_was_judged_to_ends_the_connection() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email, id FROM c"));
    ends_without_showing(&mut wire, &select_of(&[ID, EMAIL], &[&["1", "secret@home"]]));
}

#[test]
fn a_masked_place_outside_the_result_ends_the_connection() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 2)];
    wire.client(&query("SELECT id, email FROM c"));
    ends_without_showing(&mut wire, &select_of(&[ID, (0, 0, TEXT)], &[&["1", "secret@home"]]));
}

#[test]
fn a_row_that_contradicts_its_description_ends_the_connection_and_those_before_it_have_passed() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 1)];
    wire.client(&query("SELECT id, email FROM c"));
    let before = [described(&[ID, EMAIL], false), row(&["1", "some@home"])].concat();
    let odd = row(&["2", "secret@home", "3"]);
    ends_without_showing(&mut wire, &[before, odd].concat());
}

#[test]
fn rows_without_a_description_end_the_connection() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email FROM c"));
    ends_without_showing(&mut wire, &row(&["secret@home"]));
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&[parse("", "SELECT email FROM c"), bind("", ""), execute(""), sync()].concat());
    let opening = [message(b'1', b""), message(b'2', b""), message(b'n', b"")].concat();
    ends_without_showing(&mut wire, &[opening, row(&["secret@home"])].concat());
}

#[test]
fn rows_that_no_statement_accounts_for_end_the_connection() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email FROM c"));
    let first = [described(&[EMAIL], false), complete("SELECT 0")].concat();
    ends_without_showing(&mut wire, &[first, described(&[EMAIL], false), row(&["secret@home"])].concat());
}

#[test]
fn copy_data_under_a_permit_with_masks_ends_the_connection() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email FROM c; COPY (SELECT 1) TO STDOUT"));
    let first = [described(&[EMAIL], false), complete("SELECT 0"), message(b'H', b"\0\0\0")].concat();
    ends_without_showing(&mut wire, &[first, message(b'd', b"secret@home\n")].concat());
}

#[test]
fn copy_data_of_a_grant_with_masks_passes_where_none_are_shown() {
    let mut wire = masked_wire();
    wire.client(&query("COPY (SELECT 1) TO STDOUT"));
    wire.target(&[message(b'H', b"\0\0\0"), message(b'd', b"1\n"), message(b'c', b""), complete("COPY 1")].concat());
    wire.target(&ready(b'I'));
    assert_eq!(wire.client_got(), "H d c C ZI");
}

#[test]
fn a_masked_row_is_bounded() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email FROM c"));
    wire.target(&described(&[EMAIL], false));
    ends_without_showing(&mut wire, b"D\x01\0\0\x01\0\x01\0\x01\0\0secret");
}

#[test]
fn a_large_masked_row_comes_whole_in_pieces() {
    let mut wire = masked_wire();
    wire.shows = vec![(0, 0)];
    wire.client(&query("SELECT email FROM c"));
    let long = "x".repeat(1_000_000);
    let answer = select_of(&[EMAIL], &[&[&long]]);
    answer.chunks(65_536).for_each(|chunk| wire.target(chunk));
    assert_eq!(rows(&wire), [format!("{}xxxx", "*".repeat(999_996))]);
    assert_eq!(wire.client_got(), "T D C ZI");
}

#[test]
fn results_without_masked_columns_pass_as_they_came() {
    let mut wire = masked_wire();
    wire.client(&query("SELECT id FROM c"));
    let answer = select_of(&[ID], &[&["1"], &["2"]]);
    wire.target(&answer);
    assert_eq!(wire.to_client, answer);
    wire.client(&[parse("", "SELECT id FROM c"), bind("", ""), execute(""), sync()].concat());
    assert_eq!(wire.target_got(), "QPBES", "nobody needs it described");
}

proptest! {
    #[test]
    fn whatever_the_target_sends_the_value_is_not_shown(
        noise in prop::collection::vec(any::<u8>(), 0..60),
        at in 0usize..200,
        extended in any::<bool>(),
    ) {
        let mut wire = masked_wire();
        wire.shows = vec![(0, 0)];
        let mut answer = Vec::new();
        if extended {
            wire.client(&[parse("", "SELECT email FROM c"), bind("", ""), execute(""), sync()].concat());
            answer = [message(b'1', b""), message(b'2', b"")].concat();
        } else {
            wire.client(&query("SELECT email FROM c"));
        }
        answer.extend(described(&[EMAIL], false));
        answer.extend(row(&["secretsecretsecret"]));
        answer.extend([complete("SELECT 1"), ready(b'I')].concat());
        let at = at % answer.len();
        let start = answer.len().min(at + noise.len());
        answer.splice(at..start, noise.iter().copied());
        let _ = wire.input(Input::Upstream(Bytes::from(answer)));
        let _ = wire.input(Input::End(EndReason::Protocol));
        // Noise may turn the row into a message of another kind that cannot hold a value; rows and COPY data may.
        let shown: Vec<u8> = raw_rows(&wire.to_client);
        prop_assert!(!shown.windows(10).any(|window| window == b"secretsecr"));
    }
}

/// The bodies of rows and COPY data, as far as there are whole messages.
fn raw_rows(mut bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while bytes.len() >= 5 {
        let end = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize + 1;
        let Some((message, rest)) = bytes.split_at_checked(end) else { break };
        if matches!(message[0], b'D' | b'd') {
            all.extend_from_slice(&message[5..]);
        }
        bytes = rest;
    }
    all
}
