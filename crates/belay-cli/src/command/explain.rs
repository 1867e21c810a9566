//! `belay explain`: what a code means. Asks no server.

use crate::output::{Out, Row};
use belay_model::Code;
use serde::Serialize;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The code, e.g. `BLY-1001`; none for all of them
    code: Option<Code>,
}

#[derive(Serialize)]
struct Explained {
    kind: &'static str,
    api_version: &'static str,
    code: Code,
    sqlstate: &'static str,
    title: &'static str,
    why: &'static str,
    remedy: &'static str,
}

impl Row for Explained {
    const COLUMNS: &'static [&'static str] = &["code", "sqlstate", "title", "why", "remedy"];
    fn cells(&self) -> Vec<String> {
        let text = |text: &str| text.to_owned();
        vec![self.code.to_string(), text(self.sqlstate), text(self.title), text(self.why), text(self.remedy)]
    }
}

pub(crate) fn run(args: &Args, out: &Out) {
    match args.code {
        Some(code) if out.is_for_people() => {
            let (title, why, remedy) = (code.title(), code.why(), code.remedy());
            out.data(&format!("{code}: {title} (SQLSTATE {})\n\n{why}\n\nWhat to do: {remedy}", code.sqlstate()));
        }
        Some(code) => out.one(&explained(code)),
        None if out.is_for_people() => {
            for code in Code::ALL {
                out.data(&format!("{code}  {}  {}", code.sqlstate(), code.title()));
            }
        }
        None => out.stream(&Code::ALL.iter().copied().map(explained).collect::<Vec<_>>()),
    }
}

fn explained(code: Code) -> Explained {
    Explained {
        kind: "code",
        api_version: belay_web::shape::API_VERSION,
        code,
        sqlstate: code.sqlstate(),
        title: code.title(),
        why: code.why(),
        remedy: code.remedy(),
    }
}
