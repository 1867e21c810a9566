//! The SQL that makes a control user with no more rights than Belay needs.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;

/// A script for the owner of a database, run in it as a superuser: makes the control user and lets it pass on reads
/// of all tables there are and will be. Leave out the schemas that nobody should get through Belay.
///
/// The password, if given, is not in the script: its SCRAM verifier is.
pub fn setup_sql(user: &str, password: Option<&str>) -> String {
    let role = escape_identifier(user);
    let name = escape_literal(user);
    let password = match password {
        Some(password) => format!("PASSWORD {}", escape_literal(&scram_sha_256(password.as_bytes()))),
        None => "PASSWORD NULL".to_owned(),
    };
    SCRIPT.replace("{role}", &role).replace("{name}", name.trim_start()).replace("{password}", &password)
}

const SCRIPT: &str = r"CREATE ROLE {role} LOGIN CREATEROLE NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS {password};
DO $belay$
DECLARE
    s record;
    o record;
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I WITH GRANT OPTION', current_database(), {name});
    FOR s IN SELECT nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I WITH GRANT OPTION', s.nspname, {name});
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I WITH GRANT OPTION', s.nspname, {name});
        EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I WITH GRANT OPTION', s.nspname, {name});
    END LOOP;
    FOR o IN SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm') AND nspname <> 'information_schema' AND nspname !~ '^pg_' LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON TABLES TO %I WITH GRANT OPTION', o.owner, {name});
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON SEQUENCES TO %I WITH GRANT OPTION', o.owner, {name});
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT USAGE ON SCHEMAS TO %I WITH GRANT OPTION', o.owner, {name});
    END LOOP;
END
$belay$;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_quotes_the_user_and_hides_the_password() {
        let script = setup_sql("be\"lay'", Some("hunter2"));
        assert!(script.contains("CREATE ROLE \"be\"\"lay'\" LOGIN"));
        assert!(script.contains("'be\"lay'''"));
        assert!(script.contains("SCRAM-SHA-256$4096:") && !script.contains("hunter2"));
    }
}
