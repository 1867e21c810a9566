//! `[[witness]]`: who keeps the ledger's checkpoints where this machine cannot take them back.

use super::load::Origin;
use super::s3::S3Keys;
use super::{ConfigError, Environment, Reference, S3Place};
use belay_model::Span;
use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// The most witnesses.
const MAX_WITNESSES: usize = 8;
const KNOWN: &str = "`https://...`, `s3://BUCKET/PREFIX`, `git:PATH` for a clone or `file:PATH` for a folder";

/// Who keeps checkpoints.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Where they go.
    pub to: WitnessPlace,
    /// How long after one the next is sent, at the earliest.
    pub every: Span,
}

/// Where checkpoints go.
#[derive(Debug, Clone)]
pub enum WitnessPlace {
    /// A POST of each.
    Webhook {
        /// Where to.
        url: String,
        /// Signs each POST with HMAC-SHA-256.
        secret: SecretString,
    },
    /// A clone of a repository: each is committed, and pushed where the clone has a remote.
    Git(PathBuf),
    /// A folder: each in a file of its own.
    Folder(PathBuf),
    /// A bucket: each in an object of its own.
    Bucket(Box<S3Place>),
}

impl WitnessPlace {
    /// What people know it by. Never the address: it may hold a secret.
    pub fn word(&self) -> &'static str {
        match self {
            WitnessPlace::Webhook { .. } => "webhook",
            WitnessPlace::Git(_) => "git",
            WitnessPlace::Folder(_) => "folder",
            WitnessPlace::Bucket(_) => "bucket",
        }
    }
}

/// Who keeps the ledger's checkpoints where this machine cannot take them back.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessFile {
    /// `https://...`, `s3://BUCKET/PREFIX`, `git:PATH` for a clone or `file:PATH` for a folder.
    #[schemars(with = "String")]
    to: Spanned<String>,
    /// Signs each POST with HMAC-SHA-256. `${NAME}` or `file:PATH`.
    #[schemars(with = "Option<String>")]
    secret: Option<Spanned<Reference>>,
    /// Where the service of an `s3://...` is, e.g. `https://s3.example`. Without it Amazon's.
    #[schemars(with = "Option<String>")]
    endpoint: Option<Spanned<String>>,
    /// The region of the bucket.
    #[schemars(with = "Option<String>", extend("default" = "us-east-1"))]
    region: Option<Spanned<String>>,
    /// The name of the key to the bucket. `${NAME}` or `file:PATH`.
    #[schemars(with = "Option<String>")]
    access_key_id: Option<Spanned<Reference>>,
    /// The key to the bucket. `${NAME}` or `file:PATH`.
    #[schemars(with = "Option<String>")]
    secret_access_key: Option<Spanned<Reference>>,
    /// PEM file with authorities that the service's certificate may stand under, beside the system's.
    #[schemars(with = "Option<PathBuf>")]
    ca: Option<Spanned<PathBuf>>,
    /// How long after one the next is sent, at the earliest.
    #[serde(default = "a_minute")]
    #[schemars(with = "String", extend("default" = "1m"))]
    every: Span,
}

fn a_minute() -> Span {
    Span::from_seconds(60)
}

pub(super) fn read(
    files: &[WitnessFile],
    origin: &Origin<'_>,
    env: Environment<'_>,
) -> Result<Vec<Witness>, ConfigError> {
    if let Some(first) = files.get(MAX_WITNESSES) {
        return Err(origin.error(Some(first.to.span()), format!("at most {MAX_WITNESSES} witnesses"), None));
    }
    files.iter().map(|file| Ok(Witness { to: place(file, origin, env)?, every: file.every })).collect()
}

