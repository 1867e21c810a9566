//! One place in S3-compatible storage. What is put there is put once: nothing is ever written over an object.
//!
//! `object_store` speaks the protocol; what it has no words for, versions and locks, is asked for here.

use crate::config::S3Place;
use belay_ledger::Hash;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential, Checksum};
use object_store::client::{
    HttpClient, HttpConnector as _, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, ReqwestConnector,
};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
};
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(5);
/// A whole file of the ledger over a slow line.
const REQUEST: Duration = Duration::from_mins(10);
/// How often, and for how long, one request is tried again before it counts as failed.
const TRIES: usize = 3;
const TRY_FOR: Duration = Duration::from_secs(30);
/// Objects that are listed at most: as many tiles as 1,200 million records have.
const MOST_OBJECTS: usize = 5_000_000;
/// Versions of one object that are deleted one after the other.
const MOST_VERSIONS: usize = 64;
/// The longest answer about the bucket itself that is read.
const MOST_ANSWER: usize = 64 << 10;

/// A bucket, and the prefix of all names in it.
pub(crate) struct Bucket {
    store: AmazonS3,
    prefix: Path,
    /// For what `object_store` does not speak of.
    http: HttpClient,
    credential: AwsCredential,
    region: String,
    /// Of the bucket.
    url: String,
}

/// What storage says of an object without being asked for its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// What became of a put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there now.
    New(Stored),
    /// There was an object of that name.
    There,
}

/// What keeps objects from being changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// Whether the bucket keeps versions; absent where it does not say.
    pub versions: Option<bool>,
    /// Whether it locks each new object for a time of its own; absent where it does not say.
    pub lock: Option<bool>,
}

/// The newest version of an object, or a marker in its place.
struct Top {
    /// Absent where there is but one.
    version: Option<String>,
    is_locked: bool,
}

