//! The tables that were written, as the outsider finds them: columns, key, size.

use super::judge::irreversible;
use super::{Ask, CaptureError, Limits, Row, pins};
use belay_change::{Column, Generated, Table};
use postgres_protocol::escape::escape_identifier;
use std::collections::HashMap;

const UNEXPECTED: CaptureError = CaptureError::Unexpected("what a table looks like");

/// One table.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) table: Table,
    /// Its bytes, without its indexes and what is kept apart.
    pub(super) bytes: u64,
    /// Tables that it is a part or a child of, by schema and name.
    pub(super) ancestors: Vec<(String, String)>,
    /// Pages of it are so large.
    pub(super) page: u64,
    readable: bool,
    filtered: bool,
    /// The places of its columns by their numbers in the target.
    places: HashMap<i32, u16>,
    /// Columns that are never NULL.
    required: Vec<u16>,
}

impl Described {
    /// Its name for SQL.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", escape_identifier(&self.table.schema), escape_identifier(&self.table.name))
    }

    /// A name that none of its columns has.
    pub(super) fn alias(&self) -> String {
        let mut alias = "belay_row".to_owned();
        while self.table.columns.iter().any(|column| column.name == alias) {
            alias.push('_');
        }
        alias
    }

    /// An error unless the outsider sees each of its rows.
    pub(super) fn readable(&self) -> Result<(), CaptureError> {
        let name = format!("{}.{}", self.table.schema, self.table.name);
        if !self.readable {
            return Err(irreversible(
                format!("Belay's own role may not read {name}"),
                "grant SELECT on it, or membership in pg_read_all_data, to Belay's role in the target",
            ));
        }
        if self.filtered {
            return Err(irreversible(
                format!("policies hide rows of {name} from Belay's own role"),
                "give Belay's role in the target BYPASSRLS",
            ));
        }
        Ok(())
    }

    /// An error if it is too large to be scanned.
    pub(super) fn within(&self, limits: &Limits) -> Result<(), CaptureError> {
        if self.bytes <= limits.scan {
            return Ok(());
        }
        Err(CaptureError::TooMuch(format!(
            "the changed rows of {}.{} cannot be told without reading all of it, and its {} MB are more than the {} MB \
             that may be read",
            self.table.schema,
            self.table.name,
            self.bytes >> 20,
            limits.scan >> 20,
        )))
    }

    fn read_table(&mut self, rest: &[Option<String>]) -> Result<(), CaptureError> {
        let [Some(schema), Some(name), Some(bytes), Some(page), Some(readable), Some(filtered), ..] = rest else {
            return Err(UNEXPECTED);
        };
        self.table.schema.clone_from(schema);
        self.table.name.clone_from(name);
        self.bytes = bytes.parse().map_err(|_| UNEXPECTED)?;
        self.page = page.parse().map_err(|_| UNEXPECTED)?;
        (self.readable, self.filtered) = (readable == "t", filtered == "t");
        Ok(())
    }

    fn read_column(&mut self, rest: &[Option<String>]) -> Result<(), CaptureError> {
        let [Some(number), Some(name), Some(type_name), Some(generated), Some(identity), Some(required), ..] = rest
        else {
            return Err(UNEXPECTED);
        };
        let place = u16::try_from(self.table.columns.len()).map_err(|_| UNEXPECTED)?;
        self.places.insert(number.parse().map_err(|_| UNEXPECTED)?, place);
        if required == "t" {
            self.required.push(place);
        }
        let generated = match (generated.as_str(), identity.as_str()) {
            ("s", _) => Generated::Stored,
            ("v", _) => Generated::Virtual,
            (_, "a") => Generated::IdentityAlways,
            ("", _) => Generated::No,
            _ => return Err(UNEXPECTED),
        };
        self.table.columns.push(Column { name: name.clone(), type_name: type_name.clone(), generated });
        Ok(())
    }

    /// A unique index; the first whose columns are never NULL is the key.
    fn read_index(&mut self, rest: &[Option<String>]) -> Result<(), CaptureError> {
        let [Some(columns), Some(count), ..] = rest else {
            return Err(UNEXPECTED);
        };
        let count = count.parse().map_err(|_| UNEXPECTED)?;
        let numbers = columns.split_whitespace().take(count).map(|number| number.parse().ok());
        let places = numbers.map(|number| self.places.get(&number?).copied());
        if let Some(key) = places.collect::<Option<Vec<u16>>>()
            && self.table.key.is_empty()
            && key.iter().all(|place| self.required.contains(place))
        {
            self.table.key = key;
        }
        Ok(())
    }
}

