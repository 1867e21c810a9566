//! `s3://BUCKET/PREFIX` and what is needed to reach it.

use super::load::Origin;
use super::{ConfigError, Environment, Reference};
use reqwest::Url;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::SecretString;
use std::path::PathBuf;
use toml::Spanned;

const SCHEME: &str = "s3://";
const PLACE: &str = "write `s3://BUCKET` or `s3://BUCKET/PREFIX`";
/// Where a bucket is unless something else is said.
const REGION: &str = "us-east-1";

/// A place in S3-compatible storage, with its secrets read.
#[derive(Debug, Clone)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What all names in it begin with; empty, or without a `/` at either end.
    pub prefix: String,
    /// Where the service is; without it Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// The name of the key.
    pub access_key_id: SecretString,
    /// The key.
    pub secret_access_key: SecretString,
    /// The authorities its certificate stands under, beside the system's.
    pub ca: Vec<CertificateDer<'static>>,
}

/// The keys of a section that names such a place.
pub(super) struct S3Keys<'a> {
    /// What the section is called, for messages.
    pub(super) section: &'static str,
    pub(super) to: &'a Spanned<String>,
    pub(super) endpoint: Option<&'a Spanned<String>>,
    pub(super) region: Option<&'a Spanned<String>>,
    pub(super) access_key_id: Option<&'a Spanned<Reference>>,
    pub(super) secret_access_key: Option<&'a Spanned<Reference>>,
    pub(super) ca: Option<&'a Spanned<PathBuf>>,
}

impl S3Keys<'_> {
    /// Whether `to` is such a place, right or wrong.
    pub(super) fn names_one(&self) -> bool {
        self.to.get_ref().starts_with(SCHEME)
    }

    /// The first key that has a meaning for such a place only.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("access_key_id", self.access_key_id.is_some()),
            ("secret_access_key", self.secret_access_key.is_some()),
            ("ca", self.ca.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(key, _)| *key)
    }

    pub(super) fn read(&self, origin: &Origin<'_>, env: Environment<'_>) -> Result<S3Place, ConfigError> {
        let wrong = |hint: &str| {
            let message = "`to` is not a place in S3 storage".to_owned();
            origin.error(Some(self.to.span()), message, Some(hint.to_owned()))
        };
        let place = self.to.get_ref().strip_prefix(SCHEME).ok_or_else(|| wrong(PLACE))?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err(wrong(PLACE));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_good = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        if !prefix.is_empty() && !prefix.split('/').all(is_good) {
            return Err(wrong("a prefix has letters, digits, `-`, `.`, `_`, and `/` between its parts"));
        }
        Ok(S3Place {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: self.endpoint.map(|endpoint| address(endpoint, origin)).transpose()?,
            region: self.region.map_or(REGION, |region| region.get_ref()).to_owned(),
            access_key_id: self.secret("access_key_id", self.access_key_id, origin, env)?,
            secret_access_key: self.secret("secret_access_key", self.secret_access_key, origin, env)?,
            ca: self.ca.map(|ca| authorities(ca, origin)).transpose()?.unwrap_or_default(),
        })
    }

    fn secret(
        &self,
        key: &str,
        value: Option<&Spanned<Reference>>,
        origin: &Origin<'_>,
        env: Environment<'_>,
    ) -> Result<SecretString, ConfigError> {
        let hint = Some("write `${NAME}` to take it from the environment, or `file:PATH`".to_owned());
        let Some(value) = value else {
            return Err(origin.error(Some(self.to.span()), format!("S3 storage needs `{key}`"), hint));
        };
        if matches!(value.get_ref(), Reference::Literal(_)) {
            let message = format!("`{}.{key}` stands in the file itself", self.section);
            return Err(origin.error(Some(value.span()), message, hint));
        }
        let read = value.get_ref().read(env, origin.base());
        read.map_err(|message| origin.error(Some(value.span()), message, None))
    }
}

fn address(endpoint: &Spanned<String>, origin: &Origin<'_>) -> Result<String, ConfigError> {
    let url = Url::parse(endpoint.get_ref()).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let plain = url.filter(|url| url.has_host() && url.username().is_empty() && url.password().is_none());
    if plain.is_none_or(|url| url.query().is_some() || url.fragment().is_some()) {
        let message = "`endpoint` is not a URL of a service".to_owned();
        let hint = Some("write for example `https://s3.example`".to_owned());
        return Err(origin.error(Some(endpoint.span()), message, hint));
    }
    Ok(endpoint.get_ref().trim_end_matches('/').to_owned())
}

/// The certificates of a PEM file.
pub(super) fn authorities(
    file: &Spanned<PathBuf>,
    origin: &Origin<'_>,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let path = origin.path(file.get_ref())?;
    let found = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let unusable = |why: String| origin.error(Some(file.span()), format!("`{}`: {why}", path.display()), None);
    match found {
        Ok(found) if found.is_empty() => Err(unusable("holds no PEM certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(error.to_string())),
    }
}
