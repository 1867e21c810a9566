//! The files of a ledger, read and written as its documentation describes them, with none of Belay's code.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::link;

const HEADER: usize = 64;

/// A ledger that nobody writes to any more.
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    pub(crate) segments: Vec<Segment>,
}

pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) first: u64,
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl Segment {
    /// Where the frame of a record begins and ends.
    pub(crate) fn frame(&self, place: usize) -> (usize, usize) {
        let length = |payload: &Vec<u8>| 8 + payload.len() + 32;
        let from = HEADER + self.payloads[..place].iter().map(length).sum::<usize>();
        (from, from + length(&self.payloads[place]))
    }
}

impl Files {
    pub(crate) fn read(dir: &Path) -> Files {
        let mut segments: Vec<Segment> = files(dir)
            .into_iter()
            .filter_map(|name| {
                let first = name.strip_suffix(".ledger")?.parse().ok()?;
                let bytes = fs::read(dir.join(&name)).expect("a segment");
                Some(Segment { name, first, payloads: payloads(&bytes[HEADER..]) })
            })
            .collect();
        segments.sort_by_key(|segment| segment.first);
        Files { dir: dir.to_owned(), segments }
    }

    pub(crate) fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.payloads.len() as u64).sum()
    }

    /// Puts all of it into another folder.
    pub(crate) fn copy(&self, to: &Path) {
        copy(&self.dir, to);
    }

    /// Writes these records in the place of the others, numbered and chained, in segments that begin where they began.
    pub(crate) fn write_anew(&self, to: &Path, records: &[Vec<u8>]) {
        self.segments.iter().for_each(|segment| fs::remove_file(to.join(&segment.name)).expect("a segment"));
        let (mut chain, mut bytes, mut name) = ([0; 32], Vec::new(), String::new());
        for (seq, payload) in records.iter().enumerate() {
            if let Some(segment) = self.segments.iter().find(|segment| segment.first == seq as u64) {
                if !name.is_empty() {
                    fs::write(to.join(&name), &bytes).expect("a segment");
                }
                (name, bytes) = (segment.name.clone(), header(segment.first, &chain));
            }
            let rest = payload.iter().position(|byte| *byte == b',').expect("a record");
            let payload = [format!("{{\"seq\":{seq}").as_bytes(), &payload[rest..]].concat();
            let length = u32::try_from(payload.len()).expect("short").to_le_bytes();
            chain = link(&chain, &payload);
            bytes.extend([&length[..], &crc32fast::hash(&length).to_le_bytes(), &payload, &chain].concat());
        }
        if !name.is_empty() {
            fs::write(to.join(&name), &bytes).expect("a segment");
        }
    }

    /// Takes away everything behind the oldest checkpoint that was kept, as somebody would who wants to leave no trace.
    pub(crate) fn roll_back(&self, to: &Path) -> u64 {
        let kept = fs::read_to_string(to.join("checkpoints")).expect("checkpoints");
        let end = kept.match_indices("\n\n").nth(1).expect("a checkpoint").0;
        let oldest = format!("{}\n", &kept[..end]);
        let size: u64 = oldest.lines().nth(1).expect("a size").parse().expect("a number");
        let records: Vec<Vec<u8>> = self.segments.iter().flat_map(|segment| segment.payloads.clone()).collect();
        self.write_anew(to, &records[..usize::try_from(size).expect("a size")]);
        fs::write(to.join("checkpoint"), &oldest).expect("a checkpoint");
        fs::write(to.join("checkpoints"), format!("{oldest}\n")).expect("checkpoints");
        fs::remove_dir_all(to.join("tile")).expect("tiles");
        size
    }
}

fn header(first: u64, chain: &[u8; 32]) -> Vec<u8> {
    let head = [&b"BLYLEDGR"[..], &1_u32.to_le_bytes(), &first.to_le_bytes(), chain, &[0; 8]].concat();
    [&head[..], &crc32fast::hash(&head).to_le_bytes()].concat()
}

fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some(length) = bytes.first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        found.push(bytes[8..8 + length].to_vec());
        bytes = &bytes[8 + length + 32..];
    }
    found
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    entries.map(|name| name.into_string().expect("a name")).collect()
}

fn copy(from: &Path, to: &Path) {
    for name in files(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            fs::create_dir(&to).expect("a folder");
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}
