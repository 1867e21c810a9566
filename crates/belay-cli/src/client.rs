//! Calls of the API.

use crate::failure::{Exit, Failure};
use crate::home::{Home, Login};
use belay_web::Problem;
use reqwest::{Certificate, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;

/// No answer of the API is larger.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longer than the server takes before it gives up itself.
const ANSWER_TIME: Duration = Duration::from_secs(70);

/// A logged-in caller of one server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    user: String,
}

impl Client {
    /// The caller that is logged in.
    pub(crate) fn open() -> Result<Client, Failure> {
        Client::of(&Home::find()?)
    }

    /// The caller that is logged in at `home`.
    pub(crate) fn of(home: &Home) -> Result<Client, Failure> {
        let Login { url, user, token, own_ca } = home.login()?;
        let unreadable = |error| {
            let message = format!("`{}` cannot be read: {error}", home.ca().display());
            Failure::new(Exit::NotLoggedIn, message).hint("belay login")
        };
        let ca = if own_ca { Some(std::fs::read(home.ca()).map_err(unreadable)?) } else { None };
        let mut client = Client::anonymous(&url, ca.as_deref())?;
        client.token = Some(token);
        client.user = user;
        Ok(client)
    }

    /// A caller without a token, who trusts `ca` alone, or the system's authorities where there is none.
    pub(crate) fn anonymous(url: &str, ca: Option<&[u8]>) -> Result<Client, Failure> {
        let base = parse_base(url)?;
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
            .user_agent(concat!("belay/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca {
            let certificates = Certificate::from_pem_bundle(pem).ok().filter(|found| !found.is_empty());
            let certificates = certificates.ok_or_else(|| Failure::usage("the CA file holds no PEM certificate"))?;
            builder = builder.tls_certs_only(certificates);
        }
        let http =
            builder.build().map_err(|error| Failure::new(Exit::Failure, format!("TLS cannot be set up: {error}")))?;
        Ok(Client { http, base, token: None, user: String::new() })
    }

    /// The same caller with a token.
    pub(crate) fn with_token(mut self, token: &str) -> Client {
        self.token = Some(token.to_owned());
        self
    }

    /// Who is logged in.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The address of the API, as people write it.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The host of the API, which is the host of the gateway.
    pub(crate) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or("localhost");
        host.trim_start_matches('[').trim_end_matches(']').to_owned()
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failure> {
        self.answer(self.send(Method::GET, path, query, None::<&()>).await?).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Failure> {
        self.answer(self.send(Method::POST, path, &[], Some(body)).await?).await
    }

    /// A post without a body.
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.answer(self.send(Method::POST, path, query, None::<&()>).await?).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Failure> {
        self.answer(self.send(Method::PATCH, path, &[], Some(body)).await?).await
    }

    /// For calls that answer nothing.
    pub(crate) async fn order(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<(), Failure> {
        let response = self.send(method, path, &[], Some(body)).await?;
        if response.status().is_success() { Ok(()) } else { Err(self.refusal(response).await) }
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<Response, Failure> {
        let mut url = self.base.clone();
        // Segments are escaped one by one, so that an id with a `/` in it stays one segment.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let mut request = self.http.request(method, url).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    async fn answer<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes = self.read(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(Exit::Failure, format!("the server's answer is not understood: {error}"))
                .hint("compare the versions: belay --version, belay doctor")
        })
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let bytes = match self.read(response).await {
            Ok(bytes) => bytes,
            Err(failure) => return failure,
        };
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => problem.into(),
            Err(_) if status == StatusCode::NOT_FOUND => {
                Failure::new(Exit::Unreachable, format!("{} is not a Belay server", self.base()))
                    .hint("belay login URL")
            }
            Err(_) => Failure::new(Exit::Failure, format!("the server answered {status}")),
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(
                    Failure::new(Exit::Failure, "the server's answer is too large").hint("ask for less: --limit")
                );
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn Error = error;
        // The last cause is the one that says something. Chains are short; the bound is for the unforeseen.
        for _ in 0..16 {
            match cause.source() {
                Some(deeper) => cause = deeper,
                None => break,
            }
        }
        let text = cause.to_string();
        let hint = if text.contains("certificate") {
            "the server's certificate is not signed by the authority you gave: belay login URL --ca ca.pem"
        } else {
            "is the server running there? belay doctor"
        };
        let what =
            if error.is_timeout() { "did not answer in time".to_owned() } else { format!("cannot be reached: {text}") };
        Failure::new(Exit::Unreachable, format!("{} {what}", self.base())).hint(hint)
    }
}

fn parse_base(url: &str) -> Result<Url, Failure> {
    let wrong = || {
        Failure::usage(format!("`{url}` is not the address of a server"))
            .hint("write for example https://gateway.example.org:7443")
    };
    let mut base = Url::parse(url).map_err(|_| wrong())?;
    if base.scheme() != "https" || base.host_str().is_none() || !base.username().is_empty() || base.password().is_some()
    {
        return Err(wrong());
    }
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_addresses_are_taken() {
        assert!(parse_base("https://gateway.example.org:7443").is_ok());
        for url in ["http://gateway.example.org", "gateway.example.org", "https://", "https://ann:pw@h/", ""] {
            let failure = parse_base(url).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{url}");
        }
    }
}
