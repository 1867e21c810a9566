//! What somebody may do in a session, and somebody else beside it.

use super::schema::{BESIDE, Has, Schema, Table};
use crate::scenario::Step;
use testkit::Dice;

/// A session of a few writes and transactions.
pub(crate) fn any_session(dice: &mut Dice, has: Has, schema: &Schema) -> Vec<Step> {
    let mut steps = Vec::new();
    for unit in 0..dice.between(1, 5) {
        if dice.once_in(3) {
            transaction(dice, has, schema, unit, &mut steps);
        } else {
            steps.push(write(dice, has, schema));
        }
    }
    steps
}

/// What a second writer does to rows of its own, without triggers.
pub(crate) fn any_beside(dice: &mut Dice, schema: &Schema) -> Vec<String> {
    let Some(table) = schema.beside.map(|place| &schema.tables[place]) else { return Vec::new() };
    let mut all = Vec::new();
    for number in 0..dice.between(1, 4) {
        let id = BESIDE + dice.below(4);
        all.push(match dice.below(4) {
            0 => table.insert(&[table.row(dice, BESIDE + 10 + number)]),
            1 => format!("DELETE FROM {} WHERE id = {id}", table.name),
            _ => format!("UPDATE {} SET {} WHERE id = {id}", table.name, set(dice, table)),
        });
    }
    all
}

fn transaction(dice: &mut Dice, has: Has, schema: &Schema, unit: usize, steps: &mut Vec<Step>) {
    let begin = dice.pick(&[
        "BEGIN",
        "BEGIN",
        "START TRANSACTION",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
    ]);
    steps.push(Step::plain(*begin));
    if dice.once_in(4) {
        steps.push(Step::plain("SET CONSTRAINTS ALL DEFERRED"));
    }
    let mut saved = 0;
    for number in 0..dice.between(1, 4) {
        match dice.below(6) {
            0 => {
                saved += 1;
                steps.push(Step::plain(format!("SAVEPOINT s{saved}")));
            }
            1 => cursor(dice, schema, &format!("k{unit}_{number}"), steps),
            _ => {}
        }
        steps.push(write(dice, has, schema));
        if saved > 0 && dice.once_in(3) {
            let way = dice.pick(&["ROLLBACK TO", "ROLLBACK TO", "RELEASE"]);
            steps.push(Step::plain(format!("{way} s{saved}")));
            saved -= usize::from(*way == "RELEASE");
        }
    }
    if saved > 0 {
        // So that a statement that failed does not take all with it.
        steps.push(Step::plain(format!("ROLLBACK TO s{saved}")));
        steps.push(write(dice, has, schema));
    }
    steps.push(Step::plain(if dice.once_in(6) { "ROLLBACK" } else { "COMMIT" }));
}

fn cursor(dice: &mut Dice, schema: &Schema, name: &str, steps: &mut Vec<Step>) {
    let table = dice.pick(&schema.tables);
    let filter = filter(dice);
    steps
        .push(Step::plain(format!("DECLARE {name} CURSOR FOR SELECT * FROM {} WHERE {filter} FOR UPDATE", table.name)));
    for _ in 0..dice.between(1, 2) {
        steps.push(Step::plain(format!("FETCH 1 FROM {name}")));
        steps.push(Step::plain(if dice.once_in(3) {
            format!("DELETE FROM {} WHERE CURRENT OF {name}", table.name)
        } else {
            format!("UPDATE {} SET {} WHERE CURRENT OF {name}", table.name, set(dice, table))
        }));
    }
}

