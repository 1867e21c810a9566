//! Queries in which few names stand for many things, so that where each is looked for matters.

use std::fmt::Write as _;

/// A generator of its own: the texts must not change with a library.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.throw(from.len() as u64)).unwrap()]
    }
}

const COLUMNS: [&str; 6] = ["id", "x", "y", "z", "secret", "q1"];
const ALIASES: [&str; 7] = ["a", "b", "t", "u", "w", "x", "secret"];

/// Something in FROM: its name and its columns.
#[derive(Clone)]
struct Source {
    name: String,
    columns: Vec<String>,
}

/// A query with the names of its columns.
struct Made {
    text: String,
    columns: Vec<String>,
}

/// What can be seen from a place: the query's own sources, then those further out.
type Scopes = Vec<Vec<Source>>;

/// The query of this seed.
pub(crate) fn query(seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..4 {
        dice.throw(2);
    }
    let mut tables = tables();
    let mut text = String::new();
    if dice.throw(2) == 0 {
        let recursive = if dice.throw(3) == 0 { "RECURSIVE " } else { "" };
        let inner = select(&mut dice, 2, &tables, &Scopes::new());
        write!(text, "WITH {recursive}b AS ({}) ", inner.text).unwrap();
        tables.retain(|(table, _)| table != "b");
        tables.push(("b".to_owned(), inner.columns));
    }
    text + &select(&mut dice, 3, &tables, &Scopes::new()).text
}

fn tables() -> Vec<(String, Vec<String>)> {
    let of = |name: &str, columns: &[&str]| (name.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect());
    vec![
        of("app.a", &["id", "x", "y", "secret"]),
        of("a", &["id", "x", "y", "secret"]),
        of("b", &["id", "y", "z"]),
        of("app.c", &["x", "secret", "Odd Name"]),
        of("hr.a", &["id", "x", "pay"]),
    ]
}

fn select(dice: &mut Dice, depth: u32, tables: &[(String, Vec<String>)], outer: &Scopes) -> Made {
    let mut scopes = outer.clone();
    scopes.insert(0, Vec::new());
    let from = from(dice, depth, tables, &mut scopes);
    let (mut targets, mut columns) = (Vec::new(), Vec::new());
    for _ in 0..=dice.throw(3) {
        let (text, name) = target(dice, depth, tables, &scopes);
        targets.push(text);
        columns.extend(name);
    }
    let mut text = format!("SELECT {} FROM {from}", targets.join(", "));
    if dice.throw(2) == 0 {
        write!(text, " WHERE {}", condition(dice, depth, tables, &scopes)).unwrap();
    }
    match dice.throw(6) {
        0 => write!(text, " ORDER BY {}", column(dice, &scopes)).unwrap(),
        1 => text.push_str(" ORDER BY 1"),
        2 if depth > 0 => {
            let width = targets.len();
            let other = vec!["NULL"; width].join(", ");
            write!(text, " UNION ALL SELECT {other} FROM app.a").unwrap();
        }
        _ => {}
    }
    Made { text, columns }
}

fn target(dice: &mut Dice, depth: u32, tables: &[(String, Vec<String>)], scopes: &Scopes) -> (String, Vec<String>) {
    let made = |name: &str| vec![name.to_owned()];
    match dice.throw(12) {
        0 => ("*".to_owned(), scopes[0].iter().flat_map(|source| source.columns.clone()).collect()),
        1 if !scopes[0].is_empty() => {
            let source = &scopes[0][usize::try_from(dice.throw(scopes[0].len() as u64)).unwrap()];
            (format!("{}.*", source.name), source.columns.clone())
        }
        2 | 3 => {
            let name = dice.pick(&COLUMNS);
            (format!("{} AS {name}", column(dice, scopes)), made(name))
        }
        4 => (format!("{}::text AS q1", column(dice, scopes)), made("q1")),
        5 if depth > 0 => {
            let mut inner = scopes.clone();
            inner.insert(0, Vec::new());
            let from = from(dice, depth - 1, tables, &mut inner);
            (format!("(SELECT {} FROM {from} LIMIT 1) AS q1", column(dice, &inner)), made("q1"))
        }
        6 => {
            let alias = dice.pick(&ALIASES);
            (alias.to_owned(), made(alias))
        }
        _ => {
            let column = column(dice, scopes);
            let name = column.rsplit('.').next().unwrap_or_default().to_owned();
            (column, vec![name])
        }
    }
}

