//! Relations of the catalog that carry values, secrets or other sessions' statements.
//!
//! Others have a single column of that kind: it is shown as NULL, because clients take all columns of them, and refused
//! where anything is made of it. All else of `pg_catalog` and `information_schema` is open for introspection.

use crate::catalog::rows::{FIRST_USER_ID, RelationRow};

/// Why reading this relation is refused, as words after "reads NAME, which".
pub(super) fn why(schema: &str, name: &str) -> Option<&'static str> {
    match schema {
        "" | "pg_catalog" => WITHHELD.iter().find(|(withheld, _)| *withheld == name).map(|(_, why)| *why),
        "information_schema" => INFORMATION.contains(&name).then_some(MAPPINGS),
        _ => None,
    }
    // An extension's view lies in whatever schema the extension was put into.
    .or_else(|| name.starts_with("pg_stat_statements").then_some(STATEMENTS))
    .or_else(|| (schema == "pg_toast" || name.starts_with("pg_toast_")).then_some(VALUES))
}

/// The column of a relation that is shown as NULL, and why, as words after "NAME.COLUMN, which".
pub(super) fn secret(relation: &RelationRow) -> Option<(&'static str, &'static str)> {
    if relation.id >= FIRST_USER_ID {
        return None;
    }
    let (_, column, why) = SECRET.iter().find(|(name, _, _)| *name == relation.name)?;
    Some((column, why))
}

const MAPPINGS: &str = "holds logins on other servers";
const SECRETS: &str = "holds password verifiers";
const STATEMENTS: &str = "shows the statements of other sessions";
const SETTINGS: &str = "shows the settings of roles and the server's files";
const VALUES: &str = "holds values of rows";

const CONNECTION: &str = "holds a login on another server";

const SECRET: &[(&str, &str, &str)] = &[
    ("pg_attribute", "attmissingval", VALUES),
    ("pg_roles", "rolconfig", SETTINGS),
    ("pg_subscription", "subconninfo", CONNECTION),
    ("pg_user", "useconfig", SETTINGS),
];

const INFORMATION: &[&str] = &["_pg_user_mappings", "user_mapping_options"];

const WITHHELD: &[(&str, &str)] = &[
    ("pg_authid", SECRETS),
    ("pg_shadow", SECRETS),
    ("pg_user_mapping", MAPPINGS),
    ("pg_user_mappings", MAPPINGS),
    ("pg_stat_wal_receiver", MAPPINGS),
    ("pg_stat_activity", STATEMENTS),
    ("pg_prepared_xacts", STATEMENTS),
    ("pg_db_role_setting", SETTINGS),
    ("pg_file_settings", SETTINGS),
    ("pg_hba_file_rules", SETTINGS),
    ("pg_ident_file_mappings", SETTINGS),
    ("pg_largeobject", VALUES),
    ("pg_statistic", VALUES),
    ("pg_statistic_ext_data", VALUES),
    ("pg_stats", VALUES),
    ("pg_stats_ext", VALUES),
    ("pg_stats_ext_exprs", VALUES),
];
