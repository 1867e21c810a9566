//! Policy files: where they are, and reading them. What they mean is `belay_access`'s.

use belay_access::{DEFAULT, LoadError, Policies, Source};
use std::io;
use std::path::{Path, PathBuf};

const FILES_MOST: usize = 100;
const FILE_BYTES_MOST: u64 = 256 * 1024;
/// What the name of a policy file ends in.
const EXTENSION: &str = "cedar";

/// Where policies come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// The folder whose `*.cedar` files are in force; none for the default policy alone.
    pub dir: Option<PathBuf>,
    /// Whether the default policy is in force beside them.
    pub default: bool,
}

impl Default for PolicyFiles {
    fn default() -> PolicyFiles {
        PolicyFiles { dir: None, default: true }
    }
}

/// Policies that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file or the folder.
    #[error("`{}` cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// What is wrong in the texts; never empty.
    #[error("{}", lines(.0))]
    Wrong(Vec<LoadError>),
}

/// Policies and the names of the files they came from.
#[derive(Debug)]
pub struct Loaded {
    /// The policies.
    pub policies: Policies,
    /// The files, without the default policy.
    pub files: Vec<String>,
}

impl PolicyFiles {
    /// Reads and checks every file.
    pub fn load(&self) -> Result<Loaded, PolicyError> {
        let texts = match &self.dir {
            Some(dir) => read_all(dir)?,
            None => Vec::new(),
        };
        load(&texts, self.default)
    }
}

/// Reads and checks these files, beside the default policy or without it.
pub fn check(files: &[PathBuf], default: bool) -> Result<Loaded, PolicyError> {
    let texts = files.iter().map(|path| Ok((path.display().to_string(), read(path)?)));
    load(&texts.collect::<Result<Vec<_>, PolicyError>>()?, default)
}

fn load(texts: &[(String, String)], default: bool) -> Result<Loaded, PolicyError> {
    let own = texts.iter().map(|(file, text)| Source { file, text });
    let sources: Vec<Source<'_>> = default.then_some(DEFAULT).into_iter().chain(own).collect();
    let policies = Policies::load(&sources).map_err(PolicyError::Wrong)?;
    Ok(Loaded { policies, files: texts.iter().map(|(file, _)| file.clone()).collect() })
}

/// The folder's policy files by name.
fn read_all(dir: &Path) -> Result<Vec<(String, String)>, PolicyError> {
    let unreadable = |cause| PolicyError::Unreadable { path: dir.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
        if paths.len() > FILES_MOST {
            return Err(unreadable(io::Error::other(format!("more than {FILES_MOST} policy files"))));
        }
    }
    paths.sort();
    paths.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect()
}

fn read(path: &Path) -> Result<String, PolicyError> {
    let unreadable = |cause| PolicyError::Unreadable { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MOST {
        return Err(unreadable(io::Error::other("larger than 256 KiB")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn lines(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
