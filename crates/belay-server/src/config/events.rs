//! `[[events]]`: whom the ledger's events go to.

use super::load::Origin;
use super::s3::authorities;
use super::{Bounded, ConfigError, Environment, Reference};
use crate::ledger::read::Filter;
use belay_model::Timestamp;
use reqwest::Url;
use rustls_pki_types::CertificateDer;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// The most outputs.
const MAX_OUTPUTS: usize = 16;
/// The most headers of one output.
const MAX_HEADERS: usize = 16;
/// The longest name of an output.
const MAX_NAME: usize = 32;
const KNOWN: &str = "`stdout`, `syslog+tls://HOST:PORT`, `syslog+tcp://HOST:PORT`, `syslog+udp://HOST:PORT`, \
                     `https://...` for a webhook or `otlp+https://HOST:4318` for OpenTelemetry";

/// Whom events go to, with its secrets read.
#[derive(Debug, Clone)]
pub struct EventOutput {
    /// What it is called in metrics, and what its place in the ledger is kept under.
    pub name: String,
    /// Where events go.
    pub to: Destination,
    /// Which go out.
    pub only: Filter,
    /// Whether the texts of statements go out.
    pub statements: Statements,
    /// Longer texts of statements are cut.
    pub statement_bytes: usize,
    /// Where an output begins that is new.
    pub from: Start,
}

/// Where events go, and how.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The server's standard output.
    Stdout,
    /// RFC 5424.
    Syslog {
        /// Over what.
        over: Transport,
        /// The receiver's host.
        host: String,
        /// Its port.
        port: u16,
    },
    /// POSTs with a signature.
    Webhook {
        /// Where to, and whom to trust.
        http: Http,
        /// Signs each POST with HMAC-SHA-256.
        secret: SecretString,
    },
    /// OTLP over HTTP, as JSON.
    Otlp(Http),
}

impl Destination {
    /// What people know it by. Never the address: it may hold a secret.
    pub fn word(&self) -> &'static str {
        match self {
            Destination::Stdout => "stdout",
            Destination::Syslog { .. } => "syslog",
            Destination::Webhook { .. } => "webhook",
            Destination::Otlp(_) => "otlp",
        }
    }
}

/// What syslog goes over.
#[derive(Debug, Clone)]
pub enum Transport {
    /// RFC 5425; the authorities that the receiver's certificate stands under.
    Tls(Vec<CertificateDer<'static>>),
    /// RFC 6587, with octet counting.
    Tcp,
    /// RFC 5426.
    Udp,
}

/// A receiver that speaks HTTP.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where to.
    pub url: SecretString,
    /// Sent with each POST.
    pub headers: Vec<(String, SecretString)>,
    /// The authorities its certificate stands under, in place of the system's.
    pub ca: Option<Vec<CertificateDer<'static>>>,
}

/// Whether the texts of statements go out. Bind values and the keys of rows never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Statements {
    /// They do.
    #[default]
    Text,
    /// They don't.
    None,
}

/// Where an output begins that is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the start of the server at which it is new.
    #[default]
    Now,
    /// With the oldest record.
    Beginning,
}

/// Whom the ledger's events go to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsFile {
    /// What it is called in metrics, and what its place in the ledger is kept under: letters, digits, `-`, `_`.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// `stdout`, `syslog+tls://HOST:PORT`, `syslog+tcp://HOST:PORT`, `syslog+udp://HOST:PORT`, `https://...` for a
    /// webhook, `otlp+https://HOST:4318` for OpenTelemetry; or `${NAME}` or `file:PATH` with one of them.
    #[schemars(with = "String")]
    to: Spanned<Reference>,
    /// Which events go out, in the words of `belay audit search`; without it all.
    #[schemars(with = "Option<String>")]
    only: Option<Spanned<String>>,
    /// Whether the texts of statements go out: `text` or `none`. Bind values and the keys of rows never do.
    #[serde(default)]
    #[schemars(extend("default" = "text"))]
    statements: Statements,
    /// Longer texts of statements are cut, and say so.
    #[serde(default)]
    statement_bytes: Bounded<256, 1_048_576, 8_192>,
    /// Where an output begins that is new: `now` or `beginning`.
    #[serde(default)]
    #[schemars(extend("default" = "now"))]
    from: Start,
    /// Signs each POST of a webhook with HMAC-SHA-256. `${NAME}` or `file:PATH`.
    #[schemars(with = "Option<String>")]
    secret: Option<Spanned<Reference>>,
    /// Sent with each POST, e.g. `{ authorization = "file:PATH" }`. `${NAME}` or `file:PATH` each.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    headers: BTreeMap<String, Spanned<Reference>>,
    /// PEM file with the authorities that the receiver's certificate stands under. `syslog+tls` needs it; for HTTPS
    /// it takes the place of the system's. A relative path starts at the configuration file.
    #[schemars(with = "Option<PathBuf>")]
    ca: Option<Spanned<PathBuf>>,
}

