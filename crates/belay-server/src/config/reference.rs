//! Where a secret is to be found.

use super::Environment;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The largest secret file that is read.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The place of a secret: `${NAME}` for the environment, `file:PATH` for a file. Anything else is the text itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Reference {
    /// A variable of the environment.
    Variable(String),
    /// A file; one newline at its end is not part of the secret.
    File(PathBuf),
    /// The text itself. Refused where a secret is asked for.
    Literal(String),
}

impl From<String> for Reference {
    fn from(text: String) -> Reference {
        if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            return Reference::Variable(name.to_owned());
        }
        match text.strip_prefix("file:") {
            Some(path) => Reference::File(PathBuf::from(path)),
            None => Reference::Literal(text),
        }
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Variable(name) => write!(f, "${{{name}}}"),
            Reference::File(path) => write!(f, "file:{}", path.display()),
            Reference::Literal(_) => f.write_str("(literal)"),
        }
    }
}

impl Reference {
    /// Reads it. A relative file starts at `base`. The error says what is missing and never what was read.
    pub(super) fn read(&self, env: Environment<'_>, base: &Path) -> Result<SecretString, String> {
        let text = match self {
            Reference::Variable(name) => {
                env(name).ok_or_else(|| format!("environment variable `{name}` is not set"))?
            }
            Reference::File(path) => read_file(&base.join(path))?,
            Reference::Literal(text) => text.clone(),
        };
        if text.is_empty() {
            return Err(format!("`{self:?}` is empty"));
        }
        Ok(SecretString::from(text))
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_SECRET_BYTES {
        return Err(format!("`{}` is larger than 64 KiB, which is no secret", path.display()));
    }
    let mut text = std::fs::read_to_string(path).map_err(failed)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
