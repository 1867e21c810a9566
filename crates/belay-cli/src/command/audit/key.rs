//! `belay audit key`, `checkpoint`, `prove`: what is signed, and with which key.

use super::{ledger_in, verify};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_ledger::Record;
use belay_server::ledger::checkpoint;
use belay_server::ledger::proof::{self, Proof, ProofError};
use belay_web::shape::{LedgerCheckpoint, LedgerKey, RecordProof};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    act: Option<KeyAct>,
}

#[derive(clap::Subcommand)]
enum KeyAct {
    /// Sign with a new key from now on; the one before signs that, and still verifies what it has signed
    Rotate,
}

#[derive(clap::Args)]
pub(crate) struct CheckpointArgs {
    /// The newest in this directory, without a server
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct ProveArgs {
    /// The number of the record
    #[arg(value_name = "RECORD")]
    seq: u64,
    /// Out of the files in this directory, without a server
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Check the proof with this key: the key, or a file with it
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

pub(crate) async fn key(args: KeyArgs, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    let key: LedgerKey = match args.act {
        None => client.get(&["audit", "key"], &[]).await?,
        Some(KeyAct::Rotate) => client.post(&["audit", "key"], &()).await?,
    };
    out.data(&format!("{}\n", key.key));
    out.next(match key.replaced {
        Some(_) => "give the new key to your auditors; the one before leads to it by itself",
        None => "keep it where the gateway's machine cannot write; later: belay audit verify --dir DIR --key FILE",
    });
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn checkpoint(args: CheckpointArgs, out: &Out) -> Result<ExitCode, Failure> {
    let note = match &args.dir {
        Some(dir) => {
            let found = checkpoint::latest(&ledger_in(dir)?);
            let found = found.map_err(|error| Failure::new(Exit::Integrity, error.to_string()))?;
            let missing = || Failure::new(Exit::Failure, "there is no checkpoint".to_owned());
            found.ok_or_else(missing)?.note.to_string()
        }
        None => Client::open()?.post::<LedgerCheckpoint>(&["audit", "checkpoint"], &()).await?.note,
    };
    out.data(&note);
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn prove(args: ProveArgs, out: &Out) -> Result<ExitCode, Failure> {
    let found = match &args.dir {
        Some(dir) => {
            let (shown, proof) = proof::prove(&ledger_in(dir)?, args.seq).map_err(|error| unproven(&error))?;
            RecordProof::new(args.seq, shown, &proof)
        }
        None => Client::open()?.get(&["audit", "proof", &args.seq.to_string()], &[]).await?,
    };
    let keys = args.key.iter().map(|key| verify::trusted(key)).collect::<Result<Vec<_>, _>>()?;
    let proof = found.proof.parse::<Proof>();
    let holds = |proof: &Proof| proof.inclusion.index == args.seq && proof.verify(found.record.as_bytes(), &keys);
    if !keys.is_empty() && !proof.is_ok_and(|proof| holds(&proof)) {
        let what = format!("the proof of record {} does not hold under this key", args.seq);
        return Err(Failure::new(Exit::Integrity, what).hint("belay audit verify --dir DIR --key KEY"));
    }
    if Record::with_content(found.record.as_bytes(), found.content.as_deref()).is_err() {
        let what = format!("the content that is shown with record {} is not the one that was sealed in it", args.seq);
        return Err(Failure::new(Exit::Integrity, what));
    }
    out.one(&found);
    Ok(ExitCode::SUCCESS)
}

fn unproven(error: &ProofError) -> Failure {
    let exit = match error {
        ProofError::Tiles(_) | ProofError::Checkpoints(_) => Exit::Integrity,
        ProofError::Read(_) | ProofError::Unsigned(..) | ProofError::Deleted(..) => Exit::Failure,
    };
    Failure::new(exit, error.to_string())
}
