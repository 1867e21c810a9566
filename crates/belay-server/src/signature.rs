//! The signature of what is posted to others, so that they can tell it from what anybody else posts.

use aws_lc_rs::hmac;
use belay_model::Timestamp;

/// The header that holds the time of a message and its HMAC-SHA-256: `t=1700000000,v1=HEX` over `TIME.BODY`.
pub(crate) const HEADER: &str = "belay-signature";

/// The value of [`HEADER`].
pub(crate) fn sign(secret: &str, body: &[u8], now: Timestamp) -> String {
    let time = now.0.div_euclid(1_000_000);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut signing = hmac::Context::with_key(&key);
    signing.update(format!("{time}.").as_bytes());
    signing.update(body);
    format!("t={time},v1={}", hex::encode(signing.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_the_time_and_the_body() {
        // Computed with: printf '5.{}' | openssl dgst -sha256 -hmac secret
        let expected = "t=5,v1=f18d2fcd9a24151471e3e2d71bc7ce901fb7b89b341918a08f95e9ffc497ea26";
        assert_eq!(sign("secret", b"{}", Timestamp(5_000_000)), expected);
    }
}
