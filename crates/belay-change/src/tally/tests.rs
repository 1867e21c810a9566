use super::*;
use crate::samples::{table, tally};
use proptest::prelude::*;

const CAP: u64 = 1000;

fn totals(table: &Table, volatile: &[u16], images: &[(Side, &str)]) -> Totals {
    tally(table, volatile, images).finish()
}

fn counts(totals: &Totals) -> (u64, u64, u64) {
    let of = &totals.tables[0];
    (of.inserted, of.updated, of.deleted)
}

#[test]
fn rows_are_told_by_the_key() {
    let images =
        [(Side::Old, "(1,a)"), (Side::Old, "(2,b)"), (Side::New, "(2,c)"), (Side::New, "(3,d)"), (Side::New, "(4,d)")];
    assert_eq!(counts(&totals(&table("orders", &[0]), &[], &images)), (2, 1, 1));
    assert_eq!(counts(&totals(&table("orders", &[]), &[], &images)), (3, 0, 2));
}

#[test]
fn equal_images_cancel_as_often_as_they_stand_on_both_sides() {
    let images =
        [(Side::Old, "(1,a)"), (Side::New, "(1,a)"), (Side::New, "(1,a)"), (Side::New, "(1,a)"), (Side::Old, "(2,b)")];
    assert_eq!(counts(&totals(&table("log", &[]), &[], &images)), (2, 0, 1));
    let nothing = totals(&table("log", &[]), &[], &images[..2]);
    assert_eq!(counts(&nothing), (0, 0, 0));
    assert_eq!(nothing.fingerprint, Tally::new(CAP).finish().fingerprint);
}

#[test]
fn the_same_images_of_another_table_or_on_the_other_side_are_another_change() {
    let one = totals(&table("orders", &[0]), &[], &[(Side::New, "(1,a)")]).fingerprint;
    assert_ne!(one, totals(&table("order", &[0]), &[], &[(Side::New, "(1,a)")]).fingerprint);
    assert_ne!(one, totals(&table("orders", &[0]), &[], &[(Side::Old, "(1,a)")]).fingerprint);
    assert_ne!(one, totals(&table("orders", &[0]), &[], &[(Side::New, "(1,a)"), (Side::New, "(1,a)")]).fingerprint);
}

#[test]
fn volatile_values_do_not_count_on_the_new_side_and_rows_still_do() {
    let of = table("orders", &[0]);
    let one = totals(&of, &[1], &[(Side::Old, "(1,a)"), (Side::New, "(1,\"b, c\")")]).fingerprint;
    assert_eq!(one, totals(&of, &[1], &[(Side::Old, "(1,a)"), (Side::New, "(1,)")]).fingerprint);
    // Somebody changed the row in the meantime.
    assert_ne!(one, totals(&of, &[1], &[(Side::Old, "(1,x)"), (Side::New, "(1,b)")]).fingerprint);
    // Another row.
    assert_ne!(one, totals(&of, &[1], &[(Side::Old, "(2,a)"), (Side::New, "(2,b)")]).fingerprint);
}

#[test]
fn a_row_that_changes_in_its_volatile_column_alone_is_still_part_of_the_change() {
    let of = table("orders", &[0]);
    let one = totals(&of, &[1], &[(Side::Old, "(1,a)"), (Side::New, "(1,b)")]);
    assert_eq!(counts(&one), (0, 1, 0));
    assert_ne!(one.fingerprint, Tally::new(CAP).finish().fingerprint);
}

#[test]
fn a_tally_is_bounded_and_an_image_that_cannot_be_read_is_an_error() {
    let mut tally = Tally::new(1);
    let number = tally.table(&table("orders", &[0]), &[]).unwrap();
    assert_eq!(tally.image(number, Side::New, b"(1,2,3)"), Err(BadRecord::Fields { found: 3, wanted: 2 }.into()));
    assert_eq!(tally.image(9, Side::New, b"(1,2)"), Err(TallyError::UnknownTable));
    tally.image(number, Side::New, b"(1,a)").unwrap();
    assert_eq!(tally.image(number, Side::New, b"(2,a)"), Err(TallyError::TooMany(1)));
    assert_eq!(tally.images(), 1);
}

#[test]
fn a_tally_like_a_plan_masks_what_the_plan_masks() {
    let of = table("orders", &[0]);
    let plan = crate::samples::change(&of, &[1]);
    let fingerprint = |value: &str| {
        let mut tally = Tally::like(CAP, std::slice::from_ref(&plan));
        let number = Sink::table(&mut tally, &of).unwrap();
        Sink::image(&mut tally, number, Side::New, format!("(1,{value})").as_bytes()).unwrap();
        tally.finish().fingerprint
    };
    assert_eq!(fingerprint("10:00"), fingerprint("10:01"));
}

#[test]
fn a_hundred_thousand_rows_take_no_time_to_speak_of() {
    let of = table("orders", &[0]);
    let mut tally = Tally::new(200_000);
    let number = tally.table(&of, &[]).unwrap();
    for row in 0..100_000 {
        tally.image(number, Side::Old, format!("({row},\"some text, old\")").as_bytes()).unwrap();
        tally.image(number, Side::New, format!("({row},\"some text, new\")").as_bytes()).unwrap();
    }
    assert_eq!(counts(&tally.finish()), (0, 100_000, 0));
}

fn sides() -> impl Strategy<Value = Vec<(bool, u8, String)>> {
    prop::collection::vec((any::<bool>(), 0..6u8, "[a-c ,\"]{0,3}"), 0..20)
}

fn fingerprint(rows: &[(bool, u8, String)], key: &[u16]) -> String {
    let images: Vec<(Side, String)> = rows
        .iter()
        .map(|(old, id, text)| {
            let image = crate::write_record(&[Some(id.to_string()), Some(text.clone())]);
            (if *old { Side::Old } else { Side::New }, String::from_utf8(image).unwrap())
        })
        .collect();
    let images: Vec<(Side, &str)> = images.iter().map(|(side, image)| (*side, image.as_str())).collect();
    totals(&table("orders", key), &[], &images).fingerprint
}

proptest! {
    #[test]
    fn the_fingerprint_does_not_depend_on_the_order(
        (rows, shuffled) in sides().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        prop_assert_eq!(fingerprint(&rows, &[0]), fingerprint(&shuffled, &[0]));
        prop_assert_eq!(fingerprint(&rows, &[]), fingerprint(&shuffled, &[0]));
    }

    #[test]
    fn a_row_on_both_sides_does_not_change_the_fingerprint(rows in sides(), id in 0..6u8, text in "[a-c]{0,3}") {
        let mut more = rows.clone();
        more.push((true, id, text.clone()));
        more.insert(0, (false, id, text));
        prop_assert_eq!(fingerprint(&rows, &[0]), fingerprint(&more, &[0]));
    }

    #[test]
    fn every_byte_of_a_surviving_image_counts(text in "[a-z]{1,8}", at in any::<prop::sample::Index>()) {
        let mut other = text.clone().into_bytes();
        let at = at.index(other.len());
        other[at] = if other[at] == b'z' { b'a' } else { other[at] + 1 };
        let rows = |text: String| [(false, 1, text)];
        prop_assert_ne!(
            fingerprint(&rows(text), &[0]),
            fingerprint(&rows(String::from_utf8(other).unwrap()), &[0])
        );
    }
}
