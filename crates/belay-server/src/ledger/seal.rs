//! The thread that signs: it reads what was written back from the disk, grows the tree over it, and signs its root every
//! few seconds. It is beside the writer, which waits for nobody.
//!
//! What it signs has to be on the disk and has to end in the chain that the writer knows: a record that somebody changed
//! in between is not signed.

use super::Ledger;
use super::checkpoint::{self, CheckpointsError, Signed};
use super::read::{self, Events, ReadError};
use super::segment;
use super::signer::KeyFiles;
use super::tiles::Tiles;
use crate::secrets::SecretError;
use belay_ledger::{Checkpoint, Note, Position, Signer, Tree, VerifierKey};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// A checkpoint is kept for good after so many records, or after so long, whichever comes first.
const KEEP_RECORDS: u64 = 1 << 20;
const KEEP_AFTER: Duration = Duration::from_hours(1);

/// Why the ledger is not signed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// The checkpoints that are there.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointsError),
    /// The records.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Tiles or checkpoints cannot be written.
    #[error("checkpoint of ledger `{dir}`: {source}")]
    Io {
        /// The ledger.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A checkpoint says that there were more.
    #[error("ledger `{dir}` has {found} records, and its checkpoint was signed over {signed}: the last are missing")]
    Missing {
        /// The ledger.
        dir: PathBuf,
        /// How many there are.
        found: u64,
        /// How many there were.
        signed: u64,
    },
    /// A checkpoint was signed over others.
    #[error("the first {0} records of the ledger are not those that its checkpoint was signed over")]
    Different(u64),
    /// The checkpoint that was signed last is not there.
    #[error("the checkpoint of {0} records that was signed last is not the ledger's any more")]
    NotOurs(u64),
    /// Somebody else writes to the files.
    #[error("record {0} of the ledger is not on the disk as it was written")]
    NotAsWritten(u64),
    /// Its thread is gone.
    #[error("the ledger is not signed any more")]
    Stopped,
}

/// Where and how it signs.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// The directory of the key.
    pub data_dir: PathBuf,
    /// How long a record may be without a signature over it.
    pub interval: Duration,
}

/// A handle to the thread. The last one to go stops it.
#[derive(Debug)]
pub struct Sealer {
    orders: mpsc::SyncSender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
    latest: watch::Receiver<Option<Arc<Signed>>>,
    /// The key that was made at this start, if one was.
    pub new_key: Option<VerifierKey>,
}

#[derive(Debug)]
enum Order {
    /// Which key is in use.
    Key(oneshot::Sender<Result<VerifierKey, SealError>>),
    /// Make a key to change to; the answer is the key in use, and that one.
    Prepare(oneshot::Sender<Result<(VerifierKey, VerifierKey), SealError>>),
    /// Sign with both, and then with the new one.
    Change(oneshot::Sender<Result<(), SealError>>),
    /// Sign a text that is no checkpoint.
    Text(String, oneshot::Sender<Result<Note, SealError>>),
    /// Sign what there is.
    Now(oneshot::Sender<Result<(), SealError>>),
    Stop,
}

impl Sealer {
    /// Looks at what is there and starts the thread. Blocks.
    pub fn start(ledger: &Ledger, how: &Sealing) -> Result<Sealer, SealError> {
        let (tell, latest) = watch::channel(None);
        let (work, new_key) = Work::open(ledger.clone(), how, tell)?;
        let (orders, inbox) = mpsc::sync_channel(16);
        let interval = how.interval;
        let thread = std::thread::Builder::new()
            .name("ledger-seal".to_owned())
            .spawn(move || work.run(&inbox, interval))
            .map_err(|source| SealError::Io { dir: how.data_dir.clone(), source })?;
        Ok(Sealer { orders, thread: Mutex::new(Some(thread)), latest, new_key })
    }

    /// The newest checkpoint, and how to hear of the next.
    pub fn latest(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.latest.clone()
    }

    /// The key in use.
    pub async fn key(&self) -> Result<VerifierKey, SealError> {
        self.ask(Order::Key).await
    }

    /// Signs what is on the disk now.
    pub async fn now(&self) -> Result<(), SealError> {
        self.ask(Order::Now).await
    }

