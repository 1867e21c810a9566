//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, RFC 7677, RFC 5929), without IO.
//!
//! Typestate: [`Mechanisms`] awaits the client's first message, [`AwaitProof`] its last; each is consumed to move on.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use belay_engine::ScramVerifier;
use std::num::NonZeroU32;

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const BINDING: &str = "p=tls-server-end-point";

/// Why a client's SCRAM message cannot be taken. None of these says whether the secret was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    #[error("malformed SCRAM message")]
    Malformed,
    #[error("the client thinks this server cannot bind the channel, but it can: somebody may be in between")]
    Downgrade,
    #[error("channel binding does not match this connection")]
    Binding,
    #[error("the proof is wrong")]
    Proof,
}

/// The verifier of a password, with these random bytes as salt.
pub fn verifier_from_password(password: &str, salt: [u8; 16], iterations: NonZeroU32) -> ScramVerifier {
    let mut salted = [0u8; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    ScramVerifier {
        iterations: iterations.get(),
        salt: salt.to_vec(),
        stored_key: hash(&client_key),
        server_key: mac(&salted, b"Server Key"),
    }
}

/// What the server offers, awaiting the client's choice.
pub(crate) struct Mechanisms {
    /// The hash of the server's certificate.
    end_point: Vec<u8>,
}

/// The server has sent its first message and awaits the proof.
pub(crate) struct AwaitProof {
    verifier: ScramVerifier,
    client_first_bare: String,
    server_first: String,
    nonce: String,
    /// What `c=` must be.
    binding: String,
}

impl Mechanisms {
    pub(crate) fn new(end_point: Vec<u8>) -> Mechanisms {
        Mechanisms { end_point }
    }

    /// The list for AuthenticationSASL.
    pub(crate) fn offer() -> Vec<u8> {
        [PLUS, "\0", PLAIN, "\0\0"].concat().into_bytes()
    }

    /// Takes the client's first message; answers with the server's.
    pub(crate) fn handle_first(
        self,
        mechanism: &str,
        message: &[u8],
        verifier: ScramVerifier,
        server_nonce: &str,
    ) -> Result<(AwaitProof, String), ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(""), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramError::Malformed);
        };
        let bound = match (mechanism, flag) {
            (PLUS, BINDING) => self.end_point,
            (PLAIN, "n") => Vec::new(),
            (PLAIN, "y") => return Err(ScramError::Downgrade),
            (PLUS | PLAIN, _) => return Err(ScramError::Binding),
            _ => return Err(ScramError::Mechanism),
        };
        let client_nonce = nonce_of(bare)?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let binding = BASE64.encode([format!("{flag},,").into_bytes(), bound].concat());
        let next = AwaitProof {
            verifier,
            client_first_bare: bare.to_owned(),
            server_first: server_first.clone(),
            nonce,
            binding,
        };
        Ok((next, server_first))
    }
}

/// The client's nonce out of `n=user,r=nonce`; the user is ignored, as PostgreSQL does.
fn nonce_of(bare: &str) -> Result<&str, ScramError> {
    let (user, rest) = bare.split_once(',').ok_or(ScramError::Malformed)?;
    let nonce = rest.split(',').next().and_then(|part| part.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
    let printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = (1..=256).contains(&nonce.len());
    if user.starts_with("n=") && printable && fits { Ok(nonce) } else { Err(ScramError::Malformed) }
}

impl AwaitProof {
    /// Takes the client's last message; answers with the server's signature if the proof holds.
    pub(crate) fn handle_final(self, message: &[u8]) -> Result<String, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(ScramError::Malformed)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        let proof: [u8; 32] =
            BASE64.decode(proof).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(ScramError::Malformed)?;
        if !same(binding.as_bytes(), self.binding.as_bytes()) {
            return Err(ScramError::Binding);
        }
        if !same(nonce.as_bytes(), self.nonce.as_bytes()) {
            return Err(ScramError::Malformed);
        }
        let signed = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = mac(&self.verifier.stored_key, signed.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(key, byte)| *key ^= byte);
        if !same(&hash(&client_key), &self.verifier.stored_key) {
            return Err(ScramError::Proof);
        }
        Ok(format!("v={}", BASE64.encode(mac(&self.verifier.server_key, signed.as_bytes()))))
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    sized(tag.as_ref())
}

fn hash(data: &[u8]) -> [u8; 32] {
    sized(digest::digest(&digest::SHA256, data).as_ref())
}

fn sized(bytes: &[u8]) -> [u8; 32] {
    let mut sized = [0u8; 32];
    sized.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    sized
}

#[cfg(test)]
mod tests {
    use super::*;
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    fn verifier() -> ScramVerifier {
        verifier_from_password("secret", [5; 16], NonZeroU32::new(4096).unwrap())
    }

    /// Runs our server against rust-postgres's client.
    fn exchange(password: &str, binding: ChannelBinding, mechanism: &str) -> Result<(), ScramError> {
        let mut client = ScramSha256::new(password.as_bytes(), binding);
        let (server, first) =
            Mechanisms::new(b"hash".to_vec()).handle_first(mechanism, client.message(), verifier(), "servernonce")?;
        client.update(first.as_bytes()).unwrap();
        let last = server.handle_final(client.message())?;
        client.finish(last.as_bytes()).unwrap();
        Ok(())
    }

    #[test]
    fn the_right_secret_logs_in_with_and_without_channel_binding() {
        assert_eq!(exchange("secret", ChannelBinding::unsupported(), PLAIN), Ok(()));
        assert_eq!(exchange("secret", ChannelBinding::tls_server_end_point(b"hash".to_vec()), PLUS), Ok(()));
    }

    #[test]
    fn a_wrong_secret_and_a_wrong_channel_are_refused() {
        assert_eq!(exchange("Secret", ChannelBinding::unsupported(), PLAIN), Err(ScramError::Proof));
        let other = ChannelBinding::tls_server_end_point(b"other".to_vec());
        assert_eq!(exchange("secret", other, PLUS), Err(ScramError::Binding));
    }

    #[test]
    fn a_client_that_was_told_there_is_no_binding_is_a_downgrade() {
        assert_eq!(exchange("secret", ChannelBinding::unrequested(), PLAIN), Err(ScramError::Downgrade));
        assert_eq!(exchange("secret", ChannelBinding::unsupported(), PLUS), Err(ScramError::Binding));
        assert_eq!(exchange("secret", ChannelBinding::unsupported(), "PLAIN"), Err(ScramError::Mechanism));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for message in ["", "n", "n,,", "n,,n=", "n,,n=,r=", "n,a=x,n=,r=abc", "n,,r=abc", "n,,n=,r=a b"] {
            let result = Mechanisms::new(Vec::new()).handle_first(PLAIN, message.as_bytes(), verifier(), "s");
            assert!(result.is_err(), "{message}");
        }
        for message in ["", "c=biws", "c=biws,r=abcs,p=", "c=biws,r=abcs,p=AAAA", ",p=AAAA"] {
            let (server, _) = Mechanisms::new(Vec::new()).handle_first(PLAIN, b"n,,n=,r=abc", verifier(), "s").unwrap();
            assert!(server.handle_final(message.as_bytes()).is_err(), "{message}");
        }
    }
}
