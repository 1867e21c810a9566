//! Which crate may use which: the picture in ARCHITECTURE.md as a table.

use super::Violation;
use std::path::Path;

/// What a crate of ours may use of ours, and why.
struct Arrows {
    name: &'static str,
    uses: &'static [&'static str],
    because: &'static str,
}

/// From the leaves up. A crate that is not here may not exist.
const TABLE: &[Arrows] = &[
    Arrows { name: "belay-model", uses: &[], because: "the vocabulary stands on nothing" },
    Arrows { name: "belay-policy", uses: &["belay-model"], because: "policy never sees bytes, stores or protocols" },
    Arrows {
        name: "belay-access",
        uses: &["belay-model", "belay-policy"],
        because: "who may ask for what is decided from texts, people and times alone, and never a statement",
    },
    Arrows { name: "belay-change", uses: &["belay-model"], because: "changes are data, compared without a database" },
    Arrows { name: "belay-ledger", uses: &["belay-model"], because: "a verifier must not need the server it checks" },
    Arrows {
        name: "belay-report",
        uses: &["belay-model", "belay-ledger"],
        because: "a report is made and checked of the ledger's records alone",
    },
    Arrows {
        name: "belay-engine",
        uses: &["belay-model", "belay-policy", "belay-change"],
        because: "the contract hands out decisions and permits, and knows no protocol",
    },
    Arrows {
        name: "belay-store",
        uses: &["belay-model", "belay-policy"],
        because: "the store keeps what the desk decides, and knows no protocol",
    },
    Arrows {
        name: "belay-postgres",
        uses: &["belay-model", "belay-policy", "belay-change", "belay-engine"],
        because: "engines never see the store, the ledger or each other",
    },
    Arrows {
        name: "belay-server",
        uses: &[
            "belay-model",
            "belay-policy",
            "belay-access",
            "belay-change",
            "belay-ledger",
            "belay-report",
            "belay-engine",
            "belay-store",
            "belay-postgres",
        ],
        because: "the shell joins the parts, and knows no HTTP",
    },
    Arrows {
        name: "belay-web",
        uses: &[
            "belay-model",
            "belay-policy",
            "belay-access",
            "belay-change",
            "belay-ledger",
            "belay-report",
            "belay-engine",
            "belay-store",
            "belay-server",
        ],
        because: "only the web crate knows HTTP shapes, and no protocol of a target",
    },
    Arrows {
        name: "belay-cli",
        uses: &[
            "belay-model",
            "belay-policy",
            "belay-access",
            "belay-change",
            "belay-ledger",
            "belay-report",
            "belay-server",
            "belay-web",
        ],
        because: "the commands use the API, and start the server",
    },
    Arrows { name: "testkit", uses: &[], because: "real servers for tests must not depend on what is tested" },
    Arrows { name: "e2e", uses: &["testkit"], because: "end-to-end tests use the binary, as people do" },
    Arrows { name: "bench", uses: &["testkit"], because: "benchmarks use the binary, as people do" },
    Arrows { name: "walk", uses: &["testkit"], because: "the demo uses the binary, as people do" },
    Arrows { name: "xtask", uses: &[], because: "the checks must build when nothing else does" },
    Arrows {
        name: "fuzz",
        uses: &["belay-model", "belay-ledger", "belay-engine", "belay-postgres"],
        because: "fuzz targets feed bytes to the crates that read bytes",
    },
];

/// What pure crates may use of others: codecs and derives that do no IO and read no clock.
const PURE_MAY_USE: [&str; 11] = [
    "base64",
    "cedar-policy",
    "crc32fast",
    "ed25519-dalek",
    "hex",
    "jiff",
    "miette",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
];

