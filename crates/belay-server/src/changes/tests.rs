use super::*;
use belay_change::{Column, Generated, Images, Side, Sink, Table};
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

type Image = (u16, Side, Vec<u8>);

const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, rows: 1_000_000 };

fn files(limits: Limits) -> (TempDir, ChangeFiles) {
    let state = tempfile::tempdir().unwrap();
    let keys = Arc::new(Keys::open(&state.path().join("key"), None).unwrap());
    let files = ChangeFiles::open(state.path(), keys, limits).unwrap();
    (state, files)
}

fn table(name: &str) -> Table {
    let column = Column { name: "id".to_owned(), type_name: "integer".to_owned(), generated: Generated::No };
    Table { oid: 16_384, schema: "public".to_owned(), name: name.to_owned(), columns: vec![column], key: vec![0] }
}

fn images() -> Vec<Image> {
    let image = |row: u16| {
        let side = if row.is_multiple_of(2) { Side::Old } else { Side::New };
        (row / 50, side, format!("({row},secret-content)").into_bytes())
    };
    (0..100).map(image).collect()
}

fn keep(files: &ChangeFiles, name: &str) -> KeptFile {
    let mut writer = files.begin().unwrap();
    assert_eq!(writer.table(&table("orders")).unwrap(), 0);
    assert_eq!(writer.table(&table("items")).unwrap(), 1);
    for (table, side, image) in images() {
        writer.image(table, side, &image).unwrap();
    }
    writer.finish(name).unwrap()
}

fn read_all(mut images: impl Images) -> io::Result<Vec<Image>> {
    let mut all = Vec::new();
    while let Some(image) = images.next()? {
        all.push(image);
    }
    Ok(all)
}

fn on_disk(files: &ChangeFiles, name: &str) -> PathBuf {
    files.path(name).unwrap()
}

#[test]
fn images_come_back_as_they_were_with_their_tables() {
    let (_state, files) = files(LIMITS);
    let kept = keep(&files, "c_12");
    assert_eq!(kept.rows, 100);
    assert_eq!(kept.bytes, std::fs::metadata(on_disk(&files, "c_12")).unwrap().len());
    let mut reader = files.read("c_12").unwrap();
    let mut all = Vec::new();
    while let Some(image) = reader.next().unwrap() {
        all.push(image);
    }
    assert_eq!(all, images());
    assert_eq!(reader.tables(), [table("orders"), table("items")]);
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn a_file_is_for_its_owner_and_holds_nothing_readable() {
    let (state, files) = files(LIMITS);
    keep(&files, "c_1");
    let facts = std::fs::metadata(on_disk(&files, "c_1")).unwrap();
    assert_eq!(facts.mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(state.path().join("changes")).unwrap().mode() & 0o777, 0o700);
    let bytes = std::fs::read(on_disk(&files, "c_1")).unwrap();
    for text in ["secret", "content", "orders", "public", "integer"] {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    assert!(!format!("{files:?} {:?} {:?}", files.begin().unwrap(), files.read("c_1").unwrap()).contains("secret"));
}

#[test]
fn a_flipped_bit_anywhere_is_an_error() {
    let (_state, files) = files(LIMITS);
    keep(&files, "c_1");
    let path = on_disk(&files, "c_1");
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(&path, changed).unwrap();
        let read = files.read("c_1").map_err(io::Error::from).and_then(read_all);
        assert!(read.is_err(), "byte {at} of {}", whole.len());
    }
}

#[test]
fn a_file_that_is_cut_off_or_goes_on_is_an_error() {
    let (_state, files) = files(LIMITS);
    keep(&files, "c_1");
    let path = on_disk(&files, "c_1");
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let read = files.read("c_1").map_err(io::Error::from).and_then(read_all);
        let error = read.unwrap_err();
        assert!(matches!(ChangesError::within(&error), Some(ChangesError::Damaged(_))), "{length}: {error}");
    }
    std::fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
    assert!(read_all(files.read("c_1").unwrap()).is_err());
}

#[test]
fn blocks_that_are_swapped_repeated_or_dropped_are_errors() {
    let (_state, files) = files(LIMITS);
    let mut writer = files.begin().unwrap();
    writer.table(&table("orders")).unwrap();
    for row in 0..4_u8 {
        let noise: Vec<u8> = crate::secrets::random::<60_000>().unwrap().to_vec();
        writer.image(0, Side::New, &[&[row][..], &noise].concat()).unwrap();
    }
    writer.finish("c_1").unwrap();
    let path = on_disk(&files, "c_1");
    let whole = std::fs::read(&path).unwrap();
    let (header, mut rest) = whole.split_at(format::HEADER);
    let mut blocks = Vec::new();
    while let Some(head) = rest.first_chunk::<4>() {
        let (block, after) = rest.split_at(5 + u32::from_be_bytes(*head) as usize);
        blocks.push(block);
        rest = after;
    }
    assert_eq!(blocks.len(), 4);
    assert_eq!(read_all(files.read("c_1").unwrap()).unwrap().len(), 4);
    for order in [[1, 0, 2, 3].as_slice(), &[0, 0, 1, 2, 3], &[0, 2, 3], &[0, 1, 2], &[0, 1, 3], &[3], &[]] {
        let mut bytes = header.to_vec();
        for at in order {
            bytes.extend_from_slice(blocks[*at]);
        }
        std::fs::write(&path, bytes).unwrap();
        assert!(read_all(files.read("c_1").unwrap()).is_err(), "{order:?}");
    }
}

