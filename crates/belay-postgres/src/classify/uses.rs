//! What a statement takes from the target's relations, and the functions that this may call.

use super::withheld;
use crate::catalog::Catalog;
use crate::catalog::rows::{FIRST_USER_ID, FunctionRow, RelationKind, RelationRow};
use belay_model::{Access, ColumnUse, FunctionName, Relation, Shown, Via};
use std::collections::HashSet;

/// Relations that one statement may reach through views and inheritance.
const REACHED: usize = 4_096;

/// Where the places begin of the database's own relations with a secret column.
const OWN: usize = 1 << 24;

const TAKEN: u8 = 1;
const COMPUTED: u8 = 2;

/// What is noted while a statement is walked.
#[derive(Default)]
pub(super) struct Uses<'a> {
    relations: Vec<Use<'a>>,
    /// The database's own that have a secret column.
    own: Vec<Use<'a>>,
    calls: Vec<u32>,
}

/// One relation that the statement names.
struct Use<'a> {
    relation: &'a RelationRow,
    via: Via,
    /// Also its children: it is named without ONLY.
    inherited: bool,
    columns: Vec<u8>,
}

/// What comes of it.
#[derive(Default)]
pub(super) struct Reached {
    pub(super) accesses: Vec<Access>,
    pub(super) calls: Vec<FunctionName>,
    /// Those of them that may leave the transaction.
    pub(super) outward: Vec<FunctionName>,
    /// The database's own functions that change something, by their names: views call them.
    pub(super) own_calls: Vec<String>,
    /// The database's own relations that views read.
    pub(super) own_reads: Vec<Relation>,
    /// Secret columns of the database's own relations of which something is made, and why they are secret.
    pub(super) secrets: Vec<(String, &'static str)>,
    /// More relations than can be followed.
    pub(super) too_many: bool,
}

impl<'a> Uses<'a> {
    /// Notes that a relation is named; what is used of it is noted under the returned place.
    pub(super) fn relation(&mut self, relation: &'a RelationRow, via: Via, inherited: bool) -> usize {
        let (list, start) = if is_own(relation) { (&mut self.own, OWN) } else { (&mut self.relations, 0) };
        let known = list
            .iter()
            .position(|known| known.relation.id == relation.id && known.inherited == inherited && known.via == via);
        let place = known.unwrap_or_else(|| {
            let columns = vec![0; relation.columns.len()];
            list.push(Use { relation, via, inherited, columns });
            list.len() - 1
        });
        start + place
    }

    /// A column is named.
    pub(super) fn take(&mut self, uses: usize, column: usize) {
        self.mark(uses, column, TAKEN);
    }

    /// Something depends on a column's value.
    pub(super) fn compute(&mut self, uses: usize, column: usize) {
        self.mark(uses, column, TAKEN | COMPUTED);
    }

    fn mark(&mut self, uses: usize, column: usize, bits: u8) {
        let known = match uses.checked_sub(OWN) {
            Some(own) => self.own.get_mut(own),
            None => self.relations.get_mut(uses),
        };
        if let Some(mark) = known.and_then(|known| known.columns.get_mut(column)) {
            *mark |= bits;
        }
    }

    /// Whether this column is one that is never shown.
    pub(super) fn is_secret(&self, uses: usize, column: usize) -> bool {
        let known = uses.checked_sub(OWN).and_then(|own| self.own.get(own));
        known.is_some_and(|known| known.secret().is_some_and(|(place, _, _)| place == column))
    }

    /// A guarded function may be called.
    pub(super) fn call(&mut self, function: u32) {
        if !self.calls.contains(&function) {
            self.calls.push(function);
        }
    }

    /// Where in the accesses a column comes to stand. The accesses begin with the relations as they were noted, and
    /// their columns are those that are taken, in order.
    pub(super) fn shown(&self, position: usize, uses: usize, column: usize) -> Option<Shown> {
        let before = self.relations.get(uses)?.columns.iter().take(column).filter(|mark| **mark != 0).count();
        let small = |number: usize| u16::try_from(number).ok();
        Some(Shown { position: small(position)?, access: small(uses)?, column: small(before)? })
    }

    /// Everything that is reached, through views and children too.
    pub(super) fn finish(&self, catalog: Option<&Catalog>) -> Reached {
        let accesses = self.relations.iter().map(|used| used.access(catalog)).collect();
        let mut reached = Reached { accesses, ..Reached::default() };
        let Some(catalog) = catalog else { return reached };
        for own in &self.own {
            if let Some((place, name, why)) = own.secret()
                && own.columns.get(place).is_some_and(|mark| mark & COMPUTED != 0)
            {
                reached.secrets.push((format!("{}.{name}", own.relation.name), why));
            }
        }
        let mut calls = self.calls.clone();
        for used in &self.relations {
            let mut seen = HashSet::new();
            used.follow(catalog, &mut reached, &mut calls, &mut seen);
        }
        // Arguments become what a function takes.
        let signatures = calls.iter().filter_map(|id| catalog.function_by_id(*id).filter(|_| catalog.is_guarded(*id)));
        let types = signatures.flat_map(|function| function.arguments.iter().chain([&function.returns]));
        let by_types: Vec<u32> = types.flat_map(|type_id| catalog.called_by_type(*type_id)).copied().collect();
        calls.extend(by_types);
        calls.sort_unstable();
        calls.dedup();
        for function in calls.into_iter().filter_map(|id| catalog.function_by_id(id)) {
            if catalog.is_guarded(function.id) {
                reached.calls.push(name_of(function));
                if function.outward {
                    reached.outward.push(name_of(function));
                }
            } else if function.id < FIRST_USER_ID {
                reached.own_calls.push(function.name.clone());
            }
        }
        reached
    }
}

impl Use<'_> {
    /// The place of the column that is never shown, its name, and why.
    fn secret(&self) -> Option<(usize, &'static str, &'static str)> {
        let (name, why) = withheld::secret(self.relation)?;
        let place = self.relation.columns.iter().position(|column| column.name == name)?;
        Some((place, name, why))
    }

