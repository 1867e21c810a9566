//! The ledger: what it says, and that changes to it are found.

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};

/// The code of `belay audit verify` for a ledger that is not what it was.
const NOT_INTACT: i32 = 10;

/// It tells what was done, proves itself, and betrays a changed and a shortened copy.
pub(super) async fn the_ledger_holds(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("The ledger");
    let admin = &world.people.admin;
    let writes = admin.must(&["audit", "search", "who:alice effect:write", "-o", "jsonl"]).await?;
    let update = writes.out.lines().any(|line| line.contains("SET status = 'paid'") && line.contains("BLY-1001"));
    checks.expect(update, "it holds alice's refused UPDATE, word for word", &writes.all());
    let ends = admin.must(&["audit", "search", "who:carol", "-o", "jsonl"]).await?;
    let told = ["request_made", "grant_made", "pg_sleep(60)", r#""expired""#, r#""revoked""#]
        .iter()
        .all(|word| ends.out.contains(word));
    checks.expect(told, "it holds carol's requests, grants, statements and their ends", &ends.all());

    let intact = admin.belay(&["audit", "verify", "-o", "json"]).await?;
    let report = intact.json()?;
    let position = report["position"].as_str().unwrap_or_default().to_owned();
    checks.expect(
        intact.code == 0 && report["intact"] == true,
        &format!("it is intact: {} records, position {}", report["records"], short(&position)),
        &intact.all(),
    );

    let changed = copy(world, "changed")?;
    let segment = first_segment(&changed)?;
    change_one_byte(&segment)?;
    let found = admin.belay(&["audit", "verify", "--dir", &changed.display().to_string()]).await?;
    checks.expect(
        found.code == NOT_INTACT,
        &format!("one byte is changed in a copy, and it is found: {}", named(&found.err)),
        &found.all(),
    );
    let cut = copy(world, "cut")?;
    let segment = first_segment(&cut)?;
    cut_last_record(&segment)?;
    let words = ["audit", "verify", "--dir", &cut.display().to_string(), "--position", &position];
    let found = admin.belay(&words).await?;
    checks.expect(
        found.code == NOT_INTACT,
        "the last record is cut off another copy, and the position noted before tells it",
        &found.all(),
    );
    Ok(())
}

fn copy(world: &World, name: &str) -> Result<PathBuf, Broken> {
    let broken = |error: std::io::Error| format!("copy of the ledger: {error}");
    let to = world.folder.path().join(name);
    fs::create_dir(&to).map_err(broken)?;
    for entry in fs::read_dir(world.gateway.data_dir().join("ledger")).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        fs::copy(entry.path(), to.join(entry.file_name())).map_err(broken)?;
    }
    Ok(to)
}

fn first_segment(folder: &Path) -> Result<PathBuf, Broken> {
    let entries = fs::read_dir(folder).map_err(|error| format!("ledger: {error}"))?;
    let segments = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"BLYLEDGR")));
    segments.min().ok_or_else(|| "the ledger has no segment".to_owned())
}

/// Makes the refused UPDATE look like one of another order.
fn change_one_byte(segment: &Path) -> Result<(), Broken> {
    let mut bytes = fs::read(segment).map_err(|error| format!("segment: {error}"))?;
    let place = b"WHERE id = 7";
    let at = bytes.windows(place.len()).position(|window| window == place).ok_or("the UPDATE is not in the ledger")?;
    bytes[at + place.len() - 1] = b'8';
    fs::write(segment, bytes).map_err(|error| format!("segment: {error}"))
}

/// Whole frames stay, so the file alone looks like an older one.
fn cut_last_record(segment: &Path) -> Result<(), Broken> {
    const HEADER: usize = 64;
    const AROUND: usize = 8 + 32;
    let bytes = fs::read(segment).map_err(|error| format!("segment: {error}"))?;
    let (mut at, mut last) = (HEADER, HEADER);
    while let Some(length) = bytes.get(at..at + 4) {
        last = at;
        at += AROUND + u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    }
    fs::write(segment, &bytes[..last]).map_err(|error| format!("segment: {error}"))
}

fn named(err: &str) -> &str {
    err.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default()
}

fn short(position: &str) -> &str {
    position.get(..12).unwrap_or(position)
}
