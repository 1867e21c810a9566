//! Relations of the catalog that carry values, secrets or other sessions' statements.
//!
//! `pg_subscription` is open, because `pg_dump` counts it: PostgreSQL itself withholds the one column of it that holds a
//! secret. All others of `pg_catalog` and `information_schema` are open for introspection.

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

const MAPPINGS: &str = "holds logins on other servers";
const SECRETS: &str = "holds password verifiers";
const STATEMENTS: &str = "shows the statements of other sessions";
const SETTINGS: &str = "shows the settings of roles and the server's files";
const VALUES: &str = "holds values of rows";

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
