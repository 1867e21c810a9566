use super::*;
use crate::samples::{Listed, listed, wide_table};
use crate::{Images, TakenTable};

fn summary(key: &[u16], lines: &[&str]) -> Summary {
    let table = wide_table("orders", &["id", "note", "at"], key);
    let open = || -> io::Result<Box<dyn Images>> { Ok(Box::new(Listed(listed(lines).into_iter()))) };
    let taken = Taken { tables: vec![TakenTable { table: &table, volatile: &[2], indirect: true }], open: &open };
    summarize(&taken, Sampling::default()).unwrap()
}

fn row(values: [&str; 3]) -> Row {
    values.map(|value| Some(value.to_owned())).to_vec()
}

#[test]
fn rows_are_paired_by_the_key() {
    let summary = summary(&[0], &["-(1,a,x)", "-(2,a,x)", "+(3,,x)", "+(1,b,x)", "-(9,q,x)", "+(9,q,x)"]);
    let table = &summary.tables[0];
    assert_eq!((table.inserted, table.updated, table.deleted, table.left_out), (1, 1, 1, 0));
    let mut new = row(["3", "", "x"]);
    new[1] = None;
    assert_eq!(
        table.first,
        [
            RowChange::Updated { old: row(["1", "a", "x"]), new: row(["1", "b", "x"]), changed: vec![1] },
            RowChange::Deleted { old: row(["2", "a", "x"]), times: 1 },
            RowChange::Inserted { new, times: 1 },
        ]
    );
    assert_eq!((table.columns.as_slice(), table.compared), ([ColumnCount { column: 1, rows: 1 }].as_slice(), 1));
}

#[test]
fn equal_rows_without_a_key_are_one_line_with_their_number() {
    let summary = summary(&[], &["-(1,a,x)", "-(1,a,x)", "-(1,a,x)", "+(1,a,x)"]);
    assert_eq!(summary.tables[0].first, [RowChange::Deleted { old: row(["1", "a", "x"]), times: 2 }]);
    assert_eq!((summary.tables[0].deleted, summary.tables[0].left_out), (2, 0));
}

#[test]
fn a_table_in_which_nothing_changes_is_not_there() {
    assert_eq!(summary(&[0], &["-(1,a,x)", "+(1,a,x)"]).tables, []);
}

#[test]
fn of_many_rows_the_first_and_the_last_are_shown_and_all_are_counted() {
    let lines: Vec<String> = (0..49).flat_map(|id| [format!("-({id},a,x)"), format!("+({id},b,x)")]).collect();
    let few: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(summary(&[0], &few).tables[0].first.len(), 49);
    let olds = (0..1000).map(|id| format!("-({id},a,x)"));
    let news = (0..1000).map(|id| format!("+({id},b,{})", if id % 10 == 0 { "y" } else { "x" }));
    let lines: Vec<String> = olds.chain(news).collect();
    let many: Vec<&str> = lines.iter().map(String::as_str).collect();
    let table = &summary(&[0], &many).tables[0];
    assert_eq!((table.first.len(), table.left_out, table.last.len()), (20, 960, 20));
    assert_eq!(table.first[0].before().unwrap()[0].as_deref(), Some("0"));
    assert_eq!(table.last[19].before().unwrap()[0].as_deref(), Some("999"));
    let counts: Vec<_> = table.columns.iter().map(|count| (count.column, count.rows)).collect();
    assert_eq!((counts.as_slice(), table.compared), ([(1, 1000), (2, 100)].as_slice(), 1000));
}

#[test]
fn values_are_disguised_by_the_column_and_still_told_to_change() {
    let summary = summary(&[0], &["-(1,old,x)", "+(1,new,x)"]);
    let shown = summary.shown(&|table, column, value| {
        assert_eq!(table.name, "orders");
        if column == 1 { "***".to_owned() } else { value.to_owned() }
    });
    let stars = row(["1", "***", "x"]);
    let changed = RowChange::Updated { old: stars.clone(), new: stars, changed: vec![1] };
    assert_eq!(shown.tables[0].first, [changed]);
}

#[test]
fn long_values_are_cut_and_compared_as_a_whole() {
    let long = "é".repeat(20_000);
    let lines = [format!("-(1,{long},x)"), format!("+(1,{long}b,x)")];
    let summary = summary(&[0], &[&lines[0], &lines[1]]);
    let change = &summary.tables[0].first[0];
    assert_eq!(change.changed(), [1]);
    let shown = change.before().unwrap()[1].as_deref().unwrap();
    assert!(shown.len() < 17_000 && shown.ends_with("é…"), "{}", shown.len());
}

#[test]
fn a_summary_goes_through_json_unchanged() {
    let summary = summary(&[0], &["-(1,a,x)", "+(1,,x)", "+(2,b,x)"]);
    let json = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
}
