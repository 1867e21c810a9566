//! Room on the stack for trees as deep as a text may make them.
//!
//! The parser's C side guards its own stack; decoding its tree, walking and dropping it recurse once or more a level.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Up to so many levels run on the caller's stack, in less than 1.5 MiB of it.
const INLINE: usize = if cfg!(debug_assertions) { 22 } else { 64 };
/// What a level takes at the most: measured 33 KiB in debug builds and 13 KiB in release builds, nearly all of it in
/// the decoder of one node.
const LEVEL: usize = if cfg!(debug_assertions) { 72 << 10 } else { 32 << 10 };
/// For the C side, which takes 2 MiB at the most, and everything that is not by level.
const BASE: usize = 4 << 20;

/// Runs `work` with a stack for `levels` levels of nesting; nothing where it panics or no thread can be had.
pub(super) fn with_room_for<T: Send>(levels: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if levels <= INLINE {
        return catch_unwind(AssertUnwindSafe(work)).ok();
    }
    thread::scope(|scope| {
        let size = BASE.saturating_add(levels.saturating_mul(LEVEL));
        let deep = thread::Builder::new().name("deep statement".to_owned()).stack_size(size).spawn_scoped(scope, work);
        deep.ok()?.join().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_on_either_stack() {
        let fails = || -> u8 { panic!("on purpose") };
        assert_eq!(with_room_for(1, fails), None);
        assert_eq!(with_room_for(INLINE + 1, fails), None);
        assert_eq!(with_room_for(INLINE + 1, || 7), Some(7));
    }
}
