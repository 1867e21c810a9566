//! `belay audit check`: whether a session report is what the ledger's records make it.

use super::{ledger_in, report, unreadable, verify};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_ledger::VerifierKey;
use belay_report::{Checked, Fault, Subject, check, check_page};
use belay_server::ledger::account::account;
use belay_server::ledger::checkpoint::Signed;
use belay_server::ledger::read::{self, Against, Trust};
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// No report is longer.
const BYTES_MOST: u64 = 1 << 30;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay audit check s_7.html --key ledger.pub
  belay audit check s_7.html --key ledger.pub --dir /backup/ledger
                                                 also that no record of it is left out
")]
pub(crate) struct Args {
    /// The report, as a page or as JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A public key of the ledger: the key, or a file with it
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
    /// Compare it with the ledger in this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What was found.
#[derive(Serialize)]
struct Answer {
    kind: &'static str,
    api_version: &'static str,
    intact: bool,
    subject: String,
    records: usize,
    /// The size of the ledger that was signed.
    signed_records: u64,
    signed_by: Vec<String>,
    /// Whether it is known that no record was left out.
    complete: bool,
}

pub(crate) fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let keys = args.key.iter().map(|key| verify::trusted(key)).collect::<Result<Vec<_>, _>>()?;
    let text = text_of(&args.file)?;
    let is_page = text.trim_start().starts_with('<');
    let checked = if is_page { check_page(&text, &keys) } else { check(&text, &keys) };
    let checked = checked.map_err(|fault| failed(&args.file, &fault))?;
    let compared = args.dir.as_deref().map(|dir| compare(dir, &checked, &args.file, &keys)).transpose()?.is_some();
    let answer = Answer {
        kind: "report_check",
        api_version: belay_report::API_VERSION,
        intact: true,
        subject: checked.document.subject.clone(),
        records: checked.document.records.len(),
        signed_records: checked.checkpoint.size,
        signed_by: checked.signed_by.clone(),
        complete: compared || checked.is_signed,
    };
    if !out.is_for_people() {
        out.object(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    out.lines(&[format!(
        "{}: intact; {} records, each proven to be in the ledger that {} signed at {} records",
        answer.subject,
        answer.records,
        answer.signed_by.join(", "),
        answer.signed_records,
    )]);
    out.say(match (compared, checked.is_signed) {
        (true, _) => "no record of it is left out: the ledger's files make the same report",
        (false, true) => "that no record is left out is what the server says, which has signed the report",
        (false, false) => "that no record is left out was not checked; with a copy of the ledger: --dir DIR",
    });
    Ok(ExitCode::SUCCESS)
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("`{}`: {error}", file.display()));
    let mut text = String::new();
    let mut file = std::fs::File::open(file).map_err(failed)?.take(BYTES_MOST);
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Makes the report again from the ledger's own files. It may have grown since: what came later is no difference.
fn compare(dir: &Path, checked: &Checked, file: &Path, keys: &[VerifierKey]) -> Result<(), Failure> {
    let subject: Subject = checked
        .document
        .subject
        .parse()
        .map_err(|error: belay_report::SubjectError| Failure::usage(error.to_string()))?;
    let ledger = ledger_in(dir)?;
    // The files have to be the ledger that the report was made of, up to the checkpoint that it bears at least.
    let noted = checked.document.proof.iter().filter_map(|proof| Signed::read(&proof.checkpoint)).collect();
    let trust = Some(Trust { keys: keys.to_vec(), noted });
    let found = read::verify(&ledger, &Against { position: None, trust }).map_err(unreadable)?;
    if let Some(fault) = found.damage.or(found.torn) {
        let what = format!("the ledger to compare with is not intact: record {}: {}", fault.seq, fault.what);
        return Err(Failure::new(Exit::Integrity, what).hint("belay audit verify --dir DIR --key KEY"));
    }
    let mut again = account(&ledger, subject).map_err(report::unmade)?;
    again.records.retain(|record| record.record < checked.checkpoint.size);
    let mut pairs = again.records.iter().zip(&checked.document.records);
    let differs = pairs.find(|(one, other)| one.payload != other.payload).map(|(one, _)| one.record);
    let missing = again.records.get(checked.document.records.len()).map(|record| record.record);
    match differs.or(missing) {
        Some(record) => Err(Failure::new(
            Exit::Integrity,
            format!("`{}` is not intact: record {record} of the ledger is not in it", file.display()),
        )),
        None if again.records.len() < checked.document.records.len() => Err(Failure::new(
            Exit::Integrity,
            format!("`{}` has records that this ledger does not have", file.display()),
        )),
        None => Ok(()),
    }
}

fn failed(file: &Path, fault: &Fault) -> Failure {
    Failure::new(Exit::Integrity, format!("`{}` is not intact: {fault}", file.display()))
        .hint("make it again from the ledger: belay audit report SESSION --dir DIR --html FILE")
}
