//! The format of the ledger: bytes in, bytes out.
//!
//! This crate does not open files, read clocks, wait, or decide what is recorded. The shell in `belay-server`
//! appends what [`Encoder`] writes and feeds what it reads to [`Verifier`].
//!
//! A segment is a [`Header`] and any number of frames. A frame is
//!
//! ```text
//! length   u32 little endian, of the payload
//! check    u32 little endian, CRC-32 of the four bytes of the length
//! payload  {"seq":41,"at":...,"kind":"statement",...}
//! chain    SHA-256(chain of the record before || leaf), leaf = SHA-256(0x00 || payload)
//! ```
//!
//! The content of an event of a session, what was typed and what rows hold, is sealed under a key of the session: then
//! the payload ends in `,"content":HASH,"sealed":...}`, where the hash is SHA-256 over the content as JSON. Chain and leaf
//! are over the payload as it is stored, so that erasing the key leaves every proof as it is.
//!
//! The leaf is the leaf hash of RFC 6962, section 2.1, so that a Merkle tree can be built over the same records.
//! The length has its own check because a changed length in the middle would otherwise look like an append
//! that a crash cut short, and be thrown away as one.
//!
//! The chain proves that nothing between two records was touched. It cannot prove that nothing was cut off at the
//! end, or that the whole was not written anew: for that, compare a [`Position`] that was noted elsewhere, or verify the
//! signed [`Checkpoint`]s of the [`Tree`] over the same leaves.

mod chain;
mod checkpoint;
mod content;
mod cut;
mod encode;
mod header;
mod merkle;
mod note;
mod proof;
mod record;
mod tile;
mod verify;

pub use chain::{Hash, Position, PositionError, leaf, link};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use content::{ERASED, Owner, SALT_LEN, Seal};
pub use cut::Cut;
pub use encode::{EncodeError, Encoder};
pub use header::{HEADER_LEN, Header, HeaderError};
pub use merkle::{Nodes, empty_root, node};
pub use note::{KEY_LEN, KeyError, Note, NoteError, Signer, VerifierKey};
pub use proof::{ConsistencyProof, InclusionProof};
pub use record::{Opened, Record, RecordError, Sealed};
pub use tile::{NoTile, TILE_WIDTH, Tile, TilePath, Tiled, Tree, partial_paths};
pub use verify::{Damage, DamageKind, End, Frame, Torn, Verifier};

/// The largest payload of a record. What would be longer is cut, and the record says so.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// Bytes before the payload: length and check.
pub const FRAME_HEAD: usize = 8;
/// Bytes after the payload: the chain.
pub const FRAME_TAIL: usize = 32;
