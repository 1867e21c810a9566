//! POSTs: JSON Lines with a signature to a webhook, or OTLP's JSON to a collector.

use super::{CONNECT_TIME, SEND_TIME};
use crate::config;
use crate::desk::Clock;
use crate::signed_post::{self, accepted, told};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::sync::Arc;

/// The most of an answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

pub(in crate::feed) struct Http {
    client: Client,
    url: SecretString,
    kind: Kind,
    clock: Arc<dyn Clock>,
}

enum Kind {
    Webhook(SecretString),
    Otlp,
}

impl Http {
    pub(super) fn webhook(http: &config::Http, secret: SecretString, clock: Arc<dyn Clock>) -> Result<Http, String> {
        Ok(Http { client: client(http)?, url: http.url.clone(), kind: Kind::Webhook(secret), clock })
    }

    pub(super) fn otlp(http: &config::Http, clock: Arc<dyn Clock>) -> Result<Http, String> {
        Ok(Http { client: client(http)?, url: http.url.clone(), kind: Kind::Otlp, clock })
    }

    pub(super) async fn send(&self, pieces: &[Vec<u8>]) -> Result<u64, String> {
        let url = self.url.expose_secret();
        match &self.kind {
            Kind::Webhook(secret) => {
                let (body, kind) = (pieces.join(&b'\n'), "application/x-ndjson");
                signed_post::post(&self.client, url, secret, kind, body, &*self.clock).await.map(|()| 0)
            }
            Kind::Otlp => {
                let post = self.client.post(url).header("content-type", "application/json").body(envelope(pieces));
                let answer = accepted(post.send().await.map_err(told)?)?;
                Ok(refused(&read(answer).await?))
            }
        }
    }
}

fn client(http: &config::Http) -> Result<Client, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        // The message would hold the value.
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| "a header cannot be sent")?;
        value.set_sensitive(true);
        headers.insert(HeaderName::try_from(name).map_err(|error| error.to_string())?, value);
    }
    let mut builder = signed_post::client(SEND_TIME).connect_timeout(CONNECT_TIME).default_headers(headers);
    if let Some(ca) = &http.ca {
        let found: Result<Vec<_>, _> = ca.iter().map(|der| Certificate::from_der(der)).collect();
        builder = builder.tls_certs_only(found.map_err(|error| error.to_string())?);
    }
    builder.build().map_err(|error| error.to_string())
}

/// `ExportLogsServiceRequest` of OTLP. The log records are JSON already.
fn envelope(records: &[Vec<u8>]) -> Vec<u8> {
    let head = br#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"belay"}}]},"scopeLogs":[{"scope":{"name":"belay.ledger"},"logRecords":["#;
    let mut body = head.to_vec();
    body.extend_from_slice(&records.join(&b','));
    body.extend_from_slice(b"]}]}]}");
    body
}

async fn read(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err("the receiver's answer is too long".to_owned());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// How many records the collector will never take, as it says in `partialSuccess`.
fn refused(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedLogRecords"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}
