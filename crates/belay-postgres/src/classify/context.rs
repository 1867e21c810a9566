//! What names mean while a text is read: the target's catalog and the session's search path.

use crate::catalog::Catalog;
use std::sync::Arc;

/// Schemas in a search path beyond this many are not looked at, and such a path is not taken.
pub(super) const SCHEMAS: usize = 64;
/// Stands for the role in force.
const USER: &str = "$user";
/// Bytes of a name, as the server keeps it.
const NAME: usize = 63;

/// From where a text is read: the session's search path and its role. Made by
/// [`Classifier::place`](super::Classifier::place).
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Where names without a schema are looked for; several where it is not settled which one is in force.
    pub(super) paths: Vec<SearchPath>,
    /// The path that RESET goes back to.
    pub(super) default_path: Option<SearchPath>,
    /// The grant's role, and the schema of its own filtered views.
    pub(super) role: String,
    /// Under which number verdicts are remembered.
    pub(super) number: u32,
}

impl Place {
    /// The paths that may be in force.
    pub fn paths(&self) -> &[SearchPath] {
        &self.paths
    }
}

/// The catalog, and from where names are looked up in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) place: &'a Place,
}

/// Schemas in the order in which names are looked for; `pg_catalog` is always among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SearchPath {
    schemas: Arc<[Box<str>]>,
    /// The names as they were set, where one of them stands for the role in force.
    by_role: Option<Arc<[Box<str>]>>,
}

impl SearchPath {
    /// The path that a value of `search_path` gives to `role`; none where the server would not take it, or it is too
    /// long to be followed.
    pub fn new(value: &str, role: &str) -> Option<SearchPath> {
        let names = identifiers(value)?;
        if names.len() > SCHEMAS {
            return None;
        }
        Some(SearchPath::of(names.into_iter(), role))
    }

    /// The path of these schemas, as SET takes them: each word is a whole name. A SET of more than are looked at is
    /// refused.
    pub fn of(names: impl Iterator<Item = String>, role: &str) -> SearchPath {
        let mut schemas: Vec<Box<str>> = Vec::new();
        let cut = |mut name: String| {
            name.truncate(name.floor_char_boundary(NAME));
            name.into_boxed_str()
        };
        let names: Vec<Box<str>> = names.take(SCHEMAS).map(cut).collect();
        for name in &names {
            let name = if &**name == USER { role } else { name };
            // Guarded sessions have no temporary objects.
            if name != "pg_temp" && !schemas.iter().any(|known| **known == *name) {
                schemas.push(Box::from(name));
            }
        }
        let by_role = names.iter().any(|name| &**name == USER).then(|| Arc::from(names));
        if !schemas.iter().any(|name| &**name == "pg_catalog") {
            schemas.insert(0, Box::from("pg_catalog"));
        }
        SearchPath { schemas: schemas.into(), by_role }
    }

    /// What the same setting is under another role, where that makes a difference.
    pub(crate) fn under(&self, role: &str) -> Option<SearchPath> {
        let names = self.by_role.as_ref()?.iter().map(|name| String::from(&**name));
        Some(SearchPath::of(names, role))
    }

    /// The schemas, first looked at first.
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.iter().map(|name| &**name)
    }

    /// Whether this schema is on the path.
    pub fn has(&self, schema: &str) -> bool {
        self.schemas.iter().any(|name| &**name == schema)
    }
}

/// The names of a comma-separated list, as the server splits it. Of unquoted ones it puts ASCII letters alone in lower case.
fn identifiers(value: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = value.trim_matches(is_space);
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_name(quoted)?
        } else {
            let end = rest.find(|letter: char| letter == ',' || is_space(letter)).unwrap_or(rest.len());
            (rest.get(..end)?.to_ascii_lowercase(), rest.get(end..)?)
        };
        let after = after.trim_start_matches(is_space);
        if name.is_empty() {
            return None;
        }
        if names.len() > SCHEMAS {
            return None;
        }
        names.push(name);
        rest = match after.strip_prefix(',') {
            Some(more) => Some(more.trim_start_matches(is_space)).filter(|more| !more.is_empty())?,
            None if after.is_empty() => "",
            None => return None,
        };
    }
    Some(names)
}

/// A name up to its closing quote, which is doubled where it is meant.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(value: &str) -> Option<Vec<String>> {
        Some(SearchPath::new(value, "role")?.schemas().map(str::to_owned).collect())
    }

    #[test]
    fn a_path_is_split_as_the_server_splits_it() {
        let of = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(path("\"$user\", public"), of(&["pg_catalog", "role", "public"]));
        assert_eq!(path(""), of(&["pg_catalog"]));
        assert_eq!(path(" App ,\t\"A\"\"b, c\""), of(&["pg_catalog", "app", "A\"b, c"]));
        assert_eq!(path("evil, pg_catalog"), of(&["evil", "pg_catalog"]));
        assert_eq!(path("a, a, pg_temp"), of(&["pg_catalog", "a"]));
        assert_eq!(path("Évil, ÀB"), of(&["pg_catalog", "Évil", "Àb"]));
        for wrong in ["a,", ",a", "a b", "\"a", "\"\"", "a, , b"] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_name_of_the_role_in_force_is_another_under_another_role() {
        let of = |path: Option<SearchPath>| path.map(|path| path.schemas().map(str::to_owned).collect::<Vec<_>>());
        let by_role = SearchPath::new("\"$user\", a", "role").unwrap();
        assert_eq!(of(by_role.under("a")), Some(vec!["pg_catalog".to_owned(), "a".to_owned()]));
        assert_eq!(of(by_role.under("a").unwrap().under("b")), of(by_role.under("b")));
        assert_eq!(of(SearchPath::new("role, a", "role").unwrap().under("b")), None);
    }

    #[test]
    fn names_are_cut_as_the_server_cuts_them() {
        let (long, cut) = ("e".repeat(64), "e".repeat(63));
        let of = |names: Vec<String>| -> Vec<String> {
            SearchPath::of(names.into_iter(), "role").schemas().skip(1).map(str::to_owned).collect()
        };
        assert_eq!(of(vec![long.clone()]), [cut.as_str()]);
        assert_eq!(path(&long), Some(vec!["pg_catalog".to_owned(), cut]));
        let letters = format!("{}é", "e".repeat(62));
        assert_eq!(of(vec![letters]), ["e".repeat(62)], "no letter is cut in two");
    }

    #[test]
    fn a_path_that_is_too_long_is_none() {
        let names: Vec<String> = (0..=SCHEMAS).map(|n| format!("s{n}")).collect();
        assert_eq!(path(&names.join(",")), None);
        assert!(path(&names[1..].join(",")).is_some());
    }
}