/// Checks one manifest.
pub(super) fn check(name: &str, pure: bool, path: &Path, text: &str) -> Vec<Violation> {
    let at = |line, text| Violation { path: path.to_owned(), line, text };
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![at(1, format!("cannot be read: {}", error.message()))],
    };
    let Some(arrows) = TABLE.iter().find(|arrows| arrows.name == name) else {
        return vec![at(1, format!("`{name}` is not in the table of crates; say there what it may use and why"))];
    };
    let mut violations = Vec::new();
    for dependency in dependencies(&manifest, &["dependencies", "build-dependencies"]) {
        let ours = TABLE.iter().any(|arrows| arrows.name == dependency) || dependency.starts_with("belay-");
        let because = arrows.because;
        let line = line_of(text, dependency);
        if ours && !arrows.uses.contains(&dependency) {
            violations.push(at(line, format!("`{name}` may not use `{dependency}`: {because}")));
        }
        if pure && !ours && !PURE_MAY_USE.contains(&dependency) {
            let why = "pure crates use only what is known to do no IO and to read no clock";
            violations.push(at(line, format!("`{name}` may not use `{dependency}`: {why}")));
        }
    }
    // A test may use the kit, and nothing that stands above what it tests.
    for dependency in dependencies(&manifest, &["dev-dependencies"]) {
        let position = |name: &str| TABLE.iter().position(|arrows| arrows.name == name);
        let above = position(dependency) > position(name) && position(dependency).is_some() && dependency != "testkit";
        if above {
            let line = line_of(text, dependency);
            violations.push(at(line, format!("tests of `{name}` may not use `{dependency}`, which stands above it")));
        }
    }
    violations
}

fn dependencies<'a>(manifest: &'a toml::Table, sections: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let direct = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let of_targets = targets.flat_map(|target| sections.iter().filter_map(|section| target.get(*section)?.as_table()));
    direct.chain(of_targets).flat_map(toml::Table::keys).map(String::as_str)
}

fn line_of(text: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    text.lines().position(names).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, pure: bool, text: &str) -> Vec<String> {
        check(name, pure, Path::new("Cargo.toml"), text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_of_the_table_passes() {
        let manifest = "[dependencies]\nbelay-model.workspace = true\nserde = \"1\"\n[dev-dependencies]\ntestkit.workspace = true\n";
        assert!(lines("belay-ledger", true, manifest).is_empty());
    }

    #[test]
    fn an_arrow_against_the_table_is_one_line_with_its_place_and_reason() {
        let manifest =
            "[package]\nname = \"x\"\n\n[dependencies]\nbelay-model.workspace = true\nbelay-store = { path = \"x\" }\n";
        assert_eq!(
            lines("belay-postgres", false, manifest),
            [
                "Cargo.toml:6: `belay-postgres` may not use `belay-store`: engines never see the store, the ledger or each other"
            ]
        );
    }

    #[test]
    fn arrows_of_builds_and_of_single_platforms_count_too() {
        let build = "[build-dependencies]\nbelay-server.workspace = true\n";
        let platform = "[target.'cfg(unix)'.dependencies]\nbelay-server.workspace = true\n";
        assert_eq!(lines("belay-model", false, build).len(), 1);
        assert_eq!(lines("belay-model", false, platform).len(), 1);
    }

    #[test]
    fn a_pure_crate_gets_no_runtime_and_no_random_numbers() {
        let manifest = "[dependencies]\ntokio.workspace = true\nrand = \"0.9\"\nserde.workspace = true\n";
        assert_eq!(lines("belay-ledger", true, manifest).len(), 2);
    }

    #[test]
    fn a_test_may_not_reach_up() {
        let manifest = "[dev-dependencies]\nbelay-server.workspace = true\n";
        assert_eq!(
            lines("belay-ledger", true, manifest),
            ["Cargo.toml:2: tests of `belay-ledger` may not use `belay-server`, which stands above it"]
        );
    }

    #[test]
    fn a_crate_that_nobody_placed_is_a_violation() {
        assert_eq!(lines("belay-extra", false, "").len(), 1);
    }

    #[test]
    fn the_table_has_no_arrow_that_points_up() {
        for (index, arrows) in TABLE.iter().enumerate() {
            for used in arrows.uses {
                let position = TABLE.iter().position(|other| other.name == *used).unwrap();
                assert!(position < index, "{} uses {used}", arrows.name);
            }
        }
    }
}
