//! SQL conditions under which rows are looked for.
//!
//! They are asked in the name of a role that may do more than the client. So they hold columns of types that come with
//! PostgreSQL, its own operators and quoted constants, and nothing that anybody could have defined.

use super::clue::{Clue, ColumnOf, Condition, Test};
use super::describe::Described;
use postgres_protocol::escape::{escape_identifier, escape_literal};

/// Values of one column in one condition.
const VALUES: usize = 2000;
/// Values of several columns in one condition.
const TUPLES: usize = 100;

/// The condition of a clue, if the table has its columns and an index leads there.
pub(super) fn of_clue(clue: &Clue, about: &Described) -> Option<String> {
    let known: Vec<(u16, &Condition)> =
        clue.0.iter().filter_map(|condition| Some((place(&condition.column, about)?, condition))).collect();
    known.iter().any(|(place, _)| about.leading.contains(place)).then(|| {
        known.iter().map(|(place, condition)| test(*place, &condition.test, about)).collect::<Vec<_>>().join(" AND ")
    })
}

/// Conditions for rows in which these columns hold one of these tuples. None where no index leads there.
pub(super) fn among(columns: &[u16], tuples: &[Vec<String>], about: &Described) -> Vec<String> {
    let leads = columns.iter().any(|place| about.leading.contains(place));
    if tuples.is_empty() || !leads || !columns.iter().all(|place| about.plain.contains(place)) {
        return Vec::new();
    }
    if let [place] = columns {
        let lists = tuples.chunks(VALUES).map(|tuples| tuples.iter().filter_map(|tuple| tuple.first()));
        return lists.map(|values| one_of(*place, values, about)).collect();
    }
    let equal = |(place, value): (&u16, &String)| format!("{} = {}", name(*place, about), escape_literal(value));
    let tuple =
        |tuple: &Vec<String>| format!("({})", columns.iter().zip(tuple).map(equal).collect::<Vec<_>>().join(" AND "));
    tuples.chunks(TUPLES).map(|tuples| tuples.iter().map(tuple).collect::<Vec<_>>().join(" OR ")).collect()
}

/// The column's name, quoted.
pub(super) fn name(place: u16, about: &Described) -> String {
    about.table.columns.get(usize::from(place)).map(|column| escape_identifier(&column.name)).unwrap_or_default()
}

fn place(column: &ColumnOf, about: &Described) -> Option<u16> {
    let place = match column {
        ColumnOf::Name(name) => about.table.columns.iter().position(|column| column.name == *name)?,
        ColumnOf::Place(place) => *place,
    };
    let place = u16::try_from(place).ok()?;
    about.plain.contains(&place).then_some(place)
}

fn test(place: u16, test: &Test, about: &Described) -> String {
    match test {
        Test::Among(values) => one_of(place, values.iter(), about),
        Test::Element(array) => format!("{} = ANY ({})", name(place, about), escape_literal(array)),
        Test::Is(operator, value) => format!("{} {operator} {}", name(place, about), escape_literal(value)),
    }
}

fn one_of<'a>(place: u16, values: impl Iterator<Item = &'a String>, about: &Described) -> String {
    format!("{} IN ({})", name(place, about), values.map(|value| escape_literal(value)).collect::<Vec<_>>().join(", "))
}
