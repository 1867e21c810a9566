//! The lines of a file of scenarios.

use serde_json::Value;

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) id: String,
    /// `postgres`, `postgres18`, or another database.
    engine: String,
    pub(crate) setup: Vec<String>,
    pub(crate) write: Vec<String>,
    pub(crate) tables: Vec<String>,
    pub(crate) expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Reversible,
    MustRefuse,
}

/// Reads one file. Panics on what is no scenario.
pub(crate) fn read(path: &str) -> Vec<Scenario> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}:{}: {error}", number + 1));
            of(&value).unwrap_or_else(|what| panic!("{path}:{}: no `{what}`", number + 1))
        })
        .collect()
}

fn of(value: &Value) -> Result<Scenario, &'static str> {
    let text = |name: &'static str| value[name].as_str().map(str::to_owned).ok_or(name);
    let list = |name: &'static str| {
        let items = value[name].as_array().ok_or(name)?;
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(name)).collect::<Result<Vec<_>, _>>()
    };
    Ok(Scenario {
        id: text("id")?,
        engine: text("engine")?,
        setup: list("setup")?,
        write: list("write")?,
        tables: list("tables")?,
        expect: match value["expect"].as_str() {
            Some("reversible") => Expect::Reversible,
            Some("must_refuse") => Expect::MustRefuse,
            _ => return Err("expect"),
        },
    })
}

impl Scenario {
    /// Whether it is for this version of PostgreSQL.
    pub(crate) fn is_for(&self, major: &str) -> bool {
        match self.engine.strip_prefix("postgres") {
            Some("" | "ql") => true,
            Some(least) => {
                least.parse::<u32>().ok().zip(major.parse::<u32>().ok()).is_some_and(|(least, major)| major >= least)
            }
            None => false,
        }
    }
}