    /// Signs a text of the server's own, which has to be no checkpoint.
    pub async fn sign(&self, text: String) -> Result<Note, SealError> {
        self.ask(|reply| Order::Text(text, reply)).await
    }

    /// A key to change to: the one in use, and the next.
    pub async fn prepare_key(&self) -> Result<(VerifierKey, VerifierKey), SealError> {
        self.ask(Order::Prepare).await
    }

    /// Signs what is there with both keys, and from then on with the prepared one only.
    pub async fn change_key(&self) -> Result<(), SealError> {
        self.ask(Order::Change).await
    }

    /// Signs once more and ends. Blocks.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that is gone has nobody to tell.
            drop(self.orders.send(Order::Stop));
            drop(thread.join());
        }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, SealError>>) -> Order) -> Result<T, SealError> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(order(reply)).map_err(|_| SealError::Stopped)?;
        answer.await.unwrap_or(Err(SealError::Stopped))
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread works with.
struct Work {
    ledger: Ledger,
    dir: PathBuf,
    keys: KeyFiles,
    signer: Signer,
    tree: Tree,
    /// The tree at the ends of segments that it went over and did not sign.
    ends: VecDeque<Tree>,
    /// The records from the end of the tree on.
    events: Option<Events>,
    tiles: Tiles,
    origin: String,
    /// How many records the newest checkpoint has.
    sealed: u64,
    /// How many the last had that is kept for good, and when that was.
    kept: Option<(u64, Instant)>,
    tell: watch::Sender<Option<Arc<Signed>>>,
}

impl Work {
    fn open(
        ledger: Ledger,
        how: &Sealing,
        tell: watch::Sender<Option<Arc<Signed>>>,
    ) -> Result<(Work, Option<VerifierKey>), SealError> {
        let dir = ledger.dir().to_owned();
        let there = ledger.position().size;
        let (latest, history) = (checkpoint::latest(&dir)?, checkpoint::history(&dir)?);
        let known = history.iter().chain(&latest).map(|signed| signed.checkpoint.size).max();
        if let Some(signed) = known.filter(|signed| *signed > there) {
            return Err(SealError::Missing { dir, found: there, signed });
        }
        let origin = match &latest {
            Some(signed) => signed.checkpoint.origin.clone(),
            None => origin(&dir)?,
        };
        let tiles = Tiles::open(&dir);
        let tree = resume(&dir, &tiles, latest.as_ref())?;
        let keys = KeyFiles::new(&how.data_dir, origin.clone());
        let (signer, is_new) = key(&keys, latest.as_ref())?;
        if !is_new {
            check_last(&keys, &signer, latest.as_ref(), &tiles)?;
        }
        let new_key = is_new.then(|| signer.verifier().clone());
        let sealed = latest.as_ref().map_or(0, |signed| signed.checkpoint.size);
        tell.send_replace(latest.map(Arc::new));
        let (ends, events) = (VecDeque::new(), None);
        Ok((Work { ledger, dir, keys, signer, tree, ends, events, tiles, origin, sealed, kept: None, tell }, new_key))
    }

