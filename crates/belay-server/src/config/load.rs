//! From the file's text to a [`Config`], or to an error that names file, line and the nearest key.

use super::{
    Config, Environment, File, Identity, Notify, NotifyFile, OwnCertificate, PolicyFolder, Reference, archive, events,
    witness,
};
use crate::policy_files::PolicyFiles;
use belay_model::Span;
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const MAX_WARNINGS: usize = 8;
/// Below this likeness a key is not worth suggesting.
const NEAR: f64 = 0.72;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, where one was read.
    pub file: Option<PathBuf>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: {}", file.display(), self.message),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

impl Config {
    /// Reads the file, or takes the defaults where there is none.
    pub fn load(path: Option<&Path>, env: Environment<'_>) -> Result<Config, ConfigError> {
        let Some(path) = path else { return Config::build(File::default(), &Origin::nowhere(), env) };
        Config::parse(&read(path)?, path, env)
    }

    /// Reads a file's text. `path` is where relative paths start and what errors name.
    pub fn parse(text: &str, path: &Path, env: Environment<'_>) -> Result<Config, ConfigError> {
        let origin = Origin { file: Some(path), text };
        let file: File = toml::from_str(text).map_err(|error| origin.located(&error))?;
        Config::build(file, &origin, env)
    }

    /// The JSON Schema of the file, for editors.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(File).to_value()
    }

    fn build(file: File, origin: &Origin<'_>, env: Environment<'_>) -> Result<Config, ConfigError> {
        let data_dir = match file.data_dir {
            Some(dir) => origin.path(&dir)?,
            None => default_data_dir(env).ok_or_else(|| no_home(origin))?,
        };
        let tls = file.tls.map(|own| own_certificate(own, origin)).transpose()?;
        let notify = file.notify.map(|notify| read_notify(&notify, origin, env)).transpose()?;
        let config = Config {
            data_dir,
            listen: file.listen,
            tls,
            limits: file.limits,
            ledger: file.ledger,
            archive: file.archive.map(|archive| archive::read(&archive, origin, env)).transpose()?,
            changes: file.changes,
            notify,
            events: events::read(&file.events, origin, env)?,
            witnesses: witness::read(&file.witness, origin, env)?,
            sessions: file.sessions,
            policy: policy_files(&file.policy, origin)?,
            identity: Identity::of(origin.text),
        };
        check_listen(&config, origin)?;
        Ok(config)
    }
}

/// `$XDG_DATA_HOME/belay`, or `~/.local/share/belay`.
pub(crate) fn default_data_dir(env: Environment<'_>) -> Option<PathBuf> {
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|dir| dir.join("belay"))
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "`{text}` is not an address and port; write for example `127.0.0.1:6432` or `[::]:6432`"
        ))
    })
}

pub(super) fn warnings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Span>, D::Error> {
    let spans = Vec::<Span>::deserialize(deserializer)?;
    if spans.len() > MAX_WARNINGS {
        return Err(de::Error::custom(format!("at most {MAX_WARNINGS} warnings, not {}", spans.len())));
    }
    Ok(spans)
}

/// Where a configuration came from.
pub(super) struct Origin<'a> {
    file: Option<&'a Path>,
    text: &'a str,
}

impl Origin<'_> {
    fn nowhere() -> Origin<'static> {
        Origin { file: None, text: "" }
    }

    pub(super) fn base(&self) -> &Path {
        self.file.and_then(Path::parent).unwrap_or(Path::new("."))
    }

    pub(super) fn error(&self, span: Option<Range<usize>>, message: String, hint: Option<String>) -> ConfigError {
        let line = span.map(|span| 1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        ConfigError { file: self.file.map(Path::to_owned), line, message, hint }
    }

    pub(super) fn path(&self, path: &Path) -> Result<PathBuf, ConfigError> {
        let text = path.to_string_lossy();
        if text.starts_with('~') || text.contains("${") {
            let hint = "`~` and `${NAME}` are not expanded in paths; write the path out";
            return Err(self.error(None, format!("path `{text}` cannot be used"), Some(hint.to_owned())));
        }
        Ok(self.base().join(path))
    }

    fn located(&self, error: &toml::de::Error) -> ConfigError {
        let (message, hint) = reworded(error.message());
        self.error(error.span(), message, hint)
    }
}