#[test]
fn a_file_opens_under_its_own_name_and_key_only() {
    let (_state, files) = files(LIMITS);
    keep(&files, "c_1");
    std::fs::rename(on_disk(&files, "c_1"), on_disk(&files, "c_2")).unwrap();
    assert!(matches!(files.read("c_2"), Err(ChangesError::Damaged(_))));
    assert!(matches!(files.read("c_1"), Err(ChangesError::Missing(_))));
    let (_other_state, other) = self::files(LIMITS);
    std::fs::copy(on_disk(&files, "c_2"), on_disk(&other, "c_1")).unwrap();
    assert!(matches!(other.read("c_1"), Err(ChangesError::OtherKey { .. })));
}

#[test]
fn limits_of_bytes_and_rows_hold_and_what_went_over_them_is_not_kept() {
    let (_state, files) = files(Limits { bytes: 100_000, rows: 3 });
    let mut writer = files.begin().unwrap();
    writer.table(&table("orders")).unwrap();
    for _ in 0..3 {
        writer.image(0, Side::Old, b"(1)").unwrap();
    }
    let error = writer.image(0, Side::Old, b"(1)").unwrap_err();
    assert!(matches!(ChangesError::within(&error), Some(ChangesError::TooManyRows(3))), "{error}");
    assert!(matches!(writer.finish("c_1"), Err(ChangesError::Broken)));

    let mut writer = files.begin().unwrap();
    writer.table(&table("orders")).unwrap();
    let noise = crate::secrets::random::<150_000>().unwrap();
    let error = writer.image(0, Side::Old, &noise).unwrap_err();
    assert!(matches!(ChangesError::within(&error), Some(ChangesError::TooLarge(100_000))), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert!(writer.finish("c_1").is_err());
    assert_eq!(files.names().unwrap(), Vec::<String>::new());
    assert_eq!(files.remove_leftovers().unwrap(), 0);
}

#[test]
fn what_is_dropped_or_discarded_leaves_nothing_and_what_a_crash_leaves_is_removed() {
    let (_state, files) = files(LIMITS);
    let on_disk = || std::fs::read_dir(&files.directory).unwrap().count();
    let begun = || {
        let mut writer = files.begin().unwrap();
        writer.table(&table("orders")).unwrap();
        assert_eq!(on_disk(), 0, "little stays in memory");
        drop(writer.images().unwrap());
        assert_eq!(on_disk(), 1);
        writer
    };
    begun().discard();
    drop(begun());
    assert_eq!(on_disk(), 0);
    let crashed = begun();
    keep(&files, "c_1");
    std::mem::forget(crashed);
    assert_eq!(on_disk(), 2);
    assert_eq!(files.remove_leftovers().unwrap(), 1);
    assert_eq!(files.names().unwrap(), ["c_1"]);
    assert!(files.remove("c_1").unwrap());
    assert!(!files.remove("c_1").unwrap());
}

#[test]
fn nothing_is_written_over_and_odd_names_are_refused() {
    let (_state, files) = files(LIMITS);
    keep(&files, "c_1");
    let mut writer = files.begin().unwrap();
    writer.table(&table("orders")).unwrap();
    assert!(matches!(writer.finish("c_1"), Err(ChangesError::Exists(_))));
    assert_eq!(read_all(files.read("c_1").unwrap()).unwrap(), images());
    for name in ["", "../key", "c 1", "c.1", "c/1", &"c".repeat(65)] {
        assert!(matches!(files.read(name), Err(ChangesError::Name(_))), "{name}");
        assert!(matches!(files.begin().unwrap().finish(name), Err(ChangesError::Name(_))), "{name}");
    }
}

#[test]
fn images_can_be_read_while_more_are_to_come() {
    let (_state, files) = files(LIMITS);
    let mut writer = files.begin().unwrap();
    assert_eq!(read_all(writer.images().unwrap()).unwrap(), []);
    writer.table(&table("orders")).unwrap();
    writer.image(0, Side::Old, b"(1)").unwrap();
    let first = writer.images().unwrap();
    writer.image(0, Side::New, b"(2)").unwrap();
    assert_eq!(read_all(first).unwrap(), [(0, Side::Old, b"(1)".to_vec())]);
    assert_eq!(read_all(writer.images().unwrap()).unwrap().len(), 2);
    writer.finish("c_1").unwrap();
    assert_eq!(read_all(files.read("c_1").unwrap()).unwrap().len(), 2);
}

#[test]
fn images_of_tables_without_a_number_are_refused() {
    let (_state, files) = files(LIMITS);
    let mut writer = files.begin().unwrap();
    assert!(writer.image(0, Side::Old, b"(1)").is_err());
    writer.table(&table("orders")).unwrap();
    assert!(writer.image(1, Side::Old, b"(1)").is_err());
    writer.image(0, Side::Old, b"").unwrap();
}

#[test]
fn two_hundred_thousand_images_pass_through_a_few_blocks_of_memory() {
    let (_state, files) = files(LIMITS);
    let mut writer = files.begin().unwrap();
    writer.table(&table("orders")).unwrap();
    let image = |row: u32| format!("({row},\"some text of order {row}\",open)").into_bytes();
    let mut plain = 0;
    for row in 0..200_000 {
        let image = image(row);
        plain += image.len() as u64;
        writer.image(0, Side::Old, &image).unwrap();
        assert!(writer.held() <= 4 * format::BLOCK);
    }
    let kept = writer.finish("c_1").unwrap();
    assert!(kept.bytes < plain, "{} of {plain}", kept.bytes);
    let mut reader = files.read("c_1").unwrap();
    for row in 0..200_000 {
        assert_eq!(reader.next().unwrap(), Some((0, Side::Old, image(row))));
        assert!(reader.held() <= 4 * format::BLOCK);
    }
    assert!(reader.next().unwrap().is_none());
}
