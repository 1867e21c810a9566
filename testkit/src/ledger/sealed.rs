//! The content of records, opened with the keys beside them as `docs/ledger.md` describes it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use std::path::Path;

/// Puts the content back into the record, if there is any that is not erased.
pub(super) fn open(dir: &Path, record: &mut Value) {
    let Some(sealed) = take(record, "sealed") else { return };
    let told = take(record, "content").expect("a hash beside what is sealed");
    let owner = ["session", "change", "plan"].iter().find_map(|owner| record[*owner].as_str());
    let owner = owner.expect("whose key it is").to_owned();
    let (body, id) = sealed.split_at(sealed.len() - 4);
    let (body, nonce) = body.split_at(body.len() - 12);
    let Some(key) = key(dir, &owner, id) else { return };
    let number: i64 = owner[2..].parse().expect("a number");
    let place = [number.to_le_bytes(), record["seq"].as_u64().expect("a number").to_le_bytes()].concat();
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("12 bytes");
    let mut content = body.to_vec();
    let content = key.open_in_place(nonce, Aad::from(place), &mut content).expect("what was sealed");
    assert_eq!(digest(&SHA256, content).as_ref(), told, "{record}");
    let content: Value = serde_json::from_slice(content).expect("content in JSON");
    for (field, value) in content.as_object().expect("an object").iter().filter(|(field, _)| *field != "salt") {
        if field != "tables" {
            record[field] = value.clone();
            continue;
        }
        let tables = record["tables"].as_array_mut().expect("tables");
        for (table, keys) in tables.iter_mut().zip(value.as_array().expect("keys by table")) {
            let count = keys.as_array().expect("keys").len() as u64;
            if count == 0 {
                continue;
            }
            table["keys"] = keys.clone();
            // In the open they are counted as left out.
            match table["more_keys"].as_u64().expect("a count") - count {
                0 => drop(table.as_object_mut().expect("a table").remove("more_keys")),
                more => table["more_keys"] = more.into(),
            }
        }
    }
}

fn take(record: &mut Value, field: &str) -> Option<Vec<u8>> {
    let text = record.as_object_mut()?.remove(field)?;
    Some(STANDARD_NO_PAD.decode(text.as_str()?).expect("base64"))
}

fn key(dir: &Path, owner: &str, id: &[u8]) -> Option<LessSafeKey> {
    let lines = std::fs::read_to_string(dir.join("session.keys")).ok()?;
    let mut words = lines.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = words.find(|line| line[0] == owner && line[1] == hex::encode(id))?;
    let key = hex::decode(line[2]).expect("hex");
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key")))
}