/// serde's "unknown field `a`, expected one of `b`, `c`" in our words, with the nearest key.
fn reworded(message: &str) -> (String, Option<String>) {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        let first = message.lines().next().unwrap_or("cannot be read");
        return (first.to_owned(), None);
    };
    let Some((unknown, expected)) = rest.split_once('`') else { return (message.to_owned(), None) };
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let nearest = known
        .iter()
        .map(|key| (strsim::jaro_winkler(key, unknown), *key))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((_, key)) => format!("did you mean `{key}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    (format!("unknown key `{unknown}`"), Some(hint))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let error = |message: String, hint: &str| ConfigError {
        file: Some(path.to_owned()),
        line: None,
        message,
        hint: Some(hint.to_owned()),
    };
    let metadata = std::fs::metadata(path)
        .map_err(|cause| error(format!("cannot be read: {cause}"), "name the file with --config or BELAY_CONFIG"))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(error("larger than 1 MiB".to_owned(), "is this the right file?"));
    }
    std::fs::read_to_string(path)
        .map_err(|cause| error(format!("cannot be read: {cause}"), "the file must be UTF-8 text"))
}

fn no_home(origin: &Origin<'_>) -> ConfigError {
    let hint = "set `data_dir` in the configuration file".to_owned();
    origin.error(None, "no place for data: neither XDG_DATA_HOME nor HOME is set".to_owned(), Some(hint))
}

fn policy_files(folder: &PolicyFolder, origin: &Origin<'_>) -> Result<PolicyFiles, ConfigError> {
    if folder.dir.is_none() && !folder.default {
        let hint = "name a folder: `dir` in `[policy]`".to_owned();
        return Err(origin.error(None, "without any policy nobody may ask for anything".to_owned(), Some(hint)));
    }
    let dir = folder.dir.as_deref().map(|dir| origin.path(dir)).transpose()?;
    Ok(PolicyFiles { dir, default: folder.default })
}

fn own_certificate(own: OwnCertificate, origin: &Origin<'_>) -> Result<OwnCertificate, ConfigError> {
    Ok(OwnCertificate {
        cert: origin.path(&own.cert)?,
        key: origin.path(&own.key)?,
        ca: own.ca.map(|ca| origin.path(&ca)).transpose()?,
    })
}

fn read_notify(file: &NotifyFile, origin: &Origin<'_>, env: Environment<'_>) -> Result<Notify, ConfigError> {
    if matches!(file.secret.get_ref(), Reference::Literal(_)) {
        let hint = "write `${NAME}` to take it from the environment, or `file:PATH`".to_owned();
        let message = "`notify.secret` stands in the file itself".to_owned();
        return Err(origin.error(Some(file.secret.span()), message, Some(hint)));
    }
    let read = |value: &toml::Spanned<Reference>| {
        let result = value.get_ref().read(env, origin.base());
        result.map_err(|message| origin.error(Some(value.span()), message, None))
    };
    Ok(Notify { webhook: read(&file.webhook)?, secret: read(&file.secret)? })
}

