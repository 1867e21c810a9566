//! A type, as far as it is known before the server has looked.

/// What is known of a value's type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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

impl Kind {
    /// What it is in the result of a query: a literal that nothing wanted there is a value like others afterwards, to
    /// be cast from what it has become.
    pub(crate) fn settled(self) -> Kind {
        if self == Kind::Literal { Kind::Any } else { self }
    }
}
