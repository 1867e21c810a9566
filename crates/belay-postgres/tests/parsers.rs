//! The grammar that the classifier reads with, beside the servers' own grammars, over the texts of the corpus.
//!
//! A server answers a text before it looks anything up: inside a transaction that has failed it says that the text is
//! no SQL, that it holds several statements, or that the transaction has failed. What it takes a text for, a change of
//! the schema, of data, or neither, it says in its log, which it sends to whoever asks. That is as far as the servers
//! let a client look: whether two grammars agree on the tree below the statement is not seen here.
//!
//! `BELAY_PG_MAJORS` names the servers, as `15=/usr/lib/postgresql/15/bin 18=...`; without it the one that is
//! installed is asked. `BLESS=1` writes the golden file anew, for the versions that were asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod parsers {
    pub(crate) mod corpus;
    pub(crate) mod reading;
    pub(crate) mod server;
}

use parsers::corpus::{Text, texts};
use parsers::reading::Reading;
use parsers::server::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use testkit::Postgres;

const HEAD: &str =
    "# Texts of the corpus that a server's grammar and the classifier's take for different things, with the reason.
# VERSION | CASE | classifier | server | reason
";

/// Why the grammars differ: what the text holds, in lower case, and the reason. The first that fits counts.
const REASONS: [(&str, &str); 1] =
    [("merge", "MERGE is new in 15, its RETURNING in 17: an older server refuses it by itself")];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/layers/parsers.txt")
}

/// Version and server. With the programs that the environment names, or those that are installed.
fn servers() -> Vec<Postgres> {
    // Nobody but this test knows the port, and nothing of worth is in there: no password and no TLS to slow it down.
    let builder = || Postgres::builder().without_tls().hba("host all all 127.0.0.1/32 trust");
    match std::env::var("BELAY_PG_MAJORS") {
        Err(_) => vec![builder().start()],
        Ok(list) => list
            .split_whitespace()
            .map(|item| {
                let (major, bin) = item.split_once('=').expect("MAJOR=FOLDER");
                let server = builder().bin(bin).start();
                assert_eq!(server.major().to_string(), major, "{bin} is another version");
                server
            })
            .collect(),
    }
}

#[tokio::test]
async fn the_grammars_agree_on_the_corpus_but_for_what_is_listed() {
    let texts = texts();
    let mut found: BTreeSet<String> = BTreeSet::new();
    let (mut majors, mut dangerous, mut counts) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    for postgres in servers() {
        let server = Server::of(&postgres).await;
        majors.insert(postgres.major().to_string());
        for text in &texts {
            let (ours, theirs) = (Reading::of_classifier(&text.sql), server.read(&text.sql).await);
            *counts.entry((postgres.major(), ours.is_read(), theirs.is_read())).or_insert(0) += 1;
            if ours.agrees(&theirs) {
                continue;
            }
            // What both take for SQL must be the same SQL.
            if ours.is_read() && theirs.is_read() {
                dangerous.push(format!("{} on {}: {ours} here, {theirs} there", text.case, postgres.major()));
            }
            found.insert(line(postgres.major(), text, &ours, &theirs));
        }
    }
    for ((major, ours, theirs), count) in counts {
        println!("{major}: {count} texts: read by the classifier {ours}, by the server {theirs}");
    }
    assert!(dangerous.is_empty(), "read as something else:\n{}", dangerous.join("\n"));
    compare(&found, &majors, &texts);
}

fn line(major: u32, text: &Text, ours: &Reading, theirs: &Reading) -> String {
    let sql = text.sql.to_lowercase();
    let reason = REASONS.iter().find(|(word, _)| sql.contains(word)).map_or("NO REASON", |(_, reason)| reason);
    format!("{major} | {} | {ours} | {theirs} | {reason}", text.case)
}

fn compare(found: &BTreeSet<String>, majors: &BTreeSet<String>, texts: &[Text]) {
    let cases: BTreeSet<&str> = texts.iter().map(|text| text.case.as_str()).collect();
    let field = |line: &str, at: usize| line.split(" | ").nth(at).unwrap_or_default().to_owned();
    let all = std::fs::read_to_string(golden()).unwrap_or_default();
    let (known, others): (BTreeSet<String>, BTreeSet<String>) = all
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .partition(|line| majors.contains(&field(line, 0)) && cases.contains(field(line, 1).as_str()));
    if std::env::var_os("BLESS").is_some() {
        let lines: Vec<String> = found.iter().chain(&others).map(|line| format!("{line}\n")).collect();
        std::fs::write(golden(), format!("{HEAD}{}", lines.concat())).expect("parsers.txt");
        return;
    }
    let new: Vec<&String> = found.difference(&known).collect();
    let gone: Vec<&String> = known.difference(found).collect();
    assert!(new.is_empty() && gone.is_empty(), "not in e2e/layers/parsers.txt: {new:#?}\nno longer so: {gone:#?}");
    let bare: Vec<&String> = found.iter().filter(|line| line.ends_with("NO REASON")).collect();
    assert!(bare.is_empty(), "a reason is missing: {bare:#?}");
}
