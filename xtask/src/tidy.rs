//! The rules, one file each, and the walk over the workspace.

mod arrows;
mod purity;
mod sources;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders with one crate each below them, and folders that are a crate.
const CRATES: &str = "crates";
const OTHERS: [&str; 6] = ["testkit", "e2e", "bench", "walk", "xtask", "fuzz"];

/// The crates that do no IO and read no clock.
const PURE: [&str; 6] = ["belay-model", "belay-policy", "belay-access", "belay-change", "belay-ledger", "belay-report"];

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    /// What, and why it is not wanted.
    pub(crate) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.text)
    }
}

/// What the walk found.
pub(crate) struct Tidied {
    pub(crate) manifests: usize,
    pub(crate) sources: usize,
    pub(crate) violations: Vec<Violation>,
}

/// Checks the workspace at `root`.
pub(crate) fn tidy(root: &Path) -> io::Result<Tidied> {
    let mut tidied = Tidied { manifests: 0, sources: 0, violations: Vec::new() };
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root.join(CRATES))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    folders.extend(OTHERS.iter().map(|name| root.join(name)));
    folders.sort();
    for folder in folders.iter().filter(|folder| folder.join("Cargo.toml").is_file()) {
        tidied.check_crate(root, folder)?;
    }
    Ok(tidied)
}

impl Tidied {
    fn check_crate(&mut self, root: &Path, folder: &Path) -> io::Result<()> {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let pure = PURE.contains(&name.as_str());
        let manifest = folder.join("Cargo.toml");
        self.manifests += 1;
        self.violations.extend(arrows::check(&name, pure, below(root, &manifest), &fs::read_to_string(&manifest)?));
        for path in rust_files(folder)? {
            let text = fs::read_to_string(&path)?;
            self.sources += 1;
            self.violations.extend(sources::check(below(root, &path), &text));
            if pure && is_shipped(folder, &path) {
                self.violations.extend(purity::check(below(root, &path), &text));
            }
        }
        Ok(())
    }
}

fn below<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// Tests and examples of a pure crate may do as they like.
fn is_shipped(folder: &Path, path: &Path) -> bool {
    path.starts_with(folder.join("src")) && path.file_name().is_none_or(|name| name != "tests.rs")
}

/// Every `.rs` file below `folder`, in order, without what was built.
fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), vec![folder.to_owned()]);
    // Ends because a folder tree without links does, and links are not followed.
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() && entry.file_name() != "target" && entry.file_name() != "node_modules" {
                open.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