    /// Until it is told to stop.
    fn run(mut self, inbox: &mpsc::Receiver<Order>, interval: Duration) {
        let (mut failed, mut pause): (Option<String>, _) = (None, Duration::ZERO);
        loop {
            let order = inbox.recv_timeout(pause);
            pause = interval;
            let last = matches!(order, Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected));
            let sealed = self.seal(None, last);
            // The same failure is told once.
            let why = sealed.as_ref().err().map(ToString::to_string);
            if let Some(why) = why.as_ref().filter(|why| failed.as_ref() != Some(why)) {
                tracing::error!("the ledger is not signed: {why}");
            }
            failed = why;
            match order {
                Ok(Order::Key(reply)) => drop(reply.send(Ok(self.signer.verifier().clone()))),
                Ok(Order::Text(text, reply)) => {
                    let is_other = text.parse::<Checkpoint>().is_err();
                    let note = is_other.then(|| Note::sign(text, &[&self.signer]));
                    drop(reply.send(note.ok_or(SealError::Stopped)));
                }
                Ok(Order::Now(reply)) => drop(reply.send(sealed)),
                Ok(Order::Prepare(reply)) => drop(reply.send(self.prepare())),
                Ok(Order::Change(reply)) => drop(reply.send(sealed.and_then(|()| self.change()))),
                Ok(Order::Stop) | Err(_) => {}
            }
            if last {
                return;
            }
        }
    }

    /// Signs what was written since the last time; with a second key, and to be kept for good, where that is wanted.
    fn seal(&mut self, with: Option<&Signer>, keep: bool) -> Result<(), SealError> {
        let grown = self.grow();
        if grown.is_err() {
            self.events = None;
        }
        if grown? == self.sealed && with.is_none() {
            return if keep || self.is_end() { self.keep_latest() } else { Ok(()) };
        }
        let dir = self.dir.clone();
        let failed = |source| SealError::Io { dir: dir.clone(), source };
        for tile in self.tree.partial() {
            self.tiles.write(&tile).map_err(failed)?;
        }
        // What is archived ends with a segment, and has to be signed up to there.
        while let Some(end) = self.ends.front() {
            // Those that cannot be kept now are kept the next time.
            if self.kept.is_none_or(|(kept, _)| kept != end.size()) {
                self.keep(&self.sign(end, None))?;
            }
            self.ends.pop_front();
        }
        let signed = Arc::new(self.sign(&self.tree, with));
        // First what is kept: what tells of a new key must not be lost if it ends here.
        if with.is_some() || keep || self.is_end() || self.is_due(signed.checkpoint.size) {
            self.keep(&signed)?;
        }
        checkpoint::publish(&self.dir, &signed).map_err(failed)?;
        self.keys.note(&signed.note).map_err(failed)?;
        self.sealed = signed.checkpoint.size;
        self.tell.send_replace(Some(signed));
        Ok(())
    }

    fn sign(&self, tree: &Tree, with: Option<&Signer>) -> Signed {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: tree.size(), root: tree.root() };
        let signers: Vec<&Signer> = std::iter::once(&self.signer).chain(with).collect();
        let note = checkpoint.sign(&signers);
        Signed { checkpoint, note }
    }

    /// Whether a segment ends here, which is closed when it is old although nothing follows.
    fn is_end(&self) -> bool {
        self.dir.join(segment::name(self.tree.size())).exists()
    }

    fn is_due(&self, size: u64) -> bool {
        self.kept.is_none_or(|(kept, at)| size - kept >= KEEP_RECORDS || at.elapsed() >= KEEP_AFTER)
    }

    fn keep_latest(&mut self) -> Result<(), SealError> {
        let latest = self.tell.borrow().clone();
        let is_kept = |signed: &Arc<Signed>| self.kept.is_some_and(|(size, _)| size >= signed.checkpoint.size);
        match latest.filter(|signed| !is_kept(signed)) {
            Some(latest) => self.keep(&latest),
            None => Ok(()),
        }
    }

    fn keep(&mut self, signed: &Signed) -> Result<(), SealError> {
        checkpoint::keep(&self.dir, signed).map_err(|source| SealError::Io { dir: self.dir.clone(), source })?;
        self.kept = Some((signed.checkpoint.size, Instant::now()));
        Ok(())
    }

    /// Adds what is durable to the tree, all of it or nothing. Returns its size.
    fn grow(&mut self) -> Result<u64, SealError> {
        let durable = self.ledger.position();
        if self.tree.size() >= durable.size {
            return Ok(self.tree.size());
        }
        let mut events = match self.events.take() {
            Some(events) => events,
            None => read::events(&self.dir, self.tree.size())?,
        };
        let mut tree = self.tree.clone();
        let mut ends = Vec::new();
        let end = add(&mut events, &mut tree, &self.tiles, durable.size, &self.dir, &mut ends)?;
        if end != Some(durable) {
            return Err(SealError::NotAsWritten(durable.size - 1));
        }
        self.ends.extend(ends);
        (self.tree, self.events) = (tree, Some(events));
        Ok(self.tree.size())
    }

    fn prepare(&self) -> Result<(VerifierKey, VerifierKey), SealError> {
        let next = self.keys.make_next()?;
        Ok((self.signer.verifier().clone(), next.verifier().clone()))
    }

    fn change(&mut self) -> Result<(), SealError> {
        let next = self.keys.next()?.ok_or(SealError::Stopped)?;
        self.seal(Some(&next), true)?;
        self.keys.change(&next).map_err(|source| SealError::Io { dir: self.dir.clone(), source })?;
        self.signer = next;
        Ok(())
    }
}

