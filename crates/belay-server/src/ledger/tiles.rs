//! The tiles of a ledger's tree, in files beside its segments, and proofs out of them.
//!
//! They follow from the records and can be made anew. A full one never changes; of one that is not full there is the
//! newest, in `NNN.p/WIDTH`.

use crate::files;
use belay_ledger::{ConsistencyProof, Hash, InclusionProof, NoTile, TILE_WIDTH, Tile, TilePath, Tiled};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A full tile in bytes.
const FULL: usize = belay_ledger::TILE_WIDTH * 32;
/// How often a tile is looked for that is not there.
const LOOKS: usize = 3;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The disk or its permissions.
    #[error("tile `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not there, or too short.
    #[error("tile `{0}` is missing or damaged")]
    Missing(PathBuf),
    /// The tree is smaller.
    #[error(transparent)]
    NoTile(#[from] NoTile),
}

/// The tiles in a ledger's directory.
#[derive(Debug, Clone)]
pub struct Tiles {
    dir: PathBuf,
}

impl Tiles {
    /// Those of the ledger in this directory.
    pub fn open(dir: &Path) -> Tiles {
        Tiles { dir: dir.to_owned() }
    }

    /// A tile; of one that is not full any more, the part that it had.
    pub fn read(&self, path: TilePath) -> Result<Tile, TileError> {
        // Whoever signs puts a wider one in its place now and then.
        for _ in 1..LOOKS {
            match self.look(path) {
                Err(TileError::Missing(_)) => {}
                found => return found,
            }
        }
        self.look(path)
    }

    fn look(&self, path: TilePath) -> Result<Tile, TileError> {
        let file = self.dir.join(path.to_string());
        // Where it is not there, files that hold more of it are looked for.
        let found = self.read_part(&file, path).transpose();
        let found = found.or_else(|| self.wider(path).iter().find_map(|file| self.read_part(file, path).transpose()));
        found.unwrap_or(Err(TileError::Missing(file)))
    }

    /// The beginning of a file, as this tile; nothing where there is no such file.
    fn read_part(&self, file: &Path, path: TilePath) -> Result<Option<Tile>, TileError> {
        let failed = |source| TileError::Io { path: file.to_owned(), source };
        let missing = || TileError::Missing(self.dir.join(path.to_string()));
        let found = match File::open(file) {
            Ok(found) if found.metadata().map_err(failed)?.is_file() => found,
            Ok(_) => return Err(missing()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let mut bytes = Vec::with_capacity(FULL);
        found.take(FULL as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let part = bytes.get(..path.width * 32).filter(|_| bytes.len() <= FULL).ok_or_else(missing)?;
        Tile::decode(path, part).map(Some).ok_or_else(missing)
    }

    /// Whether every full tile of a tree of this size is there, as far as lengths tell.
    pub(super) fn are_full(&self, size: u64) -> bool {
        let width = belay_ledger::TILE_WIDTH;
        let full = |level: u32| size.checked_shr(8 * (level + 1)).unwrap_or(0);
        (0..8)
            .flat_map(|level| (0..full(level)).map(move |index| TilePath { level, index, width }))
            .all(|path| fs::metadata(self.dir.join(path.to_string())).is_ok_and(|file| file.len() == FULL as u64))
    }

    /// Files that hold the same tile with more hashes.
    fn wider(&self, path: TilePath) -> Vec<PathBuf> {
        let full = self.dir.join(TilePath { width: belay_ledger::TILE_WIDTH, ..path }.to_string());
        let mut found = vec![full.clone()];
        found.extend(partial_files(&full).into_iter().filter(|(width, _)| *width > path.width).map(|(_, file)| file));
        found
    }

    /// Keeps a tile. Of one that is not full, what was kept before goes.
    pub(super) fn write(&self, tile: &Tile) -> io::Result<()> {
        let file = self.dir.join(tile.path.to_string());
        let full = self.dir.join(TilePath { width: belay_ledger::TILE_WIDTH, ..tile.path }.to_string());
        let folder = file.parent().unwrap_or(&self.dir);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let replace = if file == full { files::replace } else { files::replace_soon };
        replace(&file, &tile.encode(), 0o600)?;
        for (_, old) in partial_files(&full).into_iter().filter(|(_, old)| *old != file) {
            fs::remove_file(old)?;
        }
        if file == full {
            // Absent where it was never partial.
            let _ = fs::remove_dir(partial_folder(&full));
        }
        Ok(())
    }

    /// The leaves of the records from `from` to before `to`, in order.
    pub(super) fn leaves(&self, from: u64, to: u64, each: &mut dyn FnMut(u64, Hash)) -> Result<(), TileError> {
        let wide = TILE_WIDTH as u64;
        let mut seq = from;
        // Each turn takes the rest of a tile.
        while seq < to {
            let (index, end) = (seq / wide, to.min((seq / wide + 1) * wide));
            let width = usize::try_from(end - index * wide).unwrap_or(TILE_WIDTH);
            let tile = self.read(TilePath { level: 0, index, width })?;
            let skipped = usize::try_from(seq - index * wide).unwrap_or(0);
            for (seq, leaf) in (seq..end).zip(tile.hashes.into_iter().skip(skipped)) {
                each(seq, leaf);
            }
            seq = end;
        }
        Ok(())
    }

    /// The proof that record `seq` is in the tree of `size` records.
    pub fn inclusion(&self, seq: u64, size: u64) -> Result<Option<InclusionProof>, TileError> {
        InclusionProof::make(&mut Tiled { size, read: |path| self.read(path) }, seq, size)
    }

    /// The proof that the tree of `old` records goes on as that of `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Option<ConsistencyProof>, TileError> {
        ConsistencyProof::make(&mut Tiled { size: new, read: |path| self.read(path) }, old, new)
    }
}

fn partial_folder(full: &Path) -> PathBuf {
    let mut name = full.file_name().unwrap_or_default().to_owned();
    name.push(".p");
    full.with_file_name(name)
}

/// The parts of a tile that are kept, with their widths.
fn partial_files(full: &Path) -> Vec<(usize, PathBuf)> {
    let Ok(entries) = fs::read_dir(partial_folder(full)) else { return Vec::new() };
    let width = |path: &Path| path.file_name()?.to_str()?.parse().ok();
    let files = entries.flatten().map(|entry| entry.path()).take(belay_ledger::TILE_WIDTH);
    files.filter_map(|path| Some((width(&path)?, path))).collect()
}
