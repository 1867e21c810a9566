//! The change that takes a change back.

use crate::{ChangeSet, Images, Side, TableChange};
use std::io;

/// Images with their sides changed: what was there before is there after.
#[derive(Debug)]
pub struct Inverse<I>(pub I);

impl<I: Images> Images for Inverse<I> {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        Ok(self.0.next()?.map(|(table, side, image)| (table, side.other(), image)))
    }
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Old => Side::New,
            Side::New => Side::Old,
        }
    }
}

impl ChangeSet {
    /// The change set that takes this one back. Its fingerprint is that of the inverse images, as a tally of
    /// [`Inverse`] tells it. It gives back values that are known, so none is volatile, and moves no sequence.
    #[must_use]
    pub fn inverse(&self, fingerprint: String) -> ChangeSet {
        let of = |change: &TableChange| TableChange {
            inserted: change.deleted,
            deleted: change.inserted,
            volatile: Vec::new(),
            ..change.clone()
        };
        ChangeSet { tables: self.tables.iter().map(of).collect(), fingerprint, ..ChangeSet::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Listed, change, listed, table};
    use crate::{Tally, Totals};
    use proptest::prelude::*;

    fn totals(mut images: impl Images) -> Totals {
        let mut tally = Tally::new(1000);
        tally.table(&table("orders", &[0]), &[]).unwrap();
        while let Some((table, side, image)) = images.next().unwrap() {
            tally.image(table, side, &image).unwrap();
        }
        tally.finish()
    }

    #[test]
    fn what_came_goes_and_what_went_comes() {
        let images = listed(&["-(1,a)", "+(1,b)", "+(2,c)", "+(3,c)", "-(4,d)"]);
        let there = totals(Listed(images.clone().into_iter()));
        let back = totals(Inverse(Listed(images.into_iter())));
        let (one, other) = (&there.tables[0], &back.tables[0]);
        assert_eq!((one.inserted, one.updated, one.deleted), (other.deleted, other.updated, other.inserted));
        assert_ne!(there.fingerprint, back.fingerprint);
        let mut set = ChangeSet {
            tables: vec![change(&table("orders", &[0]), &[])],
            fingerprint: there.fingerprint.clone(),
            ..ChangeSet::default()
        };
        (set.tables[0].inserted, set.tables[0].deleted) = (2, 1);
        let inverse = set.inverse(back.fingerprint);
        assert_eq!((inverse.tables[0].inserted, inverse.tables[0].deleted), (1, 2));
        assert_eq!(inverse.inverse(there.fingerprint), set);
    }

    proptest! {
        #[test]
        fn the_inverse_of_the_inverse_is_the_change(rows in prop::collection::vec((any::<bool>(), 0..5u8, 0..5u8), 0..20)) {
            let side = |old| if old { Side::Old } else { Side::New };
            let image = |&(old, id, value): &(bool, u8, u8)| (0, side(old), format!("({id},{value})").into_bytes());
            let images: Vec<_> = rows.iter().map(image).collect();
            let listed = || Listed(images.clone().into_iter());
            prop_assert_eq!(totals(Inverse(Inverse(listed()))), totals(listed()));
        }
    }
}