/// The key; the next one where a change to it was signed and then interrupted.
fn key(keys: &KeyFiles, latest: Option<&Signed>) -> Result<(Signer, bool), SealError> {
    if let (Some(next), Some(latest)) = (keys.next()?, latest)
        && !latest.note.verify([next.verifier()]).is_empty()
    {
        let failed = |source| SealError::Io { dir: PathBuf::from("ledger.key"), source };
        keys.change(&next).map_err(failed)?;
    }
    Ok(keys.open()?)
}

/// What was signed last is noted beside the key: the ledger's newest checkpoint has to be that one, or one that goes on
/// from it, and signed with the key.
fn check_last(keys: &KeyFiles, signer: &Signer, latest: Option<&Signed>, tiles: &Tiles) -> Result<(), SealError> {
    // One of another ledger was left when that was moved away: no key of this one has that one's name.
    let last = keys.noted()?.map(|signed| signed.checkpoint).filter(|last| last.origin == signer.verifier().name());
    let wrong = || SealError::NotOurs(last.as_ref().map_or(0, |last| last.size));
    let Some(latest) = latest else { return if last.is_none() { Ok(()) } else { Err(wrong()) } };
    if latest.note.verify([signer.verifier()]).is_empty() {
        return Err(wrong());
    }
    let (Some(last), now) = (&last, &latest.checkpoint) else { return Ok(()) };
    let goes_on = last.size <= now.size
        && tiles.consistency(last.size, now.size).ok().flatten().is_some_and(|proof| proof.verify(last.root, now.root));
    if goes_on { Ok(()) } else { Err(wrong()) }
}

/// What a ledger is called whose first record this is: no other has the same.
fn origin(dir: &Path) -> Result<String, SealError> {
    let first = read::events(dir, 0)?.next_placed().transpose()?;
    let chain = first.map_or(Position::START, |first| first.after().position).chain.to_string();
    Ok(format!("belay/{}", chain.get(..16).unwrap_or_default()))
}

/// The tree that the newest checkpoint was signed over, out of its tiles or, where these are not right, the records.
fn resume(dir: &Path, tiles: &Tiles, latest: Option<&Signed>) -> Result<Tree, SealError> {
    let Some(Checkpoint { size, root, .. }) = latest.map(|signed| signed.checkpoint.clone()) else {
        return Ok(Tree::default());
    };
    let tree = Tree::resume(size, |path| tiles.read(path).ok());
    if let Some(tree) = tree.filter(|tree| tree.root() == root && tiles.are_full(size)) {
        return Ok(tree);
    }
    let mut tree = Tree::default();
    add(&mut read::events(dir, 0)?, &mut tree, tiles, size, dir, &mut Vec::new())?;
    if tree.size() == size && tree.root() == root { Ok(tree) } else { Err(SealError::Different(size)) }
}

/// Adds the records up to `size` to the tree, those that retention deleted by their hashes, and to `ends` what it was at
/// the end of each segment on the way. Returns where the ledger stands after the last record.
fn add(
    events: &mut Events,
    tree: &mut Tree,
    tiles: &Tiles,
    size: u64,
    dir: &Path,
    ends: &mut Vec<Tree>,
) -> Result<Option<Position>, SealError> {
    let failed = |source| SealError::Io { dir: dir.to_owned(), source };
    let mut end = None;
    while tree.size() < size {
        let Some(placed) = events.next_placed().transpose()? else { break };
        if placed.seq() < tree.size() {
            continue;
        }
        let mut gone = Vec::new();
        let there = tiles.leaves(tree.size(), placed.seq(), &mut |_, leaf| gone.push(leaf));
        there.map_err(|error| failed(io::Error::other(error)))?;
        for leaf in gone {
            tree.push(leaf, &mut |tile| tiles.write(&tile)).map_err(failed)?;
        }
        if placed.seq() > 0 && placed.after().segment == placed.seq() {
            ends.push(tree.clone());
        }
        end = Some(placed.after().position);
        tree.push(placed.leaf(), &mut |tile| tiles.write(&tile)).map_err(failed)?;
    }
    Ok(end)
}