fn place(file: &WitnessFile, origin: &Origin<'_>, env: Environment<'_>) -> Result<WitnessPlace, ConfigError> {
    let wrong = |message: &str, hint: Option<String>| origin.error(Some(file.to.span()), message.to_owned(), hint);
    let to = file.to.get_ref();
    let keys = S3Keys {
        section: "witness",
        to: &file.to,
        endpoint: file.endpoint.as_ref(),
        region: file.region.as_ref(),
        access_key_id: file.access_key_id.as_ref(),
        secret_access_key: file.secret_access_key.as_ref(),
        ca: file.ca.as_ref(),
    };
    if let Some(key) = keys.given().filter(|_| !keys.names_one()) {
        return Err(wrong(&format!("`{key}` has no meaning for this `to`"), None));
    }
    let place = match to.split_once(':') {
        Some(("s3", _)) => WitnessPlace::Bucket(Box::new(keys.read(origin, env)?)),
        Some(("git", path)) => WitnessPlace::Git(origin.path(&PathBuf::from(path))?),
        Some(("file", path)) => WitnessPlace::Folder(origin.path(&PathBuf::from(path))?),
        Some(("https" | "http", _)) if Url::parse(to).is_ok_and(|url| url.has_host()) => {
            let Some(secret) = &file.secret else {
                let hint = "write `secret = \"file:PATH\"`; the receiver checks the signature with it".to_owned();
                return Err(wrong("a webhook needs `secret`", Some(hint)));
            };
            let failed = |message| origin.error(Some(secret.span()), message, None);
            if matches!(secret.get_ref(), Reference::Literal(_)) {
                return Err(failed(
                    "`witness.secret` stands in the file itself: write `${NAME}` or `file:PATH`".to_owned(),
                ));
            }
            let secret = secret.get_ref().read(env, origin.base()).map_err(failed)?;
            WitnessPlace::Webhook { url: to.clone(), secret }
        }
        _ => return Err(wrong("`to` is not a place for checkpoints", Some(format!("known: {KNOWN}")))),
    };
    if file.secret.is_some() && !matches!(place, WitnessPlace::Webhook { .. }) {
        return Err(wrong("`secret` has no meaning for this `to`", None));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    fn parse(rest: &str) -> Result<Witness, String> {
        let env = |name: &str| match name {
            "HOME" => Some("/home/ann".to_owned()),
            "HOOK" => Some("hook-secret".to_owned()),
            _ => None,
        };
        let parsed = Config::parse(&format!("[[witness]]\n{rest}\n"), Path::new("/etc/belay/belay.toml"), &env);
        parsed.map(|mut config| config.witnesses.remove(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_place_is_read_from_its_beginning() {
        let hook = parse("to = \"https://audit.example/c\"\nsecret = \"${HOOK}\"\nevery = \"5m\"").unwrap();
        assert!(matches!(&hook.to, WitnessPlace::Webhook { url, .. } if url == "https://audit.example/c"));
        assert_eq!(hook.every, Span::from_seconds(300));
        assert!(!format!("{hook:?}").contains("hook-secret"));
        let git = parse("to = \"git:clone\"").unwrap();
        assert!(matches!(&git.to, WitnessPlace::Git(path) if path == Path::new("/etc/belay/clone")));
        assert!(matches!(parse("to = \"file:/mnt/worm\"").unwrap().to, WitnessPlace::Folder(_)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (rest, told) in [
            ("to = \"ftp://x\"", ":2: `to` is not a place for checkpoints"),
            ("to = \"https://x.example\"", ":2: a webhook needs `secret`"),
            ("to = \"https://x.example\"\nsecret = \"abc\"", ":3: `witness.secret` stands in the file itself"),
            ("to = \"git:/x\"\nregion = \"eu\"", ":2: `region` has no meaning for this `to`"),
            ("to = \"s3://b/c\"", ":2: S3 storage needs `access_key_id`"),
            ("to = \"git:/x\"\nsecret = \"${HOOK}\"", ":2: `secret` has no meaning for this `to`"),
        ] {
            let error = parse(rest).unwrap_err();
            assert!(error.contains(told), "{rest}: {error}");
        }
    }
}
