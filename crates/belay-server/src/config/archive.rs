//! `[archive]`: where the ledger's files go to be kept.

use super::load::Origin;
use super::s3::S3Keys;
use super::{ConfigError, Environment, Reference, S3Place};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Where the ledger's closed files and signed states are kept beside this machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchiveFile {
    /// `s3://BUCKET/PREFIX` in S3-compatible storage.
    #[schemars(with = "String")]
    to: Spanned<String>,
    /// Where the service is, e.g. `https://s3.example`. Without it Amazon's.
    #[schemars(with = "Option<String>")]
    endpoint: Option<Spanned<String>>,
    /// The region of the bucket.
    #[schemars(with = "Option<String>", extend("default" = "us-east-1"))]
    region: Option<Spanned<String>>,
    /// The name of the key. `${NAME}` or `file:PATH`.
    #[schemars(with = "String")]
    access_key_id: Option<Spanned<Reference>>,
    /// The key. `${NAME}` or `file:PATH`.
    #[schemars(with = "String")]
    secret_access_key: Option<Spanned<Reference>>,
    /// PEM file with authorities that the service's certificate may stand under, beside the system's. A relative path
    /// starts at the configuration file.
    #[schemars(with = "Option<PathBuf>")]
    ca: Option<Spanned<PathBuf>>,
}

pub(super) fn read(file: &ArchiveFile, origin: &Origin<'_>, env: Environment<'_>) -> Result<S3Place, ConfigError> {
    let keys = S3Keys {
        section: "archive",
        to: &file.to,
        endpoint: file.endpoint.as_ref(),
        region: file.region.as_ref(),
        access_key_id: file.access_key_id.as_ref(),
        secret_access_key: file.secret_access_key.as_ref(),
        ca: file.ca.as_ref(),
    };
    keys.read(origin, env)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use secrecy::ExposeSecret as _;
    use std::path::Path;

    const KEYS: &str = "access_key_id = \"${ID}\"\nsecret_access_key = \"${KEY}\"\n";

    fn parse(rest: &str) -> Result<Config, String> {
        let env = |name: &str| match name {
            "HOME" => Some("/home/ann".to_owned()),
            "ID" => Some("belay-key".to_owned()),
            "KEY" => Some("hunter2".to_owned()),
            _ => None,
        };
        let parsed = Config::parse(&format!("[archive]\n{rest}\n"), Path::new("/etc/belay/belay.toml"), &env);
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn a_bucket_is_read_with_its_prefix_and_its_key_stays_hidden() {
        let config = parse(&format!("to = \"s3://records/belay/eu/\"\nendpoint = \"https://s3.example/\"\n{KEYS}"));
        let place = config.unwrap().archive.unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("records", "belay/eu"));
        assert_eq!((place.endpoint.as_deref(), place.region.as_str()), (Some("https://s3.example"), "us-east-1"));
        assert_eq!(place.secret_access_key.expose_secret(), "hunter2");
        assert!(!format!("{place:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (rest, told) in [
            ("to = \"https://x\"", ":2: `to` is not a place in S3 storage"),
            ("to = \"s3:///x\"", ":2: `to` is not a place in S3 storage"),
            ("to = \"s3://b/../x\"", ":2: `to` is not a place in S3 storage"),
            ("to = \"s3://b\"", ":2: S3 storage needs `access_key_id`"),
            ("to = \"s3://b\"\naccess_key_id = \"abc\"", ":3: `archive.access_key_id` stands in the file itself"),
            ("to = \"s3://b\"\naccess_key_id = \"${NONE}\"", ":3: environment variable `NONE` is not set"),
            ("to = \"s3://b\"\nendpoint = \"s3.example\"", ":3: `endpoint` is not a URL of a service"),
            ("to = \"s3://b\"\nendpiont = \"x\"", ":3: unknown key `endpiont`"),
        ] {
            let error = parse(rest).unwrap_err();
            assert!(error.contains(told), "{rest}: {error}");
        }
    }
}