/// What the service answers; of the body the beginning.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Bucket {
    pub(crate) fn open(place: &S3Place) -> Result<Bucket, String> {
        let S3Place { bucket, region, access_key_id, secret_access_key, .. } = place;
        let endpoint = place.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let mut options = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(endpoint.starts_with("http://"));
        for authority in &place.ca {
            options = options.with_root_certificate(Certificate::from_der(authority).map_err(|error| told(&error))?);
        }
        let retry = RetryConfig { max_retries: TRIES, retry_timeout: TRY_FOR, ..RetryConfig::default() };
        let store = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_endpoint(&endpoint)
            .with_access_key_id(access_key_id.expose_secret())
            .with_secret_access_key(secret_access_key.expose_secret())
            // A bucket that locks what is put into it asks for one.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(options.clone())
            .with_retry(retry)
            .build();
        let credential = AwsCredential {
            key_id: access_key_id.expose_secret().to_owned(),
            secret_key: secret_access_key.expose_secret().to_owned(),
            token: None,
        };
        Ok(Bucket {
            store: store.map_err(|error| told(&error))?,
            prefix: Path::from(place.prefix.as_str()),
            http: ReqwestConnector::default().connect(&options).map_err(|error| told(&error))?,
            credential,
            region: region.clone(),
            url: format!("{endpoint}/{bucket}"),
        })
    }

    /// Every object beneath the prefix.
    pub(crate) async fn list(&self) -> Result<BTreeMap<String, Stored>, String> {
        let mut found = BTreeMap::new();
        let mut listing = self.store.list(Some(&self.prefix));
        while let Some(object) = listing.try_next().await.map_err(|error| told(&error))? {
            let Some(parts) = object.location.prefix_match(&self.prefix) else { continue };
            let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            found.insert(name, Stored { size: object.size, etag: object.e_tag.unwrap_or_default() });
            if found.len() > MOST_OBJECTS {
                return Err(format!("it has more than {MOST_OBJECTS} objects"));
            }
        }
        Ok(found)
    }

    /// Makes an object; one that is there stays as it is.
    pub(crate) async fn put(&self, name: &str, content: Bytes) -> Result<Put, String> {
        let size = content.len() as u64;
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.path(name), content.into(), create).await {
            Ok(put) => Ok(Put::New(Stored { size, etag: put.e_tag.unwrap_or_default() })),
            Err(Error::AlreadyExists { .. }) => Ok(Put::There),
            Err(error) => Err(told(&error)),
        }
    }

    /// The SHA-256 of an object's content; nothing where there is none.
    pub(crate) async fn hash(&self, name: &str) -> Result<Option<(Stored, Hash)>, String> {
        let mut hash = Sha256::new();
        let stored = self.read(name, &mut |piece| hash.update(piece)).await?;
        Ok(stored.map(|stored| (stored, Hash(hash.finalize().into()))))
    }

    /// An object's content, piece by piece; nothing where there is none.
    pub(crate) async fn read(
        &self,
        name: &str,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Option<Stored>, String> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(told(&error)),
        };
        let etag = found.meta.e_tag.clone().unwrap_or_default();
        let mut size = 0;
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(|error| told(&error))? {
            each(&piece);
            size += piece.len() as u64;
        }
        Ok(Some(Stored { size, etag }))
    }

    /// Deletes an object with its versions, and the markers that somebody put over them. Returns false where a lock keeps
    /// one of them for now.
    pub(crate) async fn delete(&self, name: &str) -> Result<bool, String> {
        let path = self.path(name);
        for _ in 0..MOST_VERSIONS {
            let Some(top) = self.top(&path).await? else { return Ok(true) };
            if top.is_locked {
                return Ok(false);
            }
            // Without its version only a marker would be put over it.
            let query = top.version.as_deref().map(|version| format!("versionId={}", encoded(version)));
            let deleted = self.ask(Method::DELETE, path.as_ref(), &query.unwrap_or_default()).await?;
            match deleted.status {
                200..300 if top.version.is_none() => return Ok(true),
                200..300 => {}
                404 => return Ok(true),
                status => return Err(format!("`{name}` cannot be deleted: {}", refusal(status, &deleted.body))),
            }
        }
        Err(format!("`{name}` has more than {MOST_VERSIONS} versions"))
    }

    /// The newest version of an object, or a marker in its place.
    async fn top(&self, path: &Path) -> Result<Option<Top>, String> {
        let Answer { status, headers, body } = self.ask(Method::HEAD, path.as_ref(), "").await?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let version = header("x-amz-version-id").map(str::to_owned);
        match status {
            200..300 => {}
            404 if header("x-amz-delete-marker") == Some("true") => {
                let version = version.ok_or("the service does not say which marker stands over the object")?;
                return Ok(Some(Top { version: Some(version), is_locked: false }));
            }
            404 => return Ok(None),
            _ => return Err(refusal(status, &body)),
        }
        // Whoever may not ask for locks is told of none, and is refused.
        let until = header("x-amz-object-lock-retain-until-date").and_then(|until| until.parse::<Timestamp>().ok());
        let is_held = header("x-amz-object-lock-legal-hold") == Some("ON");
        Ok(Some(Top { version, is_locked: is_held || until.is_some_and(|until| until > Timestamp::now()) }))
    }

    /// What the bucket says of itself; nothing where this key may not ask.
    pub(crate) async fn protection(&self) -> Result<Protection, String> {
        let Answer { status, body, .. } = self.ask(Method::GET, "", "versioning").await?;
        let versions = (status == 200).then(|| body.contains("<Status>Enabled</Status>"));
        let Answer { status, body, .. } = self.ask(Method::GET, "", "object-lock").await?;
        let lock = match status {
            200 => Some(body.contains("<DefaultRetention>")),
            404 => Some(false),
            _ => None,
        };
        Ok(Protection { versions, lock })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    /// A request without a body.
    async fn ask(&self, method: Method, path: &str, query: &str) -> Result<Answer, String> {
        let wrong = || "the address of the bucket cannot be used".to_owned();
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        let mark = if query.is_empty() { "" } else { "?" };
        *request.uri_mut() = format!("{}/{path}{mark}{query}", self.url).parse().map_err(|_| wrong())?;
        let signed = AwsAuthorizer::new(&self.credential, "s3", &self.region).try_authorize(&mut request, None);
        signed.map_err(|error| told(&error))?;
        let answer = self.http.execute(request).await.map_err(|error| plain(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().bytes().await.map_err(|error| plain(&error))?;
        let body = body.get(..body.len().min(MOST_ANSWER)).unwrap_or_default();
        Ok(Answer { status, headers, body: String::from_utf8_lossy(body).into_owned() })
    }
}

/// A version's name in a query.
fn encoded(text: &str) -> String {
    let each = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(each).collect()
}

/// What went wrong in the words of the service, which never hold the key.
fn told(error: &Error) -> String {
    let text = error.to_string();
    if let Some(code) = code_in(&text) {
        return format!("the service answered {code}");
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(http) = inner.downcast_ref::<HttpError>() {
            return plain(http);
        }
        cause = inner.source();
    }
    match error {
        Error::NotFound { .. } => "there is no such bucket or object".to_owned(),
        Error::PermissionDenied { .. } => "the key may not do that".to_owned(),
        Error::Unauthenticated { .. } => "the key is not known".to_owned(),
        _ => "the service's answer was not understood".to_owned(),
    }
}

fn plain(error: &HttpError) -> String {
    match error.kind() {
        HttpErrorKind::Timeout => "no answer in time".to_owned(),
        _ => "it cannot be reached".to_owned(),
    }
}

fn refusal(status: u16, body: &str) -> String {
    match code_in(body) {
        Some(code) => format!("the service answered {code}"),
        None => format!("the service answered {status}"),
    }
}

/// The code of an error in S3's XML.
fn code_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (!code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_by_its_code_and_nothing_else_of_the_answer() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>secret</StringToSign></Error>";
        assert_eq!(refusal(403, body), "the service answered SignatureDoesNotMatch");
        assert_eq!(refusal(500, "<Code><script></Code>"), "the service answered 500");
        assert_eq!(encoded("a+b/c="), "a%2Bb%2Fc%3D");
    }
}
