//! Which functions do all that they do inside the transaction that calls them, as far as that can be known without
//! reading them.

use super::rows::{FIRST_USER_ID, FunctionRow};

/// Volatile functions of extensions that are known to, with the reason.
const INSIDE: &str = include_str!("inside.txt");

/// Whether nobody but its author knows where it writes. What is IMMUTABLE or STABLE has promised to write nothing; what
/// is not native runs as SQL does, in the transaction.
pub(super) fn leaves(function: &FunctionRow) -> bool {
    function.id >= FIRST_USER_ID && function.native && function.volatile && !is_listed(function)
}

/// Whether it is a volatile function of an extension that is known to stay inside.
pub(super) fn is_listed(function: &FunctionRow) -> bool {
    let Some(extension) = function.extension.as_deref() else { return false };
    INSIDE
        .lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(listed, _)| listed.split_once('.').is_some_and(|(of, name)| of == extension && name == function.name))
}