pub(super) fn read(
    files: &[EventsFile],
    origin: &Origin<'_>,
    env: Environment<'_>,
) -> Result<Vec<EventOutput>, ConfigError> {
    if let Some(first) = files.get(MAX_OUTPUTS) {
        return Err(origin.error(Some(first.name.span()), format!("at most {MAX_OUTPUTS} outputs of events"), None));
    }
    let mut names = HashSet::new();
    let mut outputs = Vec::new();
    for file in files {
        if !names.insert(file.name.get_ref().as_str()) {
            let message = format!("two outputs of events are called `{}`", file.name.get_ref());
            return Err(origin.error(Some(file.name.span()), message, Some("give each a name of its own".to_owned())));
        }
        outputs.push(Reading { file, origin, env }.output()?);
    }
    Ok(outputs)
}

struct Reading<'a> {
    file: &'a EventsFile,
    origin: &'a Origin<'a>,
    env: Environment<'a>,
}

impl Reading<'_> {
    fn output(&self) -> Result<EventOutput, ConfigError> {
        let file = self.file;
        let name = file.name.get_ref();
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(known) {
            let hint = format!("1 to {MAX_NAME} letters, digits, `-` and `_`");
            return Err(self.error(file.name.span(), format!("`{name}` is not a name for an output"), Some(hint)));
        }
        Ok(EventOutput {
            name: name.clone(),
            to: self.destination()?,
            only: self.filter()?,
            statements: file.statements,
            statement_bytes: file.statement_bytes.size(),
            from: file.from,
        })
    }

    fn destination(&self) -> Result<Destination, ConfigError> {
        let to = self.secret(&self.file.to)?;
        let text = to.expose_secret();
        let destination = match text.split_once("://").map_or(text, |(scheme, _)| scheme) {
            "stdout" if text == "stdout" => Destination::Stdout,
            "syslog+tls" => {
                let hint = "name the PEM file of its authority: `ca`".to_owned();
                let ca = self.authorities()?;
                let ca = ca.ok_or_else(|| self.wrong("`syslog+tls` needs `ca`", Some(hint)))?;
                self.syslog(text, Transport::Tls(ca))?
            }
            "syslog+tcp" => self.syslog(text, Transport::Tcp)?,
            "syslog+udp" => self.syslog(text, Transport::Udp)?,
            "https" | "http" => Destination::Webhook { http: self.http(text, "")?, secret: self.signing_secret()? },
            "otlp+https" | "otlp+http" => Destination::Otlp(self.http(text.trim_start_matches("otlp+"), "/v1/logs")?),
            _ => return Err(self.wrong("`to` is not a place for events", Some(format!("known: {KNOWN}")))),
        };
        self.check_that_all_is_used(&destination)?;
        Ok(destination)
    }

    fn syslog(&self, text: &str, over: Transport) -> Result<Destination, ConfigError> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.path(), "" | "/") && url.username().is_empty());
        let found = url.as_ref().and_then(|url| url.host_str().zip(url.port()));
        let (host, port) = found.ok_or_else(|| self.wrong("`to` needs a host and a port and nothing else", None))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Destination::Syslog { over, host, port })
    }

    /// A URL without a path gets `path`.
    fn http(&self, text: &str, path: &str) -> Result<Http, ConfigError> {
        let url = Url::parse(text).ok().filter(Url::has_host);
        let mut url = url.ok_or_else(|| self.wrong("`to` is not a URL", None))?;
        if !path.is_empty() && url.path() == "/" {
            url.set_path(path);
        }
        let mut headers = Vec::new();
        for (name, value) in &self.file.headers {
            let read = self.named_secret("headers", value)?;
            let good = reqwest::header::HeaderName::try_from(name).is_ok()
                && reqwest::header::HeaderValue::from_str(read.expose_secret()).is_ok();
            if !good || headers.len() == MAX_HEADERS {
                return Err(self.error(value.span(), format!("`{name}` cannot be sent as a header"), None));
            }
            headers.push((name.clone(), read));
        }
        Ok(Http { url: SecretString::from(String::from(url)), headers, ca: self.authorities()? })
    }

    fn signing_secret(&self) -> Result<SecretString, ConfigError> {
        let hint = "write `secret = \"file:PATH\"`; the receiver checks the signature with it".to_owned();
        let secret = self.file.secret.as_ref().ok_or_else(|| self.wrong("a webhook needs `secret`", Some(hint)))?;
        self.named_secret("secret", secret)
    }

    /// What would have no effect is a misunderstanding.
    fn check_that_all_is_used(&self, destination: &Destination) -> Result<(), ConfigError> {
        let is_http = matches!(destination, Destination::Webhook { .. } | Destination::Otlp(_));
        let takes_ca = is_http || matches!(destination, Destination::Syslog { over: Transport::Tls(_), .. });
        let unused = [
            ("secret", self.file.secret.is_some() && !matches!(destination, Destination::Webhook { .. })),
            ("headers", !self.file.headers.is_empty() && !is_http),
            ("ca", self.file.ca.is_some() && !takes_ca),
        ];
        match unused.iter().find(|(_, unused)| *unused) {
            Some((key, _)) => Err(self.wrong(&format!("`{key}` has no meaning for this `to`"), None)),
            None => Ok(()),
        }
    }

    fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>, ConfigError> {
        self.file.ca.as_ref().map(|file| authorities(file, self.origin)).transpose()
    }

    fn filter(&self) -> Result<Filter, ConfigError> {
        let Some(only) = &self.file.only else { return Ok(Filter::default()) };
        let now = Timestamp(jiff::Timestamp::now().as_microsecond());
        Filter::parse(only.get_ref(), now).map_err(|error| self.error(only.span(), error.to_string(), None))
    }

    fn named_secret(&self, key: &str, value: &Spanned<Reference>) -> Result<SecretString, ConfigError> {
        if matches!(value.get_ref(), Reference::Literal(_)) {
            let hint = "write `${NAME}` to take it from the environment, or `file:PATH`".to_owned();
            let message = format!("`events.{key}` stands in the file itself");
            return Err(self.error(value.span(), message, Some(hint)));
        }
        self.secret(value)
    }

    fn secret(&self, value: &Spanned<Reference>) -> Result<SecretString, ConfigError> {
        let read = value.get_ref().read(self.env, self.origin.base());
        read.map_err(|message| self.error(value.span(), message, None))
    }

    /// Something is wrong with `to`.
    fn wrong(&self, message: &str, hint: Option<String>) -> ConfigError {
        self.error(self.file.to.span(), message.to_owned(), hint)
    }

    fn error(&self, span: Range<usize>, message: String, hint: Option<String>) -> ConfigError {
        self.origin.error(Some(span), message, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Vec<EventOutput>, String> {
        let env = |name: &str| match name {
            "HOME" => Some("/home/ann".to_owned()),
            "HOOK" => Some("hook-secret".to_owned()),
            "URL" => Some("https://hooks.example.org/secret-part".to_owned()),
            _ => None,
        };
        let parsed = Config::parse(text, Path::new("belay.toml"), &env);
        parsed.map(|config| config.events).map_err(|error| match &error.hint {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        })
    }

    fn output(rest: &str) -> Result<EventOutput, String> {
        parse(&format!("[[events]]\nname = \"siem\"\n{rest}\n")).map(|mut found| found.remove(0))
    }

    #[test]
    fn a_place_is_read_from_its_scheme() {
        assert!(matches!(output("to = \"stdout\"").unwrap().to, Destination::Stdout));
        let udp = output("to = \"syslog+udp://[::1]:514\"").unwrap();
        assert!(matches!(&udp.to, Destination::Syslog { over: Transport::Udp, host, port: 514 } if host == "::1"));
        assert_eq!((udp.statements, udp.statement_bytes, udp.from), (Statements::Text, 8_192, Start::Now));
        let hook = output("to = \"${URL}\"\nsecret = \"${HOOK}\"\nonly = \"kind:statement effect:write\"").unwrap();
        assert!(!hook.only.is_everything());
        assert!(!format!("{hook:?}").contains("secret-part") && !format!("{hook:?}").contains("hook-secret"));
        for (to, url) in [
            ("otlp+http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"),
            ("otlp+https://otlp.example.org/some/path", "https://otlp.example.org/some/path"),
        ] {
            let Destination::Otlp(http) = output(&format!("to = \"{to}\"")).unwrap().to else { panic!("{to}") };
            assert_eq!(http.url.expose_secret(), url);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (rest, told) in [
            ("to = \"kafka://x\"", "belay.toml:3: `to` is not a place for events\nhint: known: `stdout`"),
            ("to = \"syslog+tcp://siem.example.org\"", "belay.toml:3: `to` needs a host and a port"),
            ("to = \"syslog+tls://siem:6514\"", "belay.toml:3: `syslog+tls` needs `ca`"),
            ("to = \"syslog+tls://siem:6514\"\nca = \"/nowhere\"", "belay.toml:4: `/nowhere`: "),
            ("to = \"https://x.example\"", "belay.toml:3: a webhook needs `secret`"),
            (
                "to = \"https://x.example\"\nsecret = \"abc\"",
                "belay.toml:4: `events.secret` stands in the file itself\nhint: write `${NAME}`",
            ),
            ("to = \"stdout\"\nsecret = \"${HOOK}\"", "belay.toml:3: `secret` has no meaning for this `to`"),
            ("to = \"stdout\"\nonly = \"kind:nothing\"", "belay.toml:4: `kind:nothing`: known: "),
            ("to = \"stdout\"\nstatement_bytes = 1", "belay.toml:4: `1` is outside 256 to 1048576"),
            ("to = \"stdout\"\nform = \"now\"", "belay.toml:4: unknown key `form`\nhint: did you mean `from`?"),
        ] {
            let error = output(rest).unwrap_err();
            assert!(error.starts_with(told), "{rest}: {error}");
        }
        let twice = "[[events]]\nname = \"a\"\nto = \"stdout\"\n".repeat(2);
        assert!(parse(&twice).unwrap_err().starts_with("belay.toml:5: two outputs of events are called `a`"));
        let slash = "[[events]]\nname = \"a/b\"\nto = \"stdout\"\n";
        assert!(parse(slash).unwrap_err().starts_with("belay.toml:2: `a/b` is not a name for an output"));
    }
}
