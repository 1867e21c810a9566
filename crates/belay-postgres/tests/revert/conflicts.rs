//! What others did since.
