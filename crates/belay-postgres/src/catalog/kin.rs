//! Which tables share rows: what inherits from a table or is a part of it, at any distance, and what that comes from.
//! Siblings share none.

use super::rows::RelationRow;
use belay_model::Relation;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// See the module. Lists are made when they are asked for: most are not.
#[derive(Debug, Default)]
pub(super) struct Kin {
    lines: HashMap<u32, Line>,
    nobody: Arc<[Relation]>,
}

#[derive(Debug, Default)]
struct Line {
    above: Vec<u32>,
    below: Vec<u32>,
    names: OnceLock<Arc<[Relation]>>,
}

impl Kin {
    pub(super) fn new(relations: &[RelationRow]) -> Kin {
        let mut lines: HashMap<u32, Line> = HashMap::new();
        for above in relations {
            for below in above.children.iter().chain(&above.parts) {
                lines.entry(above.id).or_default().below.push(*below);
                lines.entry(*below).or_default().above.push(above.id);
            }
        }
        Kin { lines, ..Kin::default() }
    }

    /// The names of a table's kin, in order.
    pub(super) fn names<'r>(&self, id: u32, row: impl Fn(u32) -> Option<&'r RelationRow>) -> Arc<[Relation]> {
        let Some(line) = self.lines.get(&id) else { return Arc::clone(&self.nobody) };
        let names = line.names.get_or_init(|| {
            let mut names: Vec<Relation> = self.ids(id).into_iter().filter_map(row).map(RelationRow::named).collect();
            names.sort_unstable();
            names.into()
        });
        Arc::clone(names)
    }

    /// The ids of a table's kin.
    pub(super) fn ids(&self, id: u32) -> Vec<u32> {
        let mut found = self.along(id, |line| &line.above);
        found.extend(self.along(id, |line| &line.below));
        found
    }

    fn along(&self, start: u32, next: impl Fn(&Line) -> &Vec<u32>) -> Vec<u32> {
        let mut seen = HashSet::from([start]);
        let mut found = vec![start];
        let mut place = 0;
        while let Some(id) = found.get(place) {
            let more = self.lines.get(id).map(&next).into_iter().flatten();
            let new: Vec<u32> = more.copied().filter(|id| seen.insert(*id)).collect();
            found.extend(new);
            place += 1;
        }
        found.split_off(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::rows::RelationKind;

    fn table(id: u32, children: &[u32], parts: &[u32]) -> RelationRow {
        RelationRow {
            id,
            schema: "app".to_owned(),
            name: format!("t{id}"),
            kind: RelationKind::Table,
            columns: Vec::new(),
            reads: Vec::new(),
            calls: Vec::new(),
            children: children.to_vec(),
            parts: parts.to_vec(),
        }
    }

    #[test]
    fn kin_are_above_and_below_but_not_beside() {
        let rows = [
            table(1, &[2, 3], &[]),
            table(2, &[], &[4, 5]),
            table(3, &[], &[]),
            table(4, &[], &[]),
            table(6, &[], &[]),
        ];
        let kin = Kin::new(&rows);
        let sorted = |id| {
            let mut ids = kin.ids(id);
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(1), [2, 3, 4, 5]);
        assert_eq!(sorted(2), [1, 4, 5]);
        assert_eq!(sorted(3), [1]);
        assert_eq!(sorted(4), [1, 2]);
        assert!(sorted(6).is_empty());
        let names = kin.names(2, |id| rows.iter().find(|row| row.id == id));
        assert_eq!(names.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["t1", "t4"], "5 is not there");
        assert!(kin.names(6, |_| None).is_empty());
    }
}
