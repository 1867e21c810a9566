//! Only some tables, only some rows.

use super::catalog::Restored;
use super::{How, Only, RevertError, sql};
use belay_change::{ChangeSet, Means, Table, TableChange};
use tokio_postgres::Client;

/// A table whose rows are wanted back.
pub(super) struct Wanted {
    /// Its number in the images.
    pub(super) number: u16,
    /// As it was captured.
    pub(super) table: Table,
    /// What was done in it.
    pub(super) change: TableChange,
}

impl Only {
    fn names(&self, table: &Table) -> bool {
        self.table == table.name || self.table == format!("{}.{}", table.schema, table.name)
    }
}

/// The tables of `what` that are asked for.
pub(super) fn tables(what: &ChangeSet, how: &How) -> Result<Vec<Wanted>, RevertError> {
    for only in &how.only {
        if !what.tables.iter().any(|change| only.names(&change.table)) {
            let what = format!("nothing in `{}` was changed", only.table);
            return Err(RevertError::refused(what, "the change set names its tables"));
        }
    }
    let mut wanted = Vec::new();
    for (number, change) in what.tables.iter().enumerate() {
        if change.means == Means::Trash {
            let what = format!("{}.{} was moved aside as a whole", change.table.schema, change.table.name);
            return Err(RevertError::refused(what, "a dropped table comes back as it went, not row by row"));
        }
        if how.only.is_empty() || how.only.iter().any(|only| only.names(&change.table)) {
            let number = u16::try_from(number).map_err(|_| RevertError::refused("too many tables", ""))?;
            wanted.push(Wanted { number, table: change.table.clone(), change: change.clone() });
        }
    }
    Ok(wanted)
}

/// Takes out the images of rows that are not asked for.
pub(super) async fn rows(in_target: &Client, restored: &mut [Restored], how: &How) -> Result<(), RevertError> {
    for table in restored {
        let asked: Vec<&Only> = how.only.iter().filter(|only| only.names(&table.table)).collect();
        if asked.is_empty() || asked.iter().any(|only| only.keys.is_empty()) {
            continue;
        }
        if table.key.is_empty() {
            let what = format!("the rows of {} have no key by which they could be named", table.shown());
            return Err(RevertError::refused(what, "revert all of the table's rows"));
        }
        let keys: Vec<String> = asked.iter().flat_map(|only| &only.keys).map(|key| as_image(table, key)).collect();
        for key in &keys {
            let named = format!("{} = {}", key_text(table), sql::text(key));
            let found = format!(
                "SELECT (SELECT pg_catalog.count(*) FROM {} belay_x WHERE {named})
                    + (SELECT pg_catalog.count(*) FROM {} belay_x WHERE {named})",
                table.old_images(),
                table.new_images()
            );
            if sql::number(in_target, &found).await? == 0 {
                let what = format!("the row `{key}` of {} was not changed", table.shown());
                return Err(RevertError::refused(what, "keys are written as the change set shows them"));
            }
        }
        let keys: Vec<String> = keys.iter().map(|key| sql::text(key)).collect();
        for images in [table.old_images(), table.new_images()] {
            let drop = format!("DELETE FROM {images} belay_x WHERE {} NOT IN ({})", key_text(table), keys.join(", "));
            in_target.batch_execute(&drop).await?;
        }
    }
    Ok(())
}

/// A key of several columns is a row of them, with or without its parentheses.
fn as_image(table: &Restored, key: &str) -> String {
    if table.key_of("belay_x").len() == 1 || key.starts_with('(') { key.to_owned() } else { format!("({key})") }
}

/// The key of an image as people write it.
fn key_text(table: &Restored) -> String {
    match table.key_of("belay_x").as_slice() {
        [single] => format!("pg_catalog.format('%s', {single})"),
        several => sql::image(&format!("ROW({})", several.join(", "))),
    }
}
