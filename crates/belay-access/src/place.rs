//! Places in a target as policies name them, and which parts of a request a policy speaks of.
//!
//! Knows nothing of Cedar: a place is a kind and a path.

use belay_model::{Name, Pattern, Resource};

/// A kind of place, from wide to narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Target,
    Database,
    Schema,
    Table,
    Column,
}

impl Kind {
    pub(crate) const ALL: [Kind; 5] = [Kind::Target, Kind::Database, Kind::Schema, Kind::Table, Kind::Column];

    /// The entity type.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Target => "Target",
            Kind::Database => "Database",
            Kind::Schema => "Schema",
            Kind::Table => "Table",
            Kind::Column => "Column",
        }
    }

    /// What a path of this kind looks like.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Kind::Target => r#"Target::"orders""#,
            Kind::Database => r#"Database::"orders/analytics""#,
            Kind::Schema => r#"Schema::"orders/public""#,
            Kind::Table => r#"Table::"orders/public.refunds""#,
            Kind::Column => r#"Column::"orders/public.refunds.iban""#,
        }
    }
}

/// A place that a policy names: exact, without patterns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) target: String,
    pub(crate) database: Option<String>,
    /// Schema, table and column, as far as the kind goes.
    names: Vec<String>,
}

impl Place {
    /// Reads the path of an entity; `None` where it is not of this kind.
    pub(crate) fn parse(kind: Kind, path: &str) -> Option<Place> {
        let (target, rest) = match path.split_once('/') {
            Some((target, rest)) => (target, Some(rest)),
            None => (path, None),
        };
        target.parse::<Name>().ok()?;
        let place = |database: Option<&str>, names: Vec<&str>| {
            let plain = |name: &&str| !name.is_empty() && !name.contains(['/', '.', '*', '"']);
            let all = database.iter().chain(&names).all(plain);
            all.then(|| Place {
                kind,
                target: target.to_owned(),
                database: database.map(str::to_owned),
                names: names.into_iter().map(str::to_owned).collect(),
            })
        };
        let depth = match (kind, rest) {
            (Kind::Target, None) => return place(None, Vec::new()),
            (Kind::Database, Some(database)) => return place(Some(database), Vec::new()),
            (Kind::Schema, _) => 1,
            (Kind::Table, _) => 2,
            (Kind::Column, _) => 3,
            (Kind::Target, Some(_)) | (Kind::Database, None) => return None,
        };
        let (database, path) = match rest?.split_once('/') {
            Some((database, path)) => (Some(database), path),
            None => (None, rest?),
        };
        let names: Vec<&str> = path.split('.').collect();
        (names.len() == depth).then(|| place(database, names)).flatten()
    }

    /// The part of `whole` that lies in this place, where that is less than all of it.
    pub(crate) fn part_of(&self, whole: &Resource) -> Option<Resource> {
        if self.database != whole.database {
            return None;
        }
        let mut part = whole.clone();
        let mut names = self.names.iter();
        if let Some(schema) = names.next() {
            part.schema = whole.schema.matches(schema).then(|| Pattern::Exact(schema.clone()))?;
        }
        if let Some(table) = names.next() {
            part.table = whole.table.matches(table).then(|| Pattern::Exact(table.clone()))?;
        }
        if let Some(column) = names.next() {
            match &whole.column {
                None => part.column = Some(column.clone()),
                Some(asked) if asked == column => {}
                Some(_) => return None,
            }
        }
        (part != *whole).then_some(part)
    }
}

