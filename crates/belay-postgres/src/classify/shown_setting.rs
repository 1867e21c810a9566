//! Which settings may be shown.
//!
//! PostgreSQL shows its own with care: those that hold secrets only to whom it trusts. A setting with a dot in its name
//! is anybody's: applications keep tokens there, set for a role or a database, and what is set for one reaches every
//! session of it.

/// Extensions whose settings only tune them.
const KNOWN: &[&str] = &["auto_explain", "hnsw", "ivfflat", "pg_stat_statements", "pg_trgm", "plpgsql"];

/// Whether the setting of this name may be shown.
pub(crate) fn may_show(name: &str) -> bool {
    match name.split_once('.') {
        Some((extension, _)) => KNOWN.iter().any(|known| known.eq_ignore_ascii_case(extension)),
        None => true,
    }
}

/// Why it may not, after what shows it.
pub(crate) fn why(name: &str) -> String {
    format!("it shows {}, a setting of an application, which may hold a secret", name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_applications_are_not_shown() {
        for name in ["search_path", "TimeZone", "plpgsql.variable_conflict", "PG_TRGM.similarity_threshold"] {
            assert!(may_show(name), "{name}");
        }
        for name in ["app.token", "App.Token", "jwt.claims.secret", ".x", "plpgsqlx.y"] {
            assert!(!may_show(name), "{name}");
        }
    }
}