    fn access(&self, catalog: Option<&Catalog>) -> Access {
        let relation = match self.via {
            Via::Filtered => named(catalog.and_then(|catalog| behind(catalog, self.relation)).unwrap_or(self.relation)),
            _ => named(self.relation),
        };
        let kin = catalog.map(|catalog| match self.via {
            Via::Filtered => catalog.kin(behind(catalog, self.relation).unwrap_or(self.relation).id),
            _ => catalog.kin(self.relation.id),
        });
        Access { relation, columns: self.taken(), via: self.via.clone(), kin: kin.unwrap_or_default() }
    }

    fn taken(&self) -> Vec<ColumnUse> {
        let columns = self.relation.columns.iter().zip(&self.columns).filter(|(_, mark)| **mark != 0);
        columns.map(|(column, mark)| ColumnUse { name: column.name.clone(), computed: mark & COMPUTED != 0 }).collect()
    }

    /// What lies behind a view, and what inherits from a table.
    fn follow(&self, catalog: &Catalog, reached: &mut Reached, calls: &mut Vec<u32>, seen: &mut HashSet<u32>) {
        calls.extend(called_by_reading(self.relation));
        if self.via == Via::Filtered {
            return;
        }
        let view = is_view(self.relation).then(|| named(self.relation));
        let mut open: Vec<u32> = match &view {
            Some(view) => through(catalog, self.relation, view, reached),
            None => Vec::new(),
        };
        if self.inherited {
            open.extend(self.relation.children.iter().copied());
        }
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if reached.accesses.len() >= REACHED {
                reached.too_many = true;
                return;
            }
            let Some(relation) = catalog.relation_by_id(id) else { continue };
            calls.extend(called_by_reading(relation));
            if let Some(view) = &view {
                // What a view reads is noted by `through`; only what lies behind that is still to be found.
                open.extend(through(catalog, relation, view, reached));
                open.extend(children_through(catalog, relation, view, reached));
            } else {
                // A child is read in the columns that its parent is.
                let via = Via::Parent(named(self.relation));
                reached.accesses.push(Access {
                    relation: named(relation),
                    columns: self.taken(),
                    via,
                    kin: catalog.kin(relation.id),
                });
                open.extend(relation.children.iter().copied());
            }
        }
    }
}

/// Notes what a view reads, in the columns it reads, as something that its rows are made from.
fn through(catalog: &Catalog, relation: &RelationRow, view: &Relation, reached: &mut Reached) -> Vec<u32> {
    if !is_view(relation) {
        return Vec::new();
    }
    for read in &relation.reads {
        let Some(base) = catalog.relation_by_id(read.relation) else { continue };
        if is_own(base) {
            reached.own_reads.push(named(base));
            if let Some((name, why)) = withheld::secret(base)
                && base.columns.iter().any(|column| column.name == name && read.columns.contains(&column.number))
            {
                reached.secrets.push((format!("{}.{name}", base.name), why));
            }
            continue;
        }
        let whole = read.columns.contains(&0);
        let used = base.columns.iter().filter(|column| whole || read.columns.contains(&column.number));
        let columns = used.map(|column| ColumnUse { name: column.name.clone(), computed: true }).collect();
        reached.accesses.push(Access {
            relation: named(base),
            columns,
            via: Via::View(view.clone()),
            kin: catalog.kin(base.id),
        });
    }
    relation.reads.iter().map(|read| read.relation).collect()
}

/// A view over a table reads the table's children too.
fn children_through(catalog: &Catalog, relation: &RelationRow, view: &Relation, reached: &mut Reached) -> Vec<u32> {
    let children = relation.children.iter().filter_map(|id| catalog.relation_by_id(*id));
    for child in children {
        let all = child.columns.iter().map(|column| ColumnUse { name: column.name.clone(), computed: true });
        reached.accesses.push(Access {
            relation: named(child),
            columns: all.collect(),
            via: Via::View(view.clone()),
            kin: catalog.kin(child.id),
        });
    }
    relation.children.clone()
}

/// The rows of a materialized view were made when it was refreshed: reading them calls nothing.
fn called_by_reading(relation: &RelationRow) -> &[u32] {
    if relation.kind == RelationKind::MaterializedView { &[] } else { &relation.calls }
}

fn is_view(relation: &RelationRow) -> bool {
    matches!(relation.kind, RelationKind::View | RelationKind::MaterializedView)
}

/// Whether a relation is the database's own, by its id.
pub(super) fn is_own(relation: &RelationRow) -> bool {
    relation.id < FIRST_USER_ID
}

/// The table behind a filtered view.
pub(super) fn behind<'c>(catalog: &'c Catalog, view: &RelationRow) -> Option<&'c RelationRow> {
    catalog.relation_by_id(view.reads.first()?.relation)
}

pub(super) fn named(relation: &RelationRow) -> Relation {
    relation.named()
}

pub(super) fn name_of(function: &FunctionRow) -> FunctionName {
    FunctionName {
        schema: function.schema.clone(),
        name: function.name.clone(),
        arguments: Some(function.argument_names.clone()),
    }
}
