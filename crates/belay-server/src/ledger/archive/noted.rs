//! What is in the archive, noted beside the ledger, so that a restart does not send it again and sees what was changed
//! there meanwhile. It proves nothing, and is made anew by comparing where it is lost.

use crate::bucket::Stored;
use crate::files;
use crate::ledger::checkpoint;
use belay_ledger::Hash;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Its file, beside the segments. Its first line says which archive it is about.
const FILE: &str = "archived";

/// An object as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stored: Stored,
    pub(super) hash: Hash,
}

/// What was noted, by the names of the objects.
pub(super) type Names = BTreeMap<String, Entry>;

#[derive(Debug)]
pub(super) struct Noted {
    path: PathBuf,
    /// Shared with who looks through them beside this task: there may be millions.
    entries: Arc<Names>,
}

impl Noted {
    /// What was noted of the archive at `place`; nothing where it was another.
    pub(super) fn open(dir: &Path, place: &str) -> io::Result<Noted> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let mut lines = text.lines();
        let mut entries = BTreeMap::new();
        if lines.next() == Some(place) {
            for line in lines {
                match line.split_once(' ') {
                    Some(("+", rest)) => entries.extend(entry(rest)),
                    Some(("-", name)) => drop(entries.remove(name)),
                    // A line that a crash has cut short.
                    _ => {}
                }
            }
        }
        let lines: String = entries.iter().map(|(name, entry)| line(name, entry)).collect();
        files::replace(&path, format!("{place}\n{lines}").as_bytes(), 0o600)?;
        Ok(Noted { path, entries: Arc::new(entries) })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// All as they are now, to be let go of before the next is noted.
    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.entries)
    }

    /// Whether there is a checkpoint of more records than this one and those before it.
    pub(super) fn has_checkpoint_over(&self, record: u64) -> bool {
        let mut later = self.entries.range(format!("{:020}", record + 1)..);
        later.any(|(name, _)| checkpoint::is_name(name))
    }

    pub(super) fn add(&mut self, name: &str, entry: Entry) -> io::Result<()> {
        self.append(&line(name, &entry))?;
        Arc::make_mut(&mut self.entries).insert(name.to_owned(), entry);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        if Arc::make_mut(&mut self.entries).remove(name).is_some() {
            self.append(&format!("- {name}\n"))?;
        }
        Ok(())
    }

    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(line.as_bytes())
    }
}

fn line(name: &str, Entry { stored, hash }: &Entry) -> String {
    format!("+ {name} {} {hash} {}\n", stored.size, stored.etag)
}

fn entry(line: &str) -> Option<(String, Entry)> {
    let mut words = line.splitn(4, ' ');
    let (name, size, digits, etag) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    let stored = Stored { size: size.parse().ok()?, etag: etag.to_owned() };
    Some((name.to_owned(), Entry { stored, hash: Hash(hash) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_after_a_restart_and_not_for_another_archive() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |size| Entry { stored: Stored { size, etag: "\"a b\"".to_owned() }, hash: Hash([7; 32]) };
        let mut noted = Noted::open(dir.path(), "s3://b/p").unwrap();
        noted.add("tile/0/000", entry(1)).unwrap();
        noted.add("x.ledger", entry(2)).unwrap();
        noted.remove("x.ledger").unwrap();
        noted.append("+ y.ledger 3 07").unwrap();
        let again = Noted::open(dir.path(), "s3://b/p").unwrap();
        assert_eq!(again.all().collect::<Vec<_>>(), [(&"tile/0/000".to_owned(), &entry(1))]);
        assert_eq!(Noted::open(dir.path(), "s3://other").unwrap().all().count(), 0);
    }
}
