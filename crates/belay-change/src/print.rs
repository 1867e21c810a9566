//! Hashes of images, and which of them are left when equal ones on both sides cancel each other out.

/// What is kept of one side of a table.
#[derive(Debug, Default)]
pub(crate) struct Prints {
    prints: Vec<Print>,
    /// Beside each of `prints` where columns are volatile, else empty.
    masked: Vec<[u8; 32]>,
}

/// What is kept of an image.
#[derive(Debug, Clone, Copy)]
struct Print {
    whole: [u8; 32],
    row: [u8; 16],
}

/// What is left of both sides, in the order in which it came.
#[derive(Debug)]
pub(crate) struct Survivors {
    pub(crate) old: Prints,
    pub(crate) new: Prints,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Inserted,
    Updated,
    Deleted,
}

impl Prints {
    pub(crate) fn add(&mut self, whole: [u8; 32], row: [u8; 16], masked: Option<[u8; 32]>) {
        self.prints.push(Print { whole, row });
        self.masked.extend(masked);
    }

    pub(crate) fn len(&self) -> usize {
        self.prints.len()
    }

    /// What is compared of each image.
    pub(crate) fn prints(&self) -> Vec<[u8; 32]> {
        if self.masked.is_empty() {
            return self.prints.iter().map(|print| print.whole).collect();
        }
        self.masked.clone()
    }

    /// What is compared of each image, and which row it is of.
    pub(crate) fn rows(&self) -> impl Iterator<Item = ([u8; 32], [u8; 16])> {
        let compared = |at: usize, print: &Print| self.masked.get(at).copied().unwrap_or(print.whole);
        self.prints.iter().enumerate().map(move |(at, print)| (compared(at, print), print.row))
    }

    fn keys(&self) -> Vec<[u8; 16]> {
        let mut keys: Vec<_> = self.prints.iter().map(|print| print.row).collect();
        keys.sort_unstable();
        keys
    }

    fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.prints.len()).collect();
        order.sort_unstable_by_key(|at| self.prints.get(*at).map(|print| print.whole));
        order
    }

    fn without(&mut self, cancelled: &[bool]) {
        let stays = |at: usize| cancelled.get(at) != Some(&true);
        retain(&mut self.prints, stays);
        retain(&mut self.masked, stays);
    }
}

impl Survivors {
    /// Lets equal images cancel: as often as one stands on both sides.
    pub(crate) fn of(mut old: Prints, mut new: Prints) -> Survivors {
        let mut gone = (vec![false; old.len()], vec![false; new.len()]);
        let (olds, news) = (old.in_order(), new.in_order());
        let (mut left, mut right) = (olds.iter().peekable(), news.iter().peekable());
        while let (Some(&one), Some(&other)) = (left.peek(), right.peek()) {
            let whole = |prints: &Prints, at: usize| prints.prints.get(at).map(|print| print.whole);
            let order = whole(&old, *one).cmp(&whole(&new, *other));
            if order.is_eq() {
                set(&mut gone.0, *one);
                set(&mut gone.1, *other);
            }
            if order.is_le() {
                left.next();
            }
            if order.is_ge() {
                right.next();
            }
        }
        old.without(&gone.0);
        new.without(&gone.1);
        Survivors { old, new }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.old.len() == 0 && self.new.len() == 0
    }

    /// Rows that stand on both sides.
    pub(crate) fn in_both(&self) -> u64 {
        let (olds, news) = (self.old.keys(), self.new.keys());
        let (mut left, mut right, mut both) = (olds.iter().peekable(), news.iter().peekable(), 0);
        while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
            let order = one.cmp(other);
            both += u64::from(order.is_eq());
            if order.is_le() {
                left.next();
            }
            if order.is_ge() {
                right.next();
            }
        }
        both
    }

    /// Each row once, as it came: first those that were there, then those that are new.
    pub(crate) fn fates(&self) -> Vec<([u8; 16], Fate)> {
        let (mut olds, mut news) = (self.old.keys(), self.new.keys());
        olds.dedup();
        news.dedup();
        let mut fates = Vec::with_capacity(olds.len() + news.len());
        let mut seen = vec![false; olds.len()];
        for (_, row) in self.old.rows() {
            if let Ok(at) = olds.binary_search(&row)
                && seen.get(at) == Some(&false)
            {
                set(&mut seen, at);
                let updated = news.binary_search(&row).is_ok();
                fates.push((row, if updated { Fate::Updated } else { Fate::Deleted }));
            }
        }
        let mut seen = vec![false; news.len()];
        for (_, row) in self.new.rows() {
            if let Ok(at) = news.binary_search(&row)
                && seen.get(at) == Some(&false)
                && olds.binary_search(&row).is_err()
            {
                set(&mut seen, at);
                fates.push((row, Fate::Inserted));
            }
        }
        fates
    }
}

fn set(flags: &mut [bool], at: usize) {
    if let Some(flag) = flags.get_mut(at) {
        *flag = true;
    }
}

fn retain<T>(items: &mut Vec<T>, stays: impl Fn(usize) -> bool) {
    let mut at = 0;
    items.retain(|_| {
        at += 1;
        stays(at - 1)
    });
}
