//! Which functions are known to change nothing and to show nothing but what the statement names.
//!
//! The lists are data files beside this one. They speak of `pg_catalog` and `information_schema` only, and take an
//! unqualified name to be `pg_catalog`'s: what shadows it is a matter of the target's catalog.

use std::collections::{HashMap, HashSet};

const STABLE: &str = include_str!("functions/stable.txt");
const VOLATILE: &str = include_str!("functions/volatile.txt");
const WITHHELD: &str = include_str!("functions/withheld.txt");

/// The lists, ready to ask.
#[derive(Debug)]
pub(super) struct Functions {
    harmless: HashSet<&'static str>,
    withheld: HashMap<&'static str, &'static str>,
}

/// What is known of a function by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It changes nothing.
    Harmless,
    /// It sets a setting: its arguments decide.
    SetsSetting,
    /// It shows a setting: its arguments decide.
    ShowsSetting,
    /// It advances a sequence, and changes nothing else.
    Advances,
    /// Refused, as words after "calls NAME, which".
    Refused(&'static str),
}

impl Known {
    /// Why it is refused where the statement does not write the call itself, so that nothing is known of its arguments;
    /// as words after "which".
    pub(super) fn refused_unseen(&self) -> Option<&'static str> {
        match self {
            Known::Harmless | Known::ShowsSetting => None,
            Known::SetsSetting => Some("sets a setting"),
            Known::Advances => Some("advances a sequence"),
            Known::Refused(why) => Some(why),
        }
    }
}

impl Functions {
    /// The lists that are shipped.
    pub(super) fn shipped() -> Functions {
        let names = lines(STABLE).flat_map(str::split_whitespace);
        let reasoned = |text: &'static str| lines(text).filter_map(|line| line.split_once(": "));
        Functions {
            harmless: names.chain(reasoned(VOLATILE).map(|(name, _)| name)).collect(),
            withheld: reasoned(WITHHELD).collect(),
        }
    }

    /// What is known of the function of this name; the schema is empty where the statement names none.
    pub(super) fn known(&self, schema: &str, name: &str) -> Known {
        match schema {
            "" | "pg_catalog" if name == "set_config" => Known::SetsSetting,
            "" | "pg_catalog" if name == "current_setting" => Known::ShowsSetting,
            "" | "pg_catalog" if name == "nextval" => Known::Advances,
            "" | "pg_catalog" => self.own(name),
            "information_schema" if self.harmless.contains(format!("{schema}.{name}").as_str()) => Known::Harmless,
            _ => Known::Refused("is not one of PostgreSQL's own functions"),
        }
    }

    /// Whether a list has this name, which is then the database's own function.
    pub(super) fn is_listed(&self, schema: &str, name: &str) -> bool {
        matches!(schema, "" | "pg_catalog")
            && (name == "set_config" || self.harmless.contains(name) || self.withheld.contains_key(name))
    }

    fn own(&self, name: &str) -> Known {
        if self.harmless.contains(name) {
            return Known::Harmless;
        }
        Known::Refused(self.withheld.get(name).copied().unwrap_or("is not known to be free of side effects"))
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_is_both_harmless_and_withheld() {
        let functions = Functions::shipped();
        let both: Vec<_> = functions.withheld.keys().filter(|name| functions.harmless.contains(**name)).collect();
        assert!(both.is_empty(), "{both:?}");
        assert!(functions.harmless.len() > 1_800, "{}", functions.harmless.len());
    }

    #[test]
    fn every_exception_has_a_reason() {
        for text in [VOLATILE, WITHHELD] {
            for line in lines(text) {
                let (name, reason) = line.split_once(": ").expect(line);
                assert!(!name.is_empty() && reason.len() > 5, "{line}");
            }
        }
    }

    #[test]
    fn names_of_other_schemas_and_new_names_are_refused() {
        let functions = Functions::shipped();
        assert_eq!(functions.known("", "lower"), Known::Harmless);
        assert_eq!(functions.known("pg_catalog", "lower"), Known::Harmless);
        assert_eq!(functions.known("information_schema", "_pg_expandarray"), Known::Harmless);
        assert_eq!(functions.known("", "set_config"), Known::SetsSetting);
        assert_eq!(functions.known("pg_catalog", "current_setting"), Known::ShowsSetting);
        for (schema, name) in [("app", "lower"), ("", "_pg_expandarray"), ("", "fmt_money"), ("public", "set_config")] {
            assert!(matches!(functions.known(schema, name), Known::Refused(_)), "{schema}.{name}");
        }
    }
}