/// The tables of these numbers, and the outsider's settings pinned.
pub(super) async fn describe(
    outsider: &mut dyn Ask,
    oids: &[u32],
    limits: &Limits,
) -> Result<HashMap<u32, Described>, CaptureError> {
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let rows = outsider.ask(&format!("{}{}{}", pins(false), limits.times(false), question(&list))).await?;
    let mut tables: HashMap<u32, Described> = HashMap::new();
    for row in &rows {
        read(row, &mut tables)?;
    }
    Ok(tables)
}

/// Tables, their columns, unique indexes and ancestors; the first column tells which.
fn question(oids: &str) -> String {
    format!(
        "SELECT 't', c.oid, n.nspname, c.relname, pg_relation_size(c.oid), current_setting('block_size'), \
         has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), row_security_active(c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = ANY ('{{{oids}}}'::oid[]);\n\
         SELECT 'c', attrelid, attnum, attname, format_type(atttypid, atttypmod), attgenerated, attidentity, \
         attnotnull FROM pg_catalog.pg_attribute WHERE attrelid = ANY ('{{{oids}}}'::oid[]) AND attnum > 0 \
         AND NOT attisdropped ORDER BY attrelid, attnum;\n\
         SELECT 'i', indrelid, indkey::text, indnkeyatts FROM pg_catalog.pg_index \
         WHERE indrelid = ANY ('{{{oids}}}'::oid[]) AND indisunique AND indisvalid AND indimmediate \
         AND indpred IS NULL AND indexprs IS NULL ORDER BY indrelid, indisprimary DESC, indexrelid;\n\
         WITH RECURSIVE up AS (SELECT inhrelid AS child, inhparent AS parent, 1 AS level FROM pg_catalog.pg_inherits \
         WHERE inhrelid = ANY ('{{{oids}}}'::oid[]) UNION SELECT up.child, i.inhparent, up.level + 1 FROM up \
         JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.parent WHERE up.level < 32) \
         SELECT 'a', up.child, n.nspname, c.relname FROM up JOIN pg_catalog.pg_class c ON c.oid = up.parent \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    )
}

fn read(row: &Row, tables: &mut HashMap<u32, Described>) -> Result<(), CaptureError> {
    let [Some(tag), Some(oid), rest @ ..] = row.as_slice() else {
        return Err(UNEXPECTED);
    };
    let oid = oid.parse().map_err(|_| UNEXPECTED)?;
    let described = tables.entry(oid).or_insert_with(|| Described::of(oid));
    match tag.as_str() {
        "t" => described.read_table(rest),
        "c" => described.read_column(rest),
        "i" => described.read_index(rest),
        "a" => {
            let [Some(schema), Some(name)] = rest else {
                return Err(UNEXPECTED);
            };
            described.ancestors.push((schema.clone(), name.clone()));
            Ok(())
        }
        _ => Err(UNEXPECTED),
    }
}

impl Described {
    fn of(oid: u32) -> Described {
        let table = Table { oid, schema: String::new(), name: String::new(), columns: Vec::new(), key: Vec::new() };
        Described {
            table,
            bytes: 0,
            ancestors: Vec::new(),
            page: 0,
            readable: false,
            filtered: false,
            places: HashMap::new(),
            required: Vec::new(),
        }
    }
}
