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

    let key = keep(world, "ledger.pub", &admin.must(&["audit", "key"]).await?.out)?;
    let checkpoint = keep(world, "checkpoint", &admin.must(&["audit", "checkpoint"]).await?.out)?;
    let whole = copy(world, "whole")?;
    let intact = admin.belay(&["audit", "verify", "-o", "json", "--dir", &whole, "--key", &key]).await?;
    let report = intact.json()?;
    checks.expect(
        intact.code == 0 && report["intact"] == true && report["signed"] == report["records"],
        &format!("a copy is what the gateway signed, as its public key alone tells: {} records", report["records"]),
        &intact.all(),
    );
    the_auditor_asks(world, checks, &whole, &key).await?;

    let changed = copy(world, "changed")?;
    change_one_byte(&first_segment(Path::new(&changed))?)?;
    let found = admin.belay(&["audit", "verify", "--dir", &changed, "--key", &key]).await?;
    checks.expect(
        found.code == NOT_INTACT,
        &format!("one byte is changed in another copy, and it is found: {}", named(&found.err)),
        &found.all(),
    );
    let cut = copy(world, "cut")?;
    cut_last_record(&first_segment(Path::new(&cut))?)?;
    let found = admin.belay(&["audit", "verify", "--dir", &cut, "--key", &key, "--checkpoint", &checkpoint]).await?;
    checks.expect(
        found.code == NOT_INTACT,
        "the last record is cut off a third copy, and the checkpoint kept before tells it",
        &found.all(),
    );
    Ok(())
}

/// Who changed row 41 of orders, who approved it, was it undone? Without the server.
async fn the_auditor_asks(world: &World, checks: &mut Checks, copy: &str, key: &str) -> Result<(), Broken> {
    let admin = &world.people.admin;
    let query = "kind:change_kept table:public.orders row:41";
    let found = admin.must(&["audit", "search", query, "--dir", copy, "-o", "jsonl"]).await?;
    let first: serde_json::Value = serde_json::from_str(found.out.lines().next().unwrap_or_default())
        .map_err(|error| format!("search: {error}"))?;
    let (who, session) = (first["who"].as_str().unwrap_or_default(), first["session"].as_str().unwrap_or_default());
    checks.expect(
        !who.is_empty() && session.starts_with("s_"),
        &format!("a search in the copy tells who changed order 41: {who}, in session {session}"),
        &found.all(),
    );
    let page = world.folder.path().join("report.html").display().to_string();
    let told = admin.must(&["audit", "report", session, "--dir", copy, "--html", &page]).await?;
    let checked = admin.belay(&["audit", "check", &page, "--key", key]).await?;
    let html = fs::read_to_string(&page).map_err(|error| format!("report: {error}"))?;
    checks.expect(
        checked.code == 0 && html.contains("bob"),
        "the session's report is one page: who asked, who approved, what was given back; its proofs hold",
        &format!("{}{}", told.all(), checked.all()),
    );
    Ok(())
}

fn keep(world: &World, name: &str, text: &str) -> Result<String, Broken> {
    let path = world.folder.path().join(name);
    fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
    Ok(path.display().to_string())
}

fn copy(world: &World, name: &str) -> Result<String, Broken> {
    let to = world.folder.path().join(name);
    copy_all(&world.gateway.data_dir().join("ledger"), &to).map_err(|error| format!("copy of the ledger: {error}"))?;
    Ok(to.display().to_string())
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn first_segment(folder: &Path) -> Result<PathBuf, Broken> {
    let entries = fs::read_dir(folder).map_err(|error| format!("ledger: {error}"))?;
    let segments = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"BLYLEDGR")));
    segments.min().ok_or_else(|| "the ledger has no segment".to_owned())
}

/// Makes the first refusal look like one for another reason.
fn change_one_byte(segment: &Path) -> Result<(), Broken> {
    let mut bytes = fs::read(segment).map_err(|error| format!("segment: {error}"))?;
    let place = b"\"denied\":\"BLY-1001";
    let at = bytes.windows(place.len()).position(|window| window == place).ok_or("no refusal is in the ledger")?;
    bytes[at + place.len() - 1] = b'2';
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
