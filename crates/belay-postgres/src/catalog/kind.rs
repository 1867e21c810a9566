//! A type, as far as it is known before the server has looked.

/// What is known of a value's type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// It may be any.
    #[default]
    Any,
    /// A literal without a type: it becomes what is wanted.
    Literal,
    /// An array of something.
    Array,
    /// The type with this id.
    Of(u32),
}
