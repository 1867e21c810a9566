//! The key that hashed and replaced values depend on.

use aws_lc_rs::hmac;
use belay_model::GrantId;
use std::fmt;

/// Keeps equal values equal within one grant and tells nothing across grants.
#[derive(Clone)]
pub struct MaskKey(hmac::Key);

impl MaskKey {
    /// This key.
    pub fn new(bytes: [u8; 32]) -> MaskKey {
        MaskKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// The key of a grant, from a secret of the gateway.
    pub fn of_grant(secret: &[u8], grant: GrantId) -> MaskKey {
        let parent = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&parent, format!("belay masks of {grant}").as_bytes());
        MaskKey(hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref()))
    }

    /// A keyed hash of `value` for this use, which differs for each `block`.
    pub(super) fn sign(&self, purpose: u8, block: u32, value: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[purpose]);
        context.update(&block.to_be_bytes());
        context.update(value);
        context.sign()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey")
    }
}