fn write(dice: &mut Dice, has: Has, schema: &Schema) -> Step {
    let table = dice.pick(&schema.tables);
    let name = &table.name;
    let filter = filter(dice);
    let sql = match dice.below(17) {
        0 => {
            let first = dice.between(15, 40);
            let rows: Vec<String> = (0..dice.between(1, 3)).map(|more| table.row(dice, first + more)).collect();
            table.insert(&rows)
        }
        1 | 2 => format!("UPDATE {name} SET {} WHERE {filter}", set(dice, table)),
        3 => format!("DELETE FROM {name} WHERE {filter}"),
        4 => format!("UPDATE {name} SET id = id + {} WHERE {filter}", dice.pick(&[1, 20, 100])),
        5 => upsert(dice, table),
        6 if has.major >= 15 => merge(dice, table),
        7 if schema.beside.is_none() => format!("TRUNCATE {name}{}", dice.pick(&["", " CASCADE", " CASCADE"])),
        8 => format!(
            "WITH gone AS (DELETE FROM {name} WHERE {filter} RETURNING id) INSERT INTO log SELECT id, 'gone', NULL FROM gone"
        ),
        9 => format!(
            "WITH one AS (UPDATE {name} SET {} WHERE {filter} RETURNING id), two AS (INSERT INTO log \
             SELECT id, 'cte', NULL FROM one RETURNING at) DELETE FROM quiet WHERE id IN (SELECT at FROM two)",
            set(dice, table)
        ),
        10 if !schema.functions.is_empty() => format!("SELECT touch({})", dice.between(1, 12)),
        11 => format!(
            "DO $$ DECLARE i int; BEGIN FOR i IN 1..{} LOOP UPDATE {name} SET {} WHERE id = i; BEGIN \
             INSERT INTO quiet VALUES (i, 0); EXCEPTION WHEN unique_violation THEN NULL; END; END LOOP; END $$",
            dice.between(1, 4),
            set(dice, table)
        ),
        12 | 13 => return parameters(dice, table),
        14 if table.unique => {
            format!("UPDATE {name} SET u = CASE u WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE u END WHERE u IN (1, 2)")
        }
        15 => format!(
            "DELETE FROM {name} WHERE ctid = (SELECT min(ctid) FROM {name} WHERE id < {BESIDE}) AND id < {BESIDE}"
        ),
        16 => format!(
            "DELETE FROM {name} WHERE {filter}; UPDATE {name} SET {} WHERE id < {BESIDE}; INSERT INTO log VALUES (1, 'two', NULL)",
            set(dice, table)
        ),
        _ => format!("UPDATE {name} SET {} WHERE id < {BESIDE}", set(dice, table)),
    };
    Step::plain(sql)
}

/// A condition that holds for no row of the second writer.
fn filter(dice: &mut Dice) -> String {
    let id = dice.between(1, 14);
    match dice.below(6) {
        0 => format!("id = {id}"),
        1 => format!("id BETWEEN {id} AND {}", id + 5),
        2 => format!("id IN ({id}, {}, {})", id + 1, id + 3),
        3 => format!("id < {BESIDE} AND id % 2 = {}", id % 2),
        4 => format!("id < {BESIDE} AND c0 IS NULL"),
        _ => format!("id < {BESIDE}"),
    }
}

fn set(dice: &mut Dice, table: &Table) -> String {
    let place = dice.below(table.columns.len());
    match dice.below(8) {
        0 if table.refers.is_some() => format!("r = {}", dice.pick(&["NULL", "1", "3", "id"])),
        1 => format!("c{place} = c{place}"),
        2 => format!("c{place} = DEFAULT"),
        3 => {
            let all: Vec<String> = table
                .columns
                .iter()
                .enumerate()
                .map(|(place, kind)| format!("c{place} = {}", kind.literal(dice)))
                .collect();
            all.join(", ")
        }
        _ => format!("c{place} = {}", table.columns[place].literal(dice)),
    }
}

fn upsert(dice: &mut Dice, table: &Table) -> String {
    let first = dice.between(1, 20);
    let rows: Vec<String> = (0..dice.between(1, 3)).map(|more| table.row(dice, first + more)).collect();
    let insert = table.insert(&rows);
    if table.is_keyed() && !dice.once_in(3) {
        format!("{insert} ON CONFLICT (id) DO UPDATE SET c0 = excluded.c0")
    } else {
        format!("{insert} ON CONFLICT DO NOTHING")
    }
}

fn merge(dice: &mut Dice, table: &Table) -> String {
    let (from, to) = (dice.between(1, 10), dice.between(11, 25));
    let value = table.columns[0].literal(dice);
    let insert = format!("INSERT ({}) {}VALUES {}", table.names(), table.overriding(), table.row(dice, 0)).replacen(
        "VALUES (0,",
        "VALUES (s.n,",
        1,
    );
    // The unique values follow the row.
    let insert = if table.unique { insert.replace(", 0,", ", s.n,") } else { insert };
    format!(
        "MERGE INTO {} t USING generate_series({from}, {to}) s(n) ON t.id = s.n WHEN MATCHED AND s.n % 3 = 0 THEN DELETE \
         WHEN MATCHED THEN UPDATE SET c0 = {value} WHEN NOT MATCHED AND s.n % 2 = 0 THEN {insert} \
         WHEN NOT MATCHED THEN DO NOTHING",
        table.name
    )
}

/// A statement whose values come apart from it.
fn parameters(dice: &mut Dice, table: &Table) -> Step {
    let place = dice.below(table.columns.len());
    let kind = table.columns[place];
    let value = kind.bare(dice).map(|bare| bare.replace("''", "'"));
    let id = Some(dice.between(1, 14).to_string());
    let sql = format!("UPDATE {} SET c{place} = $1::text::{} WHERE id = $2::text::int", table.name, kind.name);
    Step { sql, parameters: Some(vec![value, id]) }
}
