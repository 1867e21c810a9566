//! Tiles: the hashes of the tree in files that never change once they are full, as in C2SP tlog-tiles.
//!
//! A tile holds up to 256 neighbouring hashes of one level of the tree, and only each eighth level is stored: what lies
//! between follows from it.

use crate::Hash;
use crate::merkle::{Nodes, root_of};
use std::fmt;

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Levels of the tree from one level of tiles to the next.
const HEIGHT: u32 = 8;

/// Which tile, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TilePath {
    /// The level of tiles: its hashes are on level 8 * `level` of the tree.
    pub level: u32,
    /// Counted from 0 on its level.
    pub index: u64,
    /// How many hashes it has, from 1 to 256.
    pub width: usize,
}

impl fmt::Display for TilePath {
    /// `tile/0/x001/234` or, of a tile that is not full, `tile/0/x001/234.p/17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.index / 1_000;
        let mut index = format!("{:03}", self.index % 1_000);
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1_000);
            rest /= 1_000;
        }
        write!(f, "tile/{}/{index}", self.level)?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// A tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Which one.
    pub path: TilePath,
    /// Its hashes.
    pub hashes: Vec<Hash>,
}

impl Tile {
    /// What its file holds.
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// Reads what [`Tile::encode`] wrote; nothing where that is not a tile of this width.
    pub fn decode(path: TilePath, bytes: &[u8]) -> Option<Tile> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let whole = rest.is_empty() && hashes.len() == path.width;
        whole.then(|| Tile { path, hashes: hashes.iter().map(|hash| Hash(*hash)).collect() })
    }
}

/// The tree as it grows. Holds the tiles that are not full: at most 256 hashes a level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// By level.
    open: Vec<Vec<Hash>>,
}

impl Tree {
    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, and hands over each tile that is full with it.
    pub fn push<E>(&mut self, leaf: Hash, full: &mut impl FnMut(Tile) -> Result<(), E>) -> Result<(), E> {
        let mut hash = leaf;
        self.size += 1;
        let mut level = 0;
        // Ends at the first level with room; there are 8 at most.
        loop {
            let slot = usize::try_from(level).unwrap_or(0);
            if self.open.len() <= slot {
                self.open.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(hashes) = self.open.get_mut(slot) else { return Ok(()) };
            hashes.push(hash);
            if hashes.len() < TILE_WIDTH {
                return Ok(());
            }
            let hashes = std::mem::replace(hashes, Vec::with_capacity(TILE_WIDTH));
            hash = root_of(&hashes);
            let index = (self.size >> (HEIGHT * (level + 1))) - 1;
            full(Tile { path: TilePath { level, index, width: TILE_WIDTH }, hashes })?;
            level += 1;
        }
    }

    /// The tiles that are not full, lowest level first.
    pub fn partial(&self) -> Vec<Tile> {
        let paths = partial_paths(self.size);
        let of = |path: TilePath| {
            let hashes = usize::try_from(path.level).ok().and_then(|level| self.open.get(level))?;
            Some(Tile { path, hashes: hashes.clone() })
        };
        paths.into_iter().filter_map(of).collect()
    }

    /// The tree of this size, of whose partial tiles `read` gives the hashes; nothing where one is not there.
    pub fn resume(size: u64, mut read: impl FnMut(TilePath) -> Option<Tile>) -> Option<Tree> {
        let levels = u64::BITS.div_ceil(HEIGHT);
        let mut open = Vec::new();
        for level in (0..levels).take_while(|level| size >> (HEIGHT * level) > 0) {
            let path = partial_paths(size).into_iter().find(|path| path.level == level);
            open.push(match path {
                Some(path) => read(path)?.hashes,
                None => Vec::new(),
            });
        }
        Some(Tree { size, open })
    }

    /// The root.
    pub fn root(&self) -> Hash {
        // What is on the left of a level is on the right of the one above it.
        let mut right: Option<Hash> = None;
        for hashes in &self.open {
            let mut hashes = hashes.clone();
            hashes.extend(right);
            right = if hashes.is_empty() { None } else { Some(unbalanced(&hashes, right.is_some())) };
        }
        right.unwrap_or_else(crate::merkle::empty_root)
    }
}

/// The root over whole subtrees of one size and, at the end, what is left of the levels below where there is something.
fn unbalanced(hashes: &[Hash], with_rest: bool) -> Hash {
    let Some((last, whole)) = hashes.split_last().filter(|_| with_rest) else { return root_of(hashes) };
    let mut peaks = Vec::new();
    let mut rest = whole;
    while !rest.is_empty() {
        let (peak, more) = rest.split_at(1 << rest.len().ilog2());
        peaks.push(root_of(peak));
        rest = more;
    }
    peaks.into_iter().rev().fold(*last, |right, left| crate::merkle::node(left, right))
}

/// The tiles of a tree of this size that are not full, lowest level first.
pub fn partial_paths(size: u64) -> Vec<TilePath> {
    let levels = u64::BITS.div_ceil(HEIGHT);
    let of = |level: u32| {
        let hashes = size >> (HEIGHT * level);
        let width = usize::try_from(hashes % TILE_WIDTH as u64).ok().filter(|width| *width > 0)?;
        Some(TilePath { level, index: hashes / TILE_WIDTH as u64, width })
    };
    (0..levels).filter_map(of).collect()
}

/// The tile of a tree of `size` in which the hash of a whole subtree is, or those it is made of.
fn tile_of(level: u32, index: u64, size: u64) -> Option<(TilePath, std::ops::Range<usize>)> {
    let (tile_level, above) = (level / HEIGHT, level % HEIGHT);
    let first = index.checked_shl(above)?;
    let there = size.checked_shr(HEIGHT * tile_level)?;
    let tile = first / TILE_WIDTH as u64;
    let width = usize::try_from(there.checked_sub(tile * TILE_WIDTH as u64)?).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
    let from = usize::try_from(first % TILE_WIDTH as u64).ok()?;
    let to = from + (1 << above);
    (to <= width).then_some((TilePath { level: tile_level, index: tile, width }, from..to))
}

/// A tree of a certain size, read from its tiles.
pub struct Tiled<R> {
    /// Its size.
    pub size: u64,
    /// Gives a tile.
    pub read: R,
}

impl<R: FnMut(TilePath) -> Result<Tile, E>, E: From<NoTile>> Nodes for Tiled<R> {
    type Error = E;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, E> {
        let missing = NoTile { level, index };
        let (path, places) = tile_of(level, index, self.size).ok_or(missing)?;
        let tile = (self.read)(path)?;
        Ok(tile.hashes.get(places).map(root_of).ok_or(missing)?)
    }
}

/// A subtree that a tree of this size does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no whole subtree {index} on level {level}")]
pub struct NoTile {
    /// Its level.
    pub level: u32,
    /// Its place on the level.
    pub index: u64,
}
