//! What the end-to-end tests share: real servers, and a client whose every byte is the test's own.
//!
//! Nothing here knows how Belay is built: it is met as people meet it, through its command line and its port.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken test bed must stop the test")]

mod raw;
mod terminal;
mod world;

pub use raw::{Message, Raw, cancel_in_the_clear, cancel_over_tls, message};
pub use terminal::Terminal;
pub use world::World;
