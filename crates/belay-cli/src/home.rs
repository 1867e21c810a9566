//! What the command line keeps: one login, and where its files are.
//!
//! `BELAY_HOME`, or `$XDG_CONFIG_HOME/belay`, or `~/.config/belay`. Files are 0600 in a directory that is 0700.

use crate::failure::{Exit, Failure};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const LOGIN_FILE: &str = "login.toml";
const CA_FILE: &str = "ca.pem";

/// Where the files are.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    dir: PathBuf,
}

/// Who is logged in where.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The API, `https://host:port`.
    pub(crate) url: String,
    /// The login.
    pub(crate) user: String,
    /// The API token.
    pub(crate) token: String,
    /// Whether `ca.pem` beside this file is the only authority; otherwise the system's are.
    pub(crate) own_ca: bool,
}

impl Home {
    /// The home of whoever runs this.
    pub(crate) fn find() -> Result<Home, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set("BELAY_HOME")
            .or_else(|| set("XDG_CONFIG_HOME").map(|dir| dir.join("belay")))
            .or_else(|| set("HOME").map(|dir| dir.join(".config/belay")));
        let missing = || Failure::new(Exit::Failure, "no place for the login: HOME is not set").hint("set BELAY_HOME");
        let dir = std::path::absolute(dir.ok_or_else(missing)?);
        Ok(Home {
            dir: dir.map_err(|error| Failure::new(Exit::Failure, format!("BELAY_HOME cannot be used: {error}")))?,
        })
    }

    /// The home in `dir`.
    #[cfg(test)]
    pub(crate) fn at(dir: &Path) -> Home {
        Home { dir: dir.to_owned() }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The one authority of the login, if it has its own.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join(CA_FILE)
    }

    /// The file with the login.
    pub(crate) fn login_file(&self) -> PathBuf {
        self.dir.join(LOGIN_FILE)
    }

    /// The login, or how to get one.
    pub(crate) fn login(&self) -> Result<Login, Failure> {
        let path = self.login_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_logged_in()),
            Err(error) => return Err(unusable(&path, &error)),
        };
        toml::from_str(&text).map_err(|_| {
            Failure::new(Exit::NotLoggedIn, format!("`{}` is damaged", path.display())).hint("belay login")
        })
    }

    /// Keeps a login, and its authority if it has its own.
    pub(crate) fn keep(&self, login: &Login, ca: Option<&[u8]>) -> Result<(), Failure> {
        if let Some(pem) = ca {
            self.write(CA_FILE, pem)?;
        }
        let text = toml::to_string(login).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        self.write(LOGIN_FILE, text.as_bytes()).map(|_| ())
    }

    /// Forgets the login, and the tokens of its grants.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        crate::kept::forget_others(self, &[]);
        for path in [self.login_file(), self.ca()] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a private file, replacing one of that name in one step. `name` may hold a directory.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.dir.join(name);
        let parent = path.parent().unwrap_or(&self.dir);
        let fresh = path.with_extension(format!("new{}", std::process::id()));
        let written = make_private(parent)
            .and_then(|()| match std::fs::remove_file(&fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
            .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh))
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&fresh, &path));
        written.map_err(|error| unusable(&path, &error))?;
        Ok(path)
    }

    /// Makes a private directory in this one.
    pub(crate) fn make_dir(&self, name: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        make_private(&path).map_err(|error| unusable(&path, &error))
    }

    /// Whether others can read the login.
    pub(crate) fn is_open_to_others(&self) -> bool {
        let mode = std::fs::metadata(self.login_file()).map(|metadata| metadata.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o077 != 0)
    }
}

/// The failure of every command that needs a login and has none.
pub(crate) fn not_logged_in() -> Failure {
    Failure::new(Exit::NotLoggedIn, "not logged in").hint("belay login https://HOST:7443 --ca ca.pem --user NAME")
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("`{}` cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { dir: dir.path().join("belay") };
        assert_eq!(home.login().err().unwrap().exit, Exit::NotLoggedIn);
        let login = Login { url: "https://h:1".into(), user: "ann".into(), token: "secret".into(), own_ca: true };
        home.keep(&login, Some(b"pem")).unwrap();
        assert_eq!(home.login().unwrap().token, "secret");
        assert!(!home.is_open_to_others());
        let mode = std::fs::metadata(home.dir()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        home.forget().unwrap();
        home.forget().unwrap();
        assert!(!home.ca().exists());
    }
}
