//! Names of roles that Belay makes.

use super::fault::other;
use belay_engine::ControlError;
use postgres_protocol::escape::escape_identifier;

/// PostgreSQL cuts longer names without an error, and two grants could then share a role.
const LONGEST: usize = 63;

/// A name that Belay may make, end and drop: `belay_` and then lower-case letters, digits and underscores.
pub(super) struct RoleName {
    plain: String,
    quoted: String,
}

impl RoleName {
    /// The role's name, if it is one of ours. No other role is ever touched.
    pub(super) fn checked(name: &str) -> Result<RoleName, ControlError> {
        let tame = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !tame || !name.starts_with("belay_") || name.len() > LONGEST {
            return Err(other(format!("`{name}` is not a name of a role of Belay")));
        }
        Ok(RoleName { plain: name.to_owned(), quoted: escape_identifier(name) })
    }

    /// As in `pg_roles`.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// As in a statement.
    pub(super) fn quoted(&self) -> &str {
        &self.quoted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_belay_pass() {
        assert!(RoleName::checked("belay_a1_g31").is_ok());
        for name in ["", "postgres", "belay", "belay_\"x", "belay_A", "belay_ x", "app_owner"] {
            assert!(RoleName::checked(name).is_err(), "{name}");
        }
        assert!(RoleName::checked(&format!("belay_{}", "x".repeat(58))).is_err());
    }
}