/// A column: mostly one that can be seen, at times any name.
fn column(dice: &mut Dice, scopes: &Scopes) -> String {
    let level = if dice.throw(4) == 0 { dice.throw(scopes.len() as u64) } else { 0 };
    let sources = &scopes[usize::try_from(level).unwrap()];
    if sources.is_empty() || dice.throw(12) == 0 {
        return dice.pick(&COLUMNS).to_owned();
    }
    let source = &sources[usize::try_from(dice.throw(sources.len() as u64)).unwrap()];
    if source.columns.is_empty() {
        return dice.pick(&COLUMNS).to_owned();
    }
    let name = &source.columns[usize::try_from(dice.throw(source.columns.len() as u64)).unwrap()];
    let name = if name.contains(' ') && !name.starts_with('"') { format!("\"{name}\"") } else { name.clone() };
    let times = sources.iter().flat_map(|source| &source.columns).filter(|other| **other == name).count();
    if times > 1 || dice.throw(2) == 0 { format!("{}.{name}", source.name) } else { name }
}

fn condition(dice: &mut Dice, depth: u32, tables: &[(String, Vec<String>)], scopes: &Scopes) -> String {
    if depth == 0 || dice.throw(2) == 0 {
        return equal(dice, scopes);
    }
    let mut inner = scopes.clone();
    inner.insert(0, Vec::new());
    let from = from(dice, depth - 1, tables, &mut inner);
    format!("EXISTS (SELECT 1 FROM {from} WHERE {})", equal(dice, &inner))
}

fn equal(dice: &mut Dice, scopes: &Scopes) -> String {
    format!("{}::text = {}::text", column(dice, scopes), column(dice, scopes))
}

/// What stands in FROM; its sources are added to the innermost scope.
fn from(dice: &mut Dice, depth: u32, tables: &[(String, Vec<String>)], scopes: &mut Scopes) -> String {
    let first = item(dice, depth, tables, scopes);
    match dice.throw(8) {
        0 => {
            let second = item(dice, depth, tables, scopes);
            format!("{first}, {second}")
        }
        1 => {
            let second = item(dice, depth, tables, scopes);
            let shared = shared(&scopes[0]).unwrap_or_else(|| dice.pick(&COLUMNS).to_owned());
            format!("{first} JOIN {second} USING ({shared})")
        }
        2 => {
            let second = item(dice, depth, tables, scopes);
            format!("{first} NATURAL JOIN {second}")
        }
        3 => {
            let second = item(dice, depth, tables, scopes);
            format!("{first} LEFT JOIN {second} ON {}", equal(dice, scopes))
        }
        4 if depth > 0 => {
            let outer = scopes.clone();
            let inner = select(dice, depth - 1, tables, &outer);
            let alias = alias(dice, scopes);
            scopes[0].push(Source { name: alias.clone(), columns: inner.columns });
            format!("{first} CROSS JOIN LATERAL ({}) {alias}", inner.text)
        }
        _ => first,
    }
}

/// A name that the last two sources share.
fn shared(sources: &[Source]) -> Option<String> {
    let [.., one, other] = sources else { return None };
    one.columns.iter().find(|name| other.columns.contains(name) && !name.contains(' ')).cloned()
}

fn alias(dice: &mut Dice, scopes: &Scopes) -> String {
    let taken = |name: &str| scopes[0].iter().any(|source| source.name == name);
    let drawn = dice.pick(&ALIASES);
    let free = ALIASES.iter().find(|name| !taken(name)).copied().unwrap_or("last");
    if taken(drawn) { free.to_owned() } else { drawn.to_owned() }
}

fn item(dice: &mut Dice, depth: u32, tables: &[(String, Vec<String>)], scopes: &mut Scopes) -> String {
    let alias = alias(dice, scopes);
    let (table, columns) = &tables[usize::try_from(dice.throw(tables.len() as u64)).unwrap()];
    let (text, name, columns) = match dice.throw(9) {
        0 | 1 if depth > 0 => {
            // It sees what is further out, and nothing beside it.
            let mut outer = scopes.clone();
            outer.remove(0);
            let inner = select(dice, depth - 1, tables, &outer);
            (format!("({}) {alias}", inner.text), alias, inner.columns)
        }
        2 => {
            let mut renamed = columns.clone();
            for (column, name) in renamed.iter_mut().zip(["x", "id"]) {
                name.clone_into(column);
            }
            (format!("{table} AS {alias}(x, id)"), alias, renamed)
        }
        3 => (format!("(VALUES (1, 'v')) {alias}(id, secret)"), alias, vec!["id".to_owned(), "secret".to_owned()]),
        4 => (format!("generate_series(1, 2) {alias}"), alias.clone(), vec![alias]),
        5 | 6 => (format!("{table} {alias}"), alias, columns.clone()),
        _ => {
            let name = table.rsplit('.').next().unwrap_or_default().to_owned();
            if scopes[0].iter().any(|source| source.name == name) {
                (format!("{table} {alias}"), alias, columns.clone())
            } else {
                (table.clone(), name, columns.clone())
            }
        }
    };
    scopes[0].push(Source { name, columns });
    text
}
