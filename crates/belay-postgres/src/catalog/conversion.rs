//! What a value of one type can become, and which guarded functions that may call.
//!
//! PostgreSQL converts through domains, elements of arrays and fields of rows; so does this. Where a type is not known,
//! every conversion counts that there is.

use super::rows::{CastRow, FIRST_USER_ID, RelationRow, Rows, TypeRow};
use super::{Catalog, Kind};
use std::collections::{HashMap, HashSet};

/// PostgreSQL's functions that make JSON call casts to it.
const JSON: [u32; 2] = [114, 3802];
/// Domains over domains, arrays of rows of arrays.
const DEPTH: usize = 64;

impl Catalog {
    /// Whether a value of this kind can stand where one of `wanted` is needed without a cast being written.
    pub(crate) fn may_become(&self, given: Kind, wanted: u32) -> bool {
        let target = self.base(wanted);
        let Some(target_row) = self.type_by_id(target).filter(|row| row.category != 'P') else { return true };
        let given = match given {
            Kind::Of(given) => self.base(given),
            Kind::Array => {
                let is_array = |cast: &CastRow| self.type_by_id(cast.source).is_some_and(|row| row.category == 'A');
                let mut casts = self.rows.casts.iter().filter(|cast| cast.implicit && cast.target == target);
                return target_row.category == 'A' || casts.any(is_array);
            }
            Kind::Any | Kind::Literal => return true,
        };
        if given == target {
            return true;
        }
        let Some(source) = self.type_by_id(given).filter(|row| !is_stand_in(row)) else { return true };
        // Arrays, rows and unknown things are not told apart.
        if (source.element != 0 && target_row.element != 0) || source.relation != 0 {
            return true;
        }
        self.casts(given).any(|cast| cast.target == target && cast.implicit)
    }

    /// The type that a domain is made of; of other types, the type itself.
    pub(crate) fn base(&self, type_id: u32) -> u32 {
        let mut base = type_id;
        for _ in 0..DEPTH {
            match self.type_by_id(base) {
                Some(row) if row.base != 0 => base = row.base,
                _ => break,
            }
        }
        base
    }

    /// The array type of these elements.
    pub(crate) fn array_of(&self, element: u32) -> Option<u32> {
        self.arrays.get(&element).copied()
    }

    /// Guarded functions that a cast of such a value to a type may call.
    pub(crate) fn called_by_cast(&self, from: Kind, to: u32) -> Vec<u32> {
        let mut found = Vec::new();
        if !self.guarded_casts.is_empty() {
            self.convert(from, to, &mut HashSet::new(), &mut found);
        }
        found
    }

    /// Guarded functions that a cast of such a value to any type may call.
    pub(crate) fn called_by_any_cast(&self, from: Kind) -> Vec<u32> {
        let mut targets: Vec<u32> = self.guarded_casts.iter().map(|cast| cast.target).collect();
        targets.extend(targets.clone().into_iter().filter_map(|target| self.array_of(target)));
        targets.into_iter().flat_map(|target| self.called_by_cast(from, target)).collect()
    }

    fn convert(&self, from: Kind, to: u32, seen: &mut HashSet<(Kind, u32)>, found: &mut Vec<u32>) {
        let target = self.base(to);
        let from = match from {
            Kind::Of(id) => match self.type_by_id(self.base(id)) {
                Some(row) if !is_stand_in(row) => Kind::Of(row.id),
                _ => Kind::Any,
            },
            Kind::Array => Kind::Any,
            Kind::Any | Kind::Literal => from,
        };
        if !seen.insert((from, target)) {
            return;
        }
        // A cast of a type to itself cuts to a length, whatever the value was made from.
        let fits = |cast: &&CastRow| {
            let source = match from {
                Kind::Of(source) => cast.source == source,
                Kind::Any | Kind::Array => true,
                Kind::Literal => false,
            };
            cast.target == target && (source || cast.source == target)
        };
        found.extend(self.guarded_casts.iter().filter(fits).map(|cast| cast.function));
        let Some(row) = self.type_by_id(target) else { return };
        if row.element != 0 {
            let element = match from {
                Kind::Of(source) => match self.type_by_id(source).map_or(0, |source| source.element) {
                    0 => Kind::Literal,
                    element => Kind::Of(element),
                },
                other => other,
            };
            self.convert(element, row.element, seen, found);
        }
        // Only a row that is written out is converted field by field.
        if let (Kind::Any, Some(fields)) = (from, self.relation_by_id(row.relation)) {
            for field in &fields.columns {
                self.convert(Kind::Any, field.type_id, seen, found);
            }
        }
    }
}

