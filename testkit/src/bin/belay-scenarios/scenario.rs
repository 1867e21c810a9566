//! The lines of a file of scenarios.

use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

/// One scenario.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) id: String,
    /// `postgres`, `postgres18`, or another database.
    pub(crate) engine: String,
    pub(crate) setup: Vec<String>,
    pub(crate) write: Vec<Step>,
    /// What a second writer does at the same time past the gateway, one statement beside each of `write`.
    pub(crate) beside: Vec<String>,
    pub(crate) tables: Vec<String>,
    pub(crate) expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Reversible,
    MustRefuse,
    /// Each step may be refused or made; what was made is given back.
    Either,
}

/// What is sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) sql: String,
    /// With them it is one prepared statement; each is a text.
    pub(crate) parameters: Option<Vec<Option<String>>>,
}

impl Step {
    pub(crate) fn plain(sql: impl Into<String>) -> Step {
        Step { sql: sql.into(), parameters: None }
    }

    pub(crate) async fn send(&self, client: &Client) -> Result<(), Error> {
        let Some(parameters) = &self.parameters else { return client.simple_query(&self.sql).await.map(drop) };
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| one as _).collect();
        client.query(&self.sql, &parameters).await.map(drop)
    }

    /// Whether the client is in a transaction of its own after it.
    pub(crate) fn leaves_open(&self, open: bool) -> bool {
        let word = self.sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "BEGIN" | "START" => true,
            "COMMIT" | "END" => false,
            "ROLLBACK" => open && self.sql.to_ascii_uppercase().contains(" TO "),
            _ => open,
        }
    }

    /// A text, or a list of the statement and its parameters.
    fn of(value: &Value) -> Option<Step> {
        if let Some(sql) = value.as_str() {
            return Some(Step::plain(sql));
        }
        let mut words = value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
        Some(Step { sql: words.next()??, parameters: Some(words.collect()) })
    }

    fn json(&self) -> Value {
        match &self.parameters {
            None => json!(self.sql),
            Some(parameters) => {
                std::iter::once(json!(self.sql)).chain(parameters.iter().map(|one| json!(one))).collect()
            }
        }
    }
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
        write: value["write"].as_array().and_then(|all| all.iter().map(Step::of).collect()).ok_or("write")?,
        beside: if value["beside"].is_null() { Vec::new() } else { list("beside")? },
        tables: list("tables")?,
        expect: match value["expect"].as_str() {
            Some("reversible") => Expect::Reversible,
            Some("must_refuse") => Expect::MustRefuse,
            Some("either") => Expect::Either,
            _ => return Err("expect"),
        },
    })
}

impl Scenario {
    /// Its line in a file.
    pub(crate) fn line(&self) -> String {
        let expect = match self.expect {
            Expect::Reversible => "reversible",
            Expect::MustRefuse => "must_refuse",
            Expect::Either => "either",
        };
        let write: Vec<Value> = self.write.iter().map(Step::json).collect();
        let (id, engine) = (&self.id, &self.engine);
        json!({"id": id, "engine": engine, "setup": self.setup, "write": write, "beside": self.beside,
            "tables": self.tables, "expect": expect})
        .to_string()
    }

    /// Whether it is for this version of PostgreSQL. MERGE came with 15.
    pub(crate) fn is_for(&self, major: &str) -> bool {
        let merges = |step: &Step| step.sql.trim_start().to_ascii_lowercase().starts_with("merge ");
        if major == "14" && self.write.iter().any(merges) {
            return false;
        }
        match self.engine.strip_prefix("postgres") {
            Some("" | "ql") => true,
            Some(least) => {
                least.parse::<u32>().ok().zip(major.parse::<u32>().ok()).is_some_and(|(least, major)| major >= least)
            }
            None => false,
        }
    }
}
