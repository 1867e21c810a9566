use super::*;
use crate::samples::{Listed, change, listed, table, wide_table};
use crate::{Images, Sampling, Taken, TakenTable, difference, summarize};
use proptest::prelude::*;
use std::io;

fn summary_of(table: &Table, volatile: &[u16], lines: &[&str]) -> Summary {
    let open = || -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(lines).into_iter()))) };
    let taken = Taken { tables: vec![TakenTable { table, volatile, indirect: false }], open: &open };
    summarize(&taken, Sampling::default()).unwrap()
}

fn orders() -> Summary {
    let table = wide_table("orders", &["id", "note", "status"], &[0]);
    let lines = ["-(1,first,open)", "+(1,first,closed)", "-(4,\"\",open)", "+(5,,NULL)", "-(6,x,open)", "+(6,y,open)"];
    summary_of(&table, &[2], &lines)
}

fn changes(rows: &[(&str, u64)]) -> Vec<TableChange> {
    let of = |(name, rows): &(&str, u64)| TableChange { updated: *rows, ..change(&table(name, &[0]), &[]) };
    rows.iter().map(of).collect()
}

#[test]
fn one_line_says_how_many_rows_of_which_table() {
    assert_eq!(would_change(&changes(&[("orders", 3), ("log", 0)])), "3 rows of public.orders would change");
    assert_eq!(would_change(&changes(&[("orders", 1)])), "1 row of public.orders would change");
    assert_eq!(would_change(&changes(&[("a", 3), ("b", 4), ("c", 5)])), "12 rows of 3 tables would change");
    assert_eq!(would_change(&[]), "no rows would change");
    assert_eq!(changed_in(&changes(&[("orders", 3)])), "3 rows changed in public.orders");
    assert_eq!(orders().headline(), "4 rows of public.orders");
    assert_eq!(headline(&changes(&[("a\u{1b}[2J\nb", 2)])), "2 rows of public.a\\u{1b}[2J\\nb");
}

#[test]
fn a_table_shows_each_row_with_both_values_where_they_differ() {
    let expected = "\
public.orders: 1 row inserted, 2 updated, 1 deleted
  id  note    status
~ 1   first   open -> closed
- 4   ''      open
~ 6   x -> y  open
+ 5   NULL    'NULL'
changed: note in 1 row, status in 1 row
decided when applied: status
";
    assert_eq!(orders().text(80), expected);
}

#[test]
fn where_rows_are_only_updated_the_key_and_what_changes_is_shown() {
    let table = wide_table("orders", &["note", "id", "status"], &[1]);
    let summary = summary_of(&table, &[], &["-(long and the same,1,a)", "+(long and the same,1,b)"]);
    assert_eq!(summary.text(80), "public.orders: 1 row updated\n  id  status\n~ 1   a -> b\n");
}

#[test]
fn a_table_without_a_key_says_how_often_a_row_comes_or_goes() {
    let summary = summary_of(&table("log", &[]), &[], &["-(1,a)", "-(1,a)"]);
    assert_eq!(summary.text(80), "public.log: 2 rows deleted\n  id  note\n- 1   a  (2 times)\n");
}

#[test]
fn rows_that_are_left_out_are_counted_where_they_would_be() {
    let lines: Vec<String> = (0..100).map(|id| format!("+({id},a)")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let summary = summary_of(&table("orders", &[0]), &[], &lines);
    let text = summary.text(80);
    assert!(text.contains("+ 19  a\n... 60 rows ...\n+ 80  a\n"), "{text}");
    assert!(summary.unified().contains("+note: a\n@@ 60 rows not shown @@\n@@ insert id=80 @@\n"));
}

#[test]
fn what_is_too_wide_is_left_out_and_counted() {
    let text = orders().text(26);
    assert!(text.contains("(1 more column not shown)\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 26), "{text}");
}

#[test]
fn a_unified_diff_has_a_line_for_each_value_that_changes() {
    let expected = "\
--- public.orders
+++ public.orders
@@ update id=1 @@
-status: open
+status: closed
@@ delete id=4 @@
-id: 4
-note: ''
-status: open
@@ update id=6 @@
-note: x
+note: y
@@ insert id=5 @@
+id: 5
+note: NULL
+status: 'NULL'
";
    assert_eq!(orders().unified(), expected);
}

#[test]
fn json_has_the_names_of_columns_and_the_values_as_they_are() {
    let summary = summary_of(&table("orders", &[0]), &[1], &["-(1,\"a\u{1b}\")", "+(1,)"]);
    let expected = serde_json::json!([{
        "schema": "public", "table": "orders", "inserted": 0, "updated": 1, "deleted": 0, "indirect": false,
        "volatile": ["note"], "changed_columns": {"note": 1}, "compared_rows": 1, "rows_left_out": 0,
        "rows": [{
            "change": "update", "key": {"id": "1"}, "before": {"id": "1", "note": "a\u{1b}"},
            "after": {"id": "1", "note": null}, "changed": ["note"],
        }],
    }]);
    assert_eq!(serde_json::to_value(summary.named()).unwrap(), expected);
}

#[test]
fn the_first_rows_fit_on_a_line_each() {
    let lines = orders().lines(3, 40);
    assert_eq!(
        lines,
        ["update id=1: status open -> closed", "delete id=4 note='' status=open", "update id=6: note x -> y"]
    );
    assert_eq!(orders().lines(1, 10), ["update id…"]);
}

#[test]
fn a_difference_shows_both_ways() {
    let table = table("orders", &[0]);
    let open = |lines: &[&str]| -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(lines).into_iter()))) };
    let (one, other) = (|| open(&["-(1,a)", "+(1,b)", "-(2,x)"]), || open(&["-(1,c)", "+(1,b)"]));
    let of = |open| Taken { tables: vec![TakenTable { table: &table, volatile: &[], indirect: false }], open };
    let mut differences = difference(&of(&one), &of(&other), 10, 100).unwrap();
    differences[0].first.sort_by_key(|row| row.planned.first().is_some_and(|change| change.after().is_none()));
    let expected = "\
public.orders: 2 rows differ
  planned  update id=1: note a -> b
  found    update id=1: note c -> b
  planned  delete id=2 note=x
  found    no change
";
    assert_eq!(differences[0].text(80), expected);
}

proptest! {
    #[test]
    fn nothing_in_a_value_or_a_name_steers_the_terminal(value in any::<String>(), name in any::<String>(), width in 1..200usize) {
        let table = wide_table(&name, &["id", &name], &[0]);
        let image = crate::write_record(&[Some("1".to_owned()), Some(value)]);
        let open = || -> io::Result<Box<dyn Images>> {
            Ok(Box::new(Listed(vec![(0, crate::Side::New, image.clone())].into_iter())))
        };
        let taken = Taken { tables: vec![TakenTable { table: &table, volatile: &[1], indirect: true }], open: &open };
        let summary = summarize(&taken, Sampling::default()).unwrap();
        let text = summary.text(width);
        for line in text.lines() {
            prop_assert!(cell::width(line) <= width, "{:?}", line);
        }
        for text in [text, summary.unified(), summary.headline(), summary.lines(5, width).join("\n")] {
            let steers = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
            prop_assert!(!text.chars().any(steers), "{:?}", text);
        }
        prop_assert_eq!(summary.unified().lines().count(), 5);
    }
}