/// Whether it stands for other types: `record`, `anyelement`, `unknown`.
fn is_stand_in(row: &TypeRow) -> bool {
    matches!(row.category, 'P' | 'X')
}

/// The casts that call a guarded function.
pub(super) fn guarded(rows: &Rows, guarded: &HashSet<u32>) -> Vec<CastRow> {
    rows.casts.iter().filter(|cast| guarded.contains(&cast.function)).cloned().collect()
}

/// The array type of each element type. `int2vector` is an array too, but not the one that `int2[]` is.
pub(super) fn arrays(rows: &Rows) -> HashMap<u32, u32> {
    let mut arrays = HashMap::new();
    for row in rows.types.iter().filter(|row| row.element != 0 && row.category == 'A') {
        if row.name.starts_with('_') {
            arrays.insert(row.element, row.id);
        } else {
            arrays.entry(row.element).or_insert(row.id);
        }
    }
    arrays
}

/// Guarded functions, and the database's own that change something, that using a value of a type may call without a cast being written: what the type itself calls,
/// and casts to it and from it, of what it is made of too. A function calls what its own types do.
pub(super) fn called_by_types(rows: &Rows, guarded: &HashSet<u32>, casts: &[CastRow]) -> HashMap<u32, Vec<u32>> {
    let mut called: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in &rows.types {
        let counts = |function: &&u32| guarded.contains(function) || **function < FIRST_USER_ID;
        for function in row.calls.iter().filter(counts) {
            called.entry(row.id).or_default().push(*function);
        }
    }
    let unwritten = casts.iter().filter(|cast| cast.implicit || JSON.contains(&cast.target));
    let unwritten: Vec<&CastRow> = unwritten.collect();
    if unwritten.is_empty() {
        return called;
    }
    let holders = holders(rows);
    for cast in unwritten {
        let mut open: Vec<u32> = ends(cast).collect();
        let mut seen = HashSet::new();
        while let Some(type_id) = open.pop() {
            if seen.insert(type_id) {
                called.entry(type_id).or_default().push(cast.function);
                open.extend(holders.get(&type_id).into_iter().flatten());
            }
        }
    }
    called
}

/// The types whose values a cast that nobody writes is about. Where only one is a user's, that is what calls for it:
/// values of the other are everywhere.
fn ends(cast: &CastRow) -> impl Iterator<Item = u32> {
    let own = cast.source < FIRST_USER_ID && cast.target < FIRST_USER_ID;
    let source = (own || cast.source >= FIRST_USER_ID).then_some(cast.source);
    let target = (cast.implicit && cast.target >= FIRST_USER_ID).then_some(cast.target);
    source.into_iter().chain(target)
}

/// The types that are made of each type: domains over it, arrays of it, rows with it.
fn holders(rows: &Rows) -> HashMap<u32, Vec<u32>> {
    let relations: HashMap<u32, &RelationRow> = rows.relations.iter().map(|row| (row.id, row)).collect();
    let mut holders: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in &rows.types {
        let fields = relations.get(&row.relation).into_iter().flat_map(|relation| &relation.columns);
        let parts = [row.element, row.base].into_iter().chain(fields.map(|column| column.type_id));
        for part in parts.filter(|part| *part != 0) {
            holders.entry(part).or_default().push(row.id);
        }
    }
    holders
}
