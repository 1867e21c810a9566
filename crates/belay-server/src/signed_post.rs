//! POSTs to others, signed so that they can tell them from what anybody else posts.

use crate::desk::Clock;
use crate::signature::{HEADER, sign};
use reqwest::{Client, ClientBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use std::error::Error;
use std::time::Duration;

/// A client that goes where it is sent and nowhere else: it follows no redirect.
pub(crate) fn client(patience: Duration) -> ClientBuilder {
    Client::builder().timeout(patience).redirect(reqwest::redirect::Policy::none())
}

/// Posts `body` with its signature. The error does not hold the address, which may hold a secret.
pub(crate) async fn post(
    client: &Client,
    url: &str,
    secret: &SecretString,
    content_type: &str,
    body: Vec<u8>,
    clock: &dyn Clock,
) -> Result<(), String> {
    let signature = sign(secret.expose_secret(), &body, clock.now());
    let post = client.post(url).header("content-type", content_type).header(HEADER, signature).body(body);
    accepted(post.send().await.map_err(told)?).map(drop)
}

/// The answer, if it is not a refusal.
pub(crate) fn accepted(answer: Response) -> Result<Response, String> {
    let status = answer.status();
    if status.is_success() { Ok(answer) } else { Err(format!("the receiver answered {}", status.as_u16())) }
}

/// What went wrong, without the address.
pub(crate) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
