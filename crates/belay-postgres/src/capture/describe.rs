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
    /// Columns, by their place, whose values PostgreSQL itself compares, with nobody's functions.
    pub(super) plain: Vec<u16>,
    /// Columns, by their place, that an index begins with.
    pub(super) leading: Vec<u16>,
    /// It has ancestors.
    child: bool,
    /// What its foreign keys refer to.
    pub(super) references: Vec<Reference>,
    /// Pages of it are so large.
    page: u64,
    readable: bool,
    filtered: bool,
    /// The places of its columns by their numbers in the target.
    places: HashMap<i32, u16>,
    /// Columns that are never NULL.
    required: Vec<u16>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Its columns, by their place.
    pub(super) columns: Vec<u16>,
    /// The table it refers to.
    pub(super) parent: u32,
    /// The columns there, by their numbers in the target.
    numbers: Vec<i32>,
}

impl Described {
    /// Its name for SQL.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", escape_identifier(&self.table.schema), escape_identifier(&self.table.name))
    }

    /// A name that none of its columns has.
    pub(super) fn alias(&self) -> String {
        super::scan::alias(&self.table)
    }

    /// Its pages.
    pub(super) fn pages(&self) -> u64 {
        self.bytes.div_ceil(self.page.max(1))
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
        let [Some(schema), Some(name), Some(bytes), Some(page), Some(readable), Some(filtered), Some(child)] = rest
        else {
            return Err(UNEXPECTED);
        };
        self.table.schema.clone_from(schema);
        self.table.name.clone_from(name);
        self.bytes = bytes.parse().map_err(|_| UNEXPECTED)?;
        self.page = page.parse().map_err(|_| UNEXPECTED)?;
        (self.readable, self.filtered) = (readable == "t", filtered == "t");
        self.child = child == "t";
        Ok(())
    }

    fn read_column(&mut self, rest: &[Option<String>]) -> Result<(), CaptureError> {
        let [Some(number), Some(name), Some(type_name), Some(generated), Some(identity), Some(required), Some(plain)] =
            rest
        else {
            return Err(UNEXPECTED);
        };
        let place = u16::try_from(self.table.columns.len()).map_err(|_| UNEXPECTED)?;
        self.places.insert(number.parse().map_err(|_| UNEXPECTED)?, place);
        if required == "t" {
            self.required.push(place);
        }
        if plain == "t" {
            self.plain.push(place);
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

    /// The places of columns by their numbers. Nothing where one is no column, as in an index over an expression.
    pub(super) fn places(&self, numbers: &[i32]) -> Option<Vec<u16>> {
        numbers.iter().map(|number| self.places.get(number).copied()).collect()
    }

    /// An index. The first unique one whose columns are never NULL is the key.
    fn read_index(&mut self, rest: &[Option<String>]) -> Result<(), CaptureError> {
        let [Some(columns), Some(count), Some(unique), Some(ordered)] = rest else {
            return Err(UNEXPECTED);
        };
        let count = count.parse().map_err(|_| UNEXPECTED)?;
        let mut numbers = numbers(columns)?;
        numbers.truncate(count);
        if ordered == "t"
            && let Some(first) = numbers.first().and_then(|number| self.places.get(number))
        {
            self.leading.push(*first);
        }
        if unique == "t"
            && self.table.key.is_empty()
            && let Some(key) = self.places(&numbers)
            && key.iter().all(|place| self.required.contains(place))
        {
            self.table.key = key;
        }
        Ok(())
    }

    fn read_reference(&mut self, rest: &[Option<String>]) -> Result<(), CaptureError> {
        let [Some(columns), Some(parent), Some(there)] = rest else {
            return Err(UNEXPECTED);
        };
        let columns = self.places(&numbers(columns)?).ok_or(UNEXPECTED)?;
        let parent = parent.parse().map_err(|_| UNEXPECTED)?;
        self.references.push(Reference { columns, parent, numbers: numbers(there)? });
        Ok(())
    }
}

impl Reference {
    /// The columns that it refers to, by their place in their table.
    pub(super) fn places(&self, parent: &Described) -> Option<Vec<u16>> {
        parent.places(&self.numbers)
    }
}

fn numbers(text: &str) -> Result<Vec<i32>, CaptureError> {
    text.split_whitespace().map(|number| number.parse().map_err(|_| UNEXPECTED)).collect()
}

/// The tables of these numbers, and the outsider's settings pinned.
pub(super) async fn describe(
    outsider: &mut dyn Ask,
    oids: &[u32],
    limits: &Limits,
) -> Result<HashMap<u32, Described>, CaptureError> {
    let sql = format!("{}{}{}", pins(false), limits.times(false), question(oids));
    let mut tables: HashMap<u32, Described> = HashMap::new();
    for row in outsider.ask(&sql).await? {
        read(&row, &mut tables)?;
    }
    let children: Vec<u32> = tables.iter().filter(|(_, about)| about.child).map(|(oid, _)| *oid).collect();
    if !children.is_empty() {
        for row in outsider.ask(&ancestry(&children)).await? {
            read(&row, &mut tables)?;
        }
    }
    Ok(tables)
}

/// Tables, their columns, indexes and foreign keys; the first column tells which. Asked at each write, it has as few joins
/// as there can be: the target would take longer to plan them than for all the rest.
fn question(oids: &[u32]) -> String {
    format!(
        "SELECT 't', c.oid, (SELECT nspname FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace), c.relname, \
         pg_relation_size(c.oid), current_setting('block_size'), \
         has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE'), \
         row_security_active(c.oid), EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) \
         FROM pg_catalog.pg_class c WHERE c.oid = ANY ('{{{oids}}}'::oid[]);\n\
         SELECT 'c', attrelid, attnum, attname, format_type(atttypid, atttypmod), attgenerated, attidentity, \
         attnotnull, atttypid < 16384 FROM pg_catalog.pg_attribute WHERE attrelid = ANY ('{{{oids}}}'::oid[]) AND attnum > 0 \
         AND NOT attisdropped ORDER BY attrelid, attnum;\n\
         SELECT 'i', i.indrelid, i.indkey::text, i.indnkeyatts, i.indisunique AND i.indimmediate \
         AND i.indexprs IS NULL, (SELECT a.amname = 'btree' FROM pg_catalog.pg_am a WHERE a.oid = \
         (SELECT c.relam FROM pg_catalog.pg_class c WHERE c.oid = i.indexrelid)) FROM pg_catalog.pg_index i \
         WHERE i.indrelid = ANY ('{{{oids}}}'::oid[]) AND i.indisvalid AND i.indpred IS NULL \
         ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid;\n\
         SELECT 'f', conrelid, array_to_string(conkey, ' '), confrelid, array_to_string(confkey, ' ') \
         FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conrelid = ANY ('{{{oids}}}'::oid[]) \
         AND confrelid = ANY ('{{{oids}}}'::oid[])",
        oids = list(oids)
    )
}

/// What the tables are parts or children of.
fn ancestry(oids: &[u32]) -> String {
    format!(
        "WITH RECURSIVE up AS (SELECT inhrelid AS child, inhparent AS parent, 1 AS level FROM pg_catalog.pg_inherits \
         WHERE inhrelid = ANY ('{{{}}}'::oid[]) UNION SELECT up.child, i.inhparent, up.level + 1 FROM up \
         JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.parent WHERE up.level < 32) \
         SELECT 'a', up.child, n.nspname, c.relname FROM up JOIN pg_catalog.pg_class c ON c.oid = up.parent \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
        list(oids)
    )
}

/// Numbers of tables, as an array's text holds them.
pub(super) fn list(oids: &[u32]) -> String {
    oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
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
        "f" => described.read_reference(rest),
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
            child: false,
            plain: Vec::new(),
            leading: Vec::new(),
            references: Vec::new(),
            page: 0,
            readable: false,
            filtered: false,
            places: HashMap::new(),
            required: Vec::new(),
        }
    }
}
