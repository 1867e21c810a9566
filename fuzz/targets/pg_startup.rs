//! The first packet of a connection: what anybody can send before the login.

#![no_main]

use belay_postgres::wire;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((length, body)) = data.split_first_chunk::<4>() {
        if let Ok(length) = wire::opening_length(*length) {
            assert!(length <= 10_000, "more than PostgreSQL itself takes");
            drop(wire::opening(&body[..length.min(body.len())]));
        }
        drop(wire::opening(body));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(wire::options(text));
    }
});
