//! Which settings a guarded session may set.
//!
//! A list of what is allowed, not of what is forbidden: settings of display, planning and limits. A setting that is
//! not named here is guarded, settings of extensions and of applications (`app.tenant`) too, because row security
//! policies may read those. Whether the database lets the role set it is not settled here.

/// What may be written into an allowed setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Anything the server takes.
    Any,
    /// Only what switches it on.
    On,
    /// Only UTF-8, in any of its spellings.
    Utf8,
}

/// Whether the setting `name` may be given this value; `None` stands for a value that the text does not tell.
pub fn may_set(name: &str, value: Option<&str>) -> bool {
    match (values(name), value) {
        (Some(Values::Any), _) => true,
        (Some(Values::On), Some(value)) => {
            ["on", "true", "yes", "1"].iter().any(|word| value.eq_ignore_ascii_case(word))
        }
        (Some(Values::Utf8), Some(value)) => is_utf8(value),
        (Some(Values::On | Values::Utf8), None) | (None, _) => false,
    }
}

/// Whether the setting `name` may go back to its default: only where any value is fine, since the default is not
/// known here.
pub fn may_reset(name: &str) -> bool {
    values(name) == Some(Values::Any)
}

fn values(name: &str) -> Option<Values> {
    let name = name.to_ascii_lowercase();
    let listed = |list: &[&str]| list.contains(&name.as_str());
    match name.as_str() {
        "client_encoding" => Some(Values::Utf8),
        _ if listed(ONLY_ON) => Some(Values::On),
        _ if listed(DISPLAY) || listed(LIMITS) || listed(PLANNING) || listed(SESSION) => Some(Values::Any),
        _ => None,
    }
}

/// The server compares encoding names by their letters and digits alone.
fn is_utf8(value: &str) -> bool {
    let bare: String =
        value.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    bare == "utf8" || bare == "unicode"
}

/// Switching these off would move the ends of strings, or lift read-only.
const ONLY_ON: &[&str] = &["default_transaction_read_only", "standard_conforming_strings", "transaction_read_only"];

const DISPLAY: &[&str] = &[
    "application_name",
    "array_nulls",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "default_text_search_config",
    "escape_string_warning",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "quote_all_identifiers",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Belay's own limits hold in the gateway; these are the client's.
const LIMITS: &[&str] = &[
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "maintenance_work_mem",
    "statement_timeout",
    "temp_buffers",
    "transaction_timeout",
    "work_mem",
];

const PLANNING: &[&str] = &[
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "debug_parallel_query",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_async_append",
    "enable_bitmapscan",
    "enable_distinct_reordering",
    "enable_gathermerge",
    "enable_group_by_reordering",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_partition_pruning",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "enable_presorted_aggregate",
    "enable_self_join_elimination",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
    "force_parallel_mode",
    "from_collapse_limit",
    "geqo",
    "geqo_effort",
    "geqo_generations",
    "geqo_pool_size",
    "geqo_seed",
    "geqo_selection_bias",
    "geqo_threshold",
    "jit",
    "jit_above_cost",
    "jit_expressions",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "jit_tuple_deforming",
    "join_collapse_limit",
    "maintenance_io_concurrency",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "random_page_cost",
    "recursive_worktable_factor",
    "seq_page_cost",
    "stats_fetch_consistency",
    "synchronize_seqscans",
];

const SESSION: &[&str] = &[
    // These three speak of objects to be made, which a guarded session cannot make; clients set them at their start.
    "check_function_bodies",
    "default_table_access_method",
    "default_tablespace",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "restrict_nonsystem_relation_kind",
    // Off means an error instead of a filter, never more rows: only a role with BYPASSRLS sees more.
    "row_security",
    "search_path",
    // Seeds the session's own random numbers.
    "seed",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "transaction_deferrable",
    "transaction_isolation",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_limits_may_be_set_in_any_case_to_anything() {
        assert!(may_set("DateStyle", Some("ISO, MDY")));
        assert!(may_set("statement_timeout", Some("0")));
        assert!(may_set("search_path", None));
        assert!(may_reset("TimeZone"));
    }

    #[test]
    fn what_is_not_listed_is_guarded() {
        for name in ["role", "session_authorization", "session_replication_role", "app.tenant", "", "log_statement"] {
            assert!(!may_set(name, Some("on")) && !may_set(name, None) && !may_reset(name), "{name}");
        }
    }

    #[test]
    fn read_only_and_string_syntax_can_only_be_switched_on() {
        for name in ONLY_ON {
            assert!(may_set(name, Some("on")) && may_set(name, Some("TRUE")) && may_set(name, Some("1")), "{name}");
            for value in [Some("off"), Some("0"), Some("f"), Some("onn"), Some(""), None] {
                assert!(!may_set(name, value), "{name} = {value:?}");
            }
            assert!(!may_reset(name), "{name}");
        }
    }

    #[test]
    fn the_client_encoding_stays_utf8() {
        for value in ["UTF8", "utf-8", "Unicode", "UTF_8"] {
            assert!(may_set("client_encoding", Some(value)), "{value}");
        }
        for value in ["SJIS", "LATIN1", "SQL_ASCII", "", "utf16"] {
            assert!(!may_set("client_encoding", Some(value)), "{value}");
        }
        assert!(!may_set("client_encoding", None) && !may_reset("client_encoding"));
    }
}
