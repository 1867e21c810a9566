//! What others were in the way of only for a moment.

/// How often such a thing is tried.
pub(crate) const ATTEMPTS: usize = 3;

/// Whether the same may go well if it is tried again at once: a serialization failure, a deadlock.
pub(crate) fn is_passing(sqlstate: &str) -> bool {
    matches!(sqlstate, "40001" | "40P01")
}
