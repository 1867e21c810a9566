//! The tree, its tiles, proofs and signatures, against another implementation of the same specifications.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

use belay_ledger::{
    Checkpoint, ConsistencyProof, Hash, InclusionProof, NoTile, Signer, TILE_WIDTH, Tile, TilePath, Tiled, Tree, leaf,
    partial_paths,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tlog_tiles::{HashReader as _, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree};

/// Every tile that a tree of each size has had, by path.
#[derive(Default)]
struct Stored(BTreeMap<String, Vec<u8>>);

impl Stored {
    fn keep(&mut self, tile: &Tile) {
        self.0.insert(tile.path.to_string(), tile.encode());
    }

    fn read(&self, path: TilePath) -> Option<Tile> {
        Tile::decode(path, self.0.get(&path.to_string())?)
    }

    fn nodes(&self, size: u64) -> Tiled<impl FnMut(TilePath) -> Result<Tile, NoTile> + '_> {
        let missing = |path: TilePath| NoTile { level: path.level, index: path.index };
        Tiled { size, read: move |path| self.read(path).ok_or_else(|| missing(path)) }
    }
}

impl TileReader for Stored {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // It names the height as well, as Go's checksum database does.
        let path = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
        Ok(tiles
            .iter()
            .map(|tile| self.0.get(&path(tile)).unwrap_or_else(|| panic!("{}", path(tile))).clone())
            .collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

fn record(number: u64) -> Vec<u8> {
    format!("record {number}").into_bytes()
}

/// A tree of this size, its tiles, and the roots at these sizes on the way.
fn grown(size: u64, on_the_way: &[u64]) -> (Tree, Stored, BTreeMap<u64, Hash>) {
    let (mut tree, mut stored, mut roots) = (Tree::default(), Stored::default(), BTreeMap::new());
    roots.insert(0, tree.root());
    for number in 0..size {
        let mut full = |tile: Tile| -> Result<(), NoTile> {
            assert_eq!(tile.hashes.len(), TILE_WIDTH);
            stored.keep(&tile);
            Ok(())
        };
        tree.push(leaf(&record(number)), &mut full).unwrap();
        if on_the_way.contains(&tree.size()) {
            roots.insert(tree.size(), tree.root());
        }
    }
    tree.partial().iter().for_each(|tile| stored.keep(tile));
    (tree, stored, roots)
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

#[test]
fn the_empty_tree_has_the_root_of_rfc_6962() {
    let root = Tree::default().root().to_string();
    assert_eq!(root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn another_implementation_reads_the_tiles_and_comes_to_the_same_proofs() {
    for size in [1, 2, 3, 7, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_001] {
        let smaller = [1, size / 3, size / 2, size - 1, size];
        let (tree, stored, roots) = grown(size, &smaller);
        let reader = TileHashReader::new(size, theirs(tree.root()), &stored);
        for index in [0, size / 3, size / 2, size - 1] {
            let ours = InclusionProof::make(&mut stored.nodes(size), index, size).unwrap().unwrap();
            let proof = prove_record(size, index, &reader).unwrap();
            assert_eq!(ours.hashes.iter().map(|hash| theirs(*hash)).collect::<Vec<_>>(), proof, "{index} of {size}");
            let leaf = leaf(&record(index));
            assert!(ours.verify(leaf, tree.root()));
            check_record(&proof, size, theirs(tree.root()), index, theirs(leaf)).unwrap();
        }
        for old in smaller.into_iter().filter(|old| *old > 0) {
            let ours = ConsistencyProof::make(&mut stored.nodes(size), old, size).unwrap().unwrap();
            let before = roots[&old];
            let proof = prove_tree(size, old, &reader).unwrap();
            assert_eq!(ours.hashes.iter().map(|hash| theirs(*hash)).collect::<Vec<_>>(), proof, "{old} to {size}");
            assert!(ours.verify(before, tree.root()), "{old} to {size}");
            check_tree(&proof, size, theirs(tree.root()), old, theirs(before)).unwrap();
        }
        let leaves = [tlog_tiles::stored_hash_index(0, size - 1)];
        assert_eq!(reader.read_hashes(&leaves).unwrap(), [theirs(leaf(&record(size - 1)))]);
    }
}

#[test]
fn another_implementation_reads_checkpoints_and_their_signatures() {
    let signer = Signer::new("belay.example/ledger", &[7; 32]).unwrap();
    let (tree, _, _) = grown(300, &[]);
    let origin = "belay.example/ledger".to_owned();
    let note = Checkpoint { origin, size: 300, root: tree.root() }.sign(&[&signer]).to_string();
    let read = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    let verifier = signed_note::StandardVerifier::new(&signer.verifier().to_string()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    assert_eq!(read.verify(&known).unwrap().0.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(read.text()).unwrap();
    assert_eq!((checkpoint.size(), *checkpoint.hash()), (300, theirs(tree.root())));
    assert_eq!(note.parse::<belay_ledger::Note>().unwrap().to_string(), note);
}

#[test]
fn a_tree_goes_on_from_its_tiles() {
    let (whole, _, _) = grown(70_001, &[]);
    for size in [0, 1, 255, 256, 257, 65_536, 66_000] {
        let (_, stored, _) = grown(size, &[]);
        let mut tree = Tree::resume(size, |path| stored.read(path)).unwrap();
        for number in size..70_001 {
            tree.push(leaf(&record(number)), &mut |_| Ok::<_, NoTile>(())).unwrap();
        }
        assert_eq!((tree.size(), tree.root()), (70_001, whole.root()), "from {size}");
    }
    assert_eq!(Tree::resume(300, |_| None), None);
}

#[test]
fn tiles_have_the_paths_of_the_specification() {
    let path = |level, index, width| TilePath { level, index, width }.to_string();
    assert_eq!(path(0, 0, 256), "tile/0/000");
    assert_eq!(path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(path(1, 5, 17), "tile/1/005.p/17");
    assert_eq!(
        partial_paths(70_000).iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    );
}

proptest! {
    #[test]
    fn a_proof_holds_for_its_own_record_and_root_only(size in 1_u64..2_000, at in any::<u64>(), bit in 0_usize..256) {
        let (index, old) = (at % size, at % (size + 1));
        let (tree, stored, roots) = grown(size, &[old]);
        let proof = InclusionProof::make(&mut stored.nodes(size), index, size).unwrap().unwrap();
        let own = leaf(&record(index));
        prop_assert!(proof.verify(own, tree.root()));
        let mut other = own;
        other.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!proof.verify(other, tree.root()));
        prop_assert!(!proof.verify(own, other));
        let beside = InclusionProof { index: (index + 1) % size, ..proof.clone() };
        prop_assert!(size == 1 || !beside.verify(own, tree.root()));
        for at in 0..proof.hashes.len() {
            let mut changed = proof.clone();
            changed.hashes[at].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!changed.verify(own, tree.root()));
            changed.hashes.remove(at);
            prop_assert!(!changed.verify(own, tree.root()));
        }
        let proof = ConsistencyProof::make(&mut stored.nodes(size), old, size).unwrap().unwrap();
        let before = roots[&old];
        prop_assert!(proof.verify(before, tree.root()));
        prop_assert!(!proof.verify(other, tree.root()));
        prop_assert!(old == 0 || !proof.verify(before, other));
    }
}