fn check_listen(config: &Config, origin: &Origin<'_>) -> Result<(), ConfigError> {
    let listen = &config.listen;
    let same = |a: SocketAddr, b: SocketAddr| a == b && a.port() != 0;
    if same(listen.postgres, listen.api) || same(listen.postgres, listen.admin) || same(listen.api, listen.admin) {
        let message = "two listeners have the same address".to_owned();
        return Err(origin.error(None, message, Some("give postgres, api and admin a port each".to_owned())));
    }
    let bad_name = listen.names.iter().find(|name| rustls_pki_types::ServerName::try_from(name.as_str()).is_err());
    match bad_name {
        Some(name) => Err(origin.error(
            None,
            format!("`{name}` in `listen.names` is not a host name or address"),
            Some("write names alone, without port or scheme".to_owned()),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/ann".to_owned()),
            "HOOK" => Some("hook-secret".to_owned()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("belay.toml"), &environment)
    }

    fn told(text: &str) -> String {
        let error = parse(text).unwrap_err();
        match &error.hint {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn no_file_at_all_is_a_working_configuration() {
        let config = Config::load(None, &environment).unwrap();
        assert_eq!(config.data_dir, Path::new("/home/ann/.local/share/belay"));
        assert_eq!(config.listen.postgres.to_string(), "127.0.0.1:6432");
        assert_eq!(config.limits.connections.get(), 2_000);
        assert!(config.notify.is_none());
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_the_nearest_key() {
        let text = "data_dir = \"/var/lib/belay\"\n\n[limits]\nconection = 5\n";
        assert_eq!(told(text), "belay.toml:4: unknown key `conection`\nhint: did you mean `connections`?");
        assert_eq!(told("[lisen]\n"), "belay.toml:1: unknown key `lisen`\nhint: did you mean `listen`?");
        assert_eq!(
            told("[limits]\nxyz = 1\n"),
            "belay.toml:2: unknown key `xyz`\nhint: known here: connections, connections_per_session, statement_bytes"
        );
    }

    #[test]
    fn wrong_values_are_told_with_their_line() {
        assert_eq!(told("[limits]\nconnections = 0\n"), "belay.toml:2: `0` is outside 1 to 100000");
        assert_eq!(
            told("[listen]\npostgres = \"localhost\"\n"),
            "belay.toml:2: `localhost` is not an address and port; write for example `127.0.0.1:6432` or `[::]:6432`"
        );
        assert_eq!(
            told("\n[sessions]\nwarn_before = [\"10\"]\n"),
            "belay.toml:3: `10` has no unit; write `10m` for minutes or `10h` for hours"
        );
        assert!(told("[limits\n").starts_with("belay.toml:1: "), "{}", told("[limits\n"));
        assert_eq!(
            told("data_dir = \"~/belay\""),
            "belay.toml: path `~/belay` cannot be used\nhint: `~` and `${NAME}` are not expanded in paths; write the path out"
        );
    }

    #[test]
    fn secrets_are_references_and_never_stand_in_the_file() {
        let text = "[notify]\nwebhook = \"https://hooks.example.org/belay\"\nsecret = \"${HOOK}\"\n";
        let notify = parse(text).unwrap().notify.unwrap();
        assert_eq!(notify.secret.expose_secret(), "hook-secret");
        assert!(!format!("{notify:?}").contains("hook-secret"));

        let literal = "[notify]\nwebhook = \"https://hooks.example.org\"\nsecret = \"hunter2\"\n";
        assert_eq!(
            told(literal),
            "belay.toml:3: `notify.secret` stands in the file itself\n\
             hint: write `${NAME}` to take it from the environment, or `file:PATH`"
        );
        let unset = "[notify]\nwebhook = \"https://hooks.example.org\"\nsecret = \"${NOT_SET}\"\n";
        assert_eq!(told(unset), "belay.toml:3: environment variable `NOT_SET` is not set");
    }

    #[test]
    fn a_secret_file_loses_one_newline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hmac"), "s3cret\n").unwrap();
        let text = "[notify]\nwebhook = \"https://hooks.example.org\"\nsecret = \"file:hmac\"\n";
        let config = Config::parse(text, &dir.path().join("belay.toml"), &environment).unwrap();
        assert_eq!(config.notify.unwrap().secret.expose_secret(), "s3cret");
    }

    #[test]
    fn two_listeners_on_one_address_are_refused() {
        let text = "[listen]\npostgres = \"127.0.0.1:7443\"\n";
        assert!(told(text).starts_with("belay.toml: two listeners have the same address"));
    }

    #[test]
    fn the_schema_knows_every_section_and_allows_no_other() {
        let schema = Config::json_schema();
        let mut keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "archive", "changes", "data_dir", "events", "ledger", "limits", "listen", "notify", "policy",
                "sessions", "tls", "witness"
            ]
        );
        assert_eq!(schema["additionalProperties"], false);
    }
}
