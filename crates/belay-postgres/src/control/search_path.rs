//! The search path of a role with row filters: its own schema first, then what the database says.

use super::fault::Fault;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::GenericClient;

/// What a session in this database would start with, and the role's own setting here.
const PATHS: &str = "
SELECT coalesce(
    (SELECT substr(c, 13) FROM pg_db_role_setting s, unnest(s.setconfig) c
        WHERE s.setrole = 0 AND s.setdatabase = d.oid AND c LIKE 'search\\_path=%'),
    CASE WHEN EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) c
        WHERE s.setrole = u.oid AND c LIKE 'search\\_path=%') THEN '\"$user\", public'
    ELSE (SELECT reset_val FROM pg_settings WHERE name = 'search_path') END),
    (SELECT substr(c, 13) FROM pg_db_role_setting s, unnest(s.setconfig) c JOIN pg_roles r ON r.rolname = $1
        WHERE s.setrole = r.oid AND s.setdatabase = d.oid AND c LIKE 'search\\_path=%')
FROM pg_database d, pg_roles u WHERE d.datname = current_database() AND u.rolname = current_user";

/// The statement that puts the role's path right; none where it is.
pub(super) async fn missing(
    client: &impl GenericClient,
    role: &str,
    database: &str,
    filtered: bool,
) -> Result<Option<String>, Fault> {
    let row = client.query_typed_one(PATHS, &[(&role, tokio_postgres::types::Type::NAME)]).await?;
    let (default, own): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let alter = format!("ALTER ROLE {} IN DATABASE {}", escape_identifier(role), escape_identifier(database));
    if !filtered {
        return Ok(own.map(|_| format!("{alter} RESET search_path")));
    }
    let mut path = vec![role.to_owned()];
    path.extend(elements(&default.unwrap_or_default()));
    if own.is_some_and(|own| elements(&own) == path) {
        return Ok(None);
    }
    let path: Vec<String> = path.iter().map(|name| escape_identifier(name)).collect();
    Ok(Some(format!("{alter} SET search_path = {}", path.join(", "))))
}

/// The names in a list of identifiers, as PostgreSQL reads them.
fn elements(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut chars = list.chars().peekable();
    let mut name: Option<String> = None;
    while let Some(char) = chars.next() {
        match char {
            ',' => names.extend(name.take()),
            '"' => {
                let text = name.get_or_insert_default();
                while let Some(inner) = chars.next() {
                    if inner == '"' && chars.next_if_eq(&'"').is_none() {
                        break;
                    }
                    text.push(inner);
                }
            }
            space if space.is_whitespace() => {}
            other => name.get_or_insert_default().extend(other.to_lowercase()),
        }
    }
    names.extend(name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_postgresql_reads_it() {
        assert_eq!(elements("\"$user\", public"), ["$user", "public"]);
        assert_eq!(elements("App,\"My \"\"Schema\"\", x\" , pg_temp"), ["app", "My \"Schema\", x", "pg_temp"]);
        assert!(elements("").is_empty());
    }
}