/// The place a resource is, then those it lies in, from narrow to wide. A pattern that is more than "all" stands in a
/// path as it is.
pub(crate) fn chain(target: &Name, resource: &Resource) -> Vec<(Kind, String)> {
    let mut chain = Vec::with_capacity(5);
    let base = match &resource.database {
        Some(database) => format!("{target}/{database}"),
        None => target.to_string(),
    };
    let whole_schema = resource.table == Pattern::Any && resource.column.is_none();
    let everything = whole_schema && resource.schema == Pattern::Any;
    if let Some(column) = &resource.column {
        chain.push((Kind::Column, format!("{base}/{}.{}.{column}", resource.schema, resource.table)));
    }
    if !whole_schema {
        chain.push((Kind::Table, format!("{base}/{}.{}", resource.schema, resource.table)));
    }
    if !everything {
        chain.push((Kind::Schema, format!("{base}/{}", resource.schema)));
    }
    if resource.database.is_some() {
        chain.push((Kind::Database, base));
    }
    chain.push((Kind::Target, target.to_string()));
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_by_its_kind_and_nothing_else_is() {
        for (kind, path, ok) in [
            (Kind::Target, "orders", true),
            (Kind::Target, "orders/x", false),
            (Kind::Target, "Orders", false),
            (Kind::Database, "orders/analytics", true),
            (Kind::Database, "orders", false),
            (Kind::Schema, "orders/public", true),
            (Kind::Schema, "orders/analytics/public", true),
            (Kind::Schema, "orders", false),
            (Kind::Schema, "orders/public.t", false),
            (Kind::Table, "orders/public.t", true),
            (Kind::Table, "orders/public", false),
            (Kind::Table, "orders/public.*", false),
            (Kind::Table, "public.t", false),
            (Kind::Column, "orders/a/public.t.c", true),
            (Kind::Column, "orders/public.t", false),
            (Kind::Column, "orders/public..c", false),
        ] {
            assert_eq!(Place::parse(kind, path).is_some(), ok, "{kind:?} {path}");
        }
    }

    #[test]
    fn the_part_of_a_request_in_a_place_is_what_both_name() {
        for (whole, kind, path, part) in [
            ("*.*", Kind::Schema, "t/pay", Some("pay.*")),
            ("*.*", Kind::Table, "t/pay.a", Some("pay.a")),
            ("*.*", Kind::Column, "t/pay.a.c", Some("pay.a.c")),
            ("*.a", Kind::Schema, "t/pay", Some("pay.a")),
            ("p*.a*", Kind::Table, "t/pay.ab", Some("pay.ab")),
            ("pay.*", Kind::Schema, "t/pay", None),
            ("pay.a", Kind::Schema, "t/pay", None),
            ("pay.a", Kind::Table, "t/pay.b", None),
            ("pay.a.x", Kind::Column, "t/pay.a.c", None),
            ("pay.a", Kind::Column, "t/pay.a.c", Some("pay.a.c")),
            ("*.*", Kind::Schema, "t/db/pay", None),
            ("db/*.*", Kind::Schema, "t/db/pay", Some("db/pay.*")),
            ("db/*.*", Kind::Database, "t/db", None),
            ("*.*", Kind::Target, "t", None),
        ] {
            let place = Place::parse(kind, path).unwrap();
            let found = place.part_of(&whole.parse().unwrap()).map(|part| part.to_string());
            assert_eq!(found.as_deref(), part, "{whole} in {path}");
        }
    }

    #[test]
    fn a_resource_lies_in_all_that_is_wider() {
        let target: Name = "t".parse().unwrap();
        for (resource, places) in [
            ("*.*", "Target t"),
            ("public.*", "Schema t/public, Target t"),
            ("db/*.*", "Database t/db, Target t"),
            ("db/s.a.c", "Column t/db/s.a.c, Table t/db/s.a, Schema t/db/s, Database t/db, Target t"),
            ("s.a_*", "Table t/s.a_*, Schema t/s, Target t"),
            ("*.a", "Table t/*.a, Schema t/*, Target t"),
        ] {
            let chain = chain(&target, &resource.parse().unwrap());
            let words: Vec<_> = chain.iter().map(|(kind, path)| format!("{} {path}", kind.word())).collect();
            assert_eq!(words.join(", "), places);
        }
    }
}
