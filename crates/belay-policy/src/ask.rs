//! The request that a refused statement needs, as a command.

use belay_model::{Access, Grant, Relation, Statement, Via};
use std::fmt::Write as _;

/// Columns of a table that are asked for one by one; the whole table is where there are more.
const COLUMNS: usize = 4;
/// What one command asks for; where it is more, only what is missing is.
const MOST: usize = 8;

/// The command that asks for all that the statement takes: a statement runs under one grant, and a second one adds
/// nothing to it. `missing` is a relation or a column that the grant does not name.
pub(crate) fn command(grant: &Grant, statement: &Statement, missing: Option<&str>) -> String {
    let mut resources: Vec<String> = Vec::new();
    let missing_one = missing.map(str::to_owned);
    for word in statement.accesses.iter().flat_map(|access| needed(grant, statement, access)).chain(missing_one) {
        let whole = resources.iter().any(|known| *known == word || word.starts_with(&format!("{known}.")));
        if !whole {
            resources.push(word);
        }
    }
    if resources.is_empty() {
        // A request that names no table is one for them all.
        resources.extend(grant.resources.iter().map(ToString::to_string));
    }
    if resources.len() > MOST {
        resources = missing.map(|one| vec![one.to_owned()]).unwrap_or_default();
    }
    let mut command = format!("belay request {}", grant.target);
    for resource in resources {
        _ = write!(command, " {}", quoted(&resource));
    }
    for function in statement.calls.iter().take(MOST) {
        _ = write!(command, " --function {}", quoted(&function.to_string()));
    }
    command + " --for 30m -m REASON"
}

/// What of one relation a grant has to name. What a view reads comes with the view.
fn needed(grant: &Grant, statement: &Statement, access: &Access) -> Vec<String> {
    let name = full_name(&access.relation);
    let is_view = |access: &Access, view: &Relation| matches!(&access.via, Via::View(of) if of == view);
    if matches!(access.via, Via::View(_)) {
        return Vec::new();
    }
    let whole = grant.resources.iter().any(|resource| {
        resource.column.is_none()
            && access.relation.schema.as_deref().is_some_and(|schema| resource.names(schema, &access.relation.name))
    });
    let view = statement.accesses.iter().any(|other| is_view(other, &access.relation));
    if whole || view || access.columns.is_empty() || access.columns.len() > COLUMNS {
        return vec![name];
    }
    access.columns.iter().map(|column| format!("{name}.{}", column.name)).collect()
}

/// The name as a request has it.
pub(crate) fn full_name(relation: &Relation) -> String {
    format!("{}.{}", relation.schema.as_deref().unwrap_or("SCHEMA"), relation.name)
}

/// One word of a shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_where_they_have_to_be() {
        assert_eq!(quoted("shop.orders.id"), "shop.orders.id");
        assert_eq!(quoted("shop.*"), "'shop.*'");
        assert_eq!(quoted("shop.Odd Name's"), r"'shop.Odd Name'\''s'");
    }
}
