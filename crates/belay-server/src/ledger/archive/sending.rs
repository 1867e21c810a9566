//! Sending what is not in the archive.

use super::contents::{self, Content, Item, Missing};
use super::noted::Entry;
use super::{AT_ONCE, MOST_FAILED, Work, blocking, lock, note};
use crate::bucket::Put;
use crate::metrics::ARCHIVE_OBJECTS_TOTAL;
use belay_ledger::Hash;
use bytes::Bytes;
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};

/// What an object turned out to be.
enum Sent {
    New(Entry),
    Same(Entry),
    Odd,
}

impl Work {
    /// Sends what is missing. One that fails holds nobody up: it comes last the next time.
    pub(super) async fn send_all(&mut self, missing: Missing) -> Result<(), String> {
        let Missing { mut items, segments: mut waiting, tiles } = missing;
        items.retain(|item| !self.odd.contains(&item.name) || self.again.remove(&item.name));
        items.sort_by_key(|item| self.late.contains(&item.name));
        // Segments are large: one at a time is in memory.
        let (files, small): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| matches!(item.content, Content::File(_)));
        let mut failures = Vec::new();
        for chunk in small.chunks(AT_ONCE).chain(files.chunks(1)) {
            // So many of them are not at fault, but who takes them.
            if failures.len() >= MOST_FAILED {
                break;
            }
            let sent = join_all(chunk.iter().map(|item| self.send(item))).await;
            let mut is_fewer = false;
            for (item, sent) in chunk.iter().zip(sent) {
                match sent {
                    Ok(Sent::New(entry)) => {
                        note(self.noted.add(&item.name, entry))?;
                        metrics::counter!(ARCHIVE_OBJECTS_TOTAL).increment(1);
                        lock(&self.status).sent += 1;
                    }
                    Ok(Sent::Same(entry)) => note(self.noted.add(&item.name, entry))?,
                    Ok(Sent::Odd) => {
                        self.is_odd(&item.name);
                        continue;
                    }
                    Err(why) => {
                        self.late.insert(item.name.clone());
                        failures.push(why);
                        continue;
                    }
                }
                self.late.remove(&item.name);
                self.odd.remove(&item.name);
                is_fewer |= waiting.remove(&item.name).is_some();
            }
            if is_fewer {
                self.tell_backlog(&waiting);
            }
        }
        if let Some(why) = failures.into_iter().next() {
            return Err(why);
        }
        // Odd ones are looked at again with the next comparison.
        self.tiles = tiles;
        Ok(())
    }

    async fn send(&self, item: &Item) -> Result<Sent, String> {
        let (dir, content) = (self.dir.clone(), item.content.clone());
        let (bytes, hash) = blocking(move || {
            let bytes = contents::read(&dir, &content)?;
            let hash = Hash(Sha256::digest(&bytes).into());
            Ok((bytes, hash))
        })
        .await?;
        if !self.there.contains_key(&item.name)
            && let Put::New(stored) = self.bucket.put(&item.name, Bytes::from(bytes)).await?
        {
            return Ok(Sent::New(Entry { stored, hash }));
        }
        Ok(match self.bucket.hash(&item.name).await? {
            Some((stored, found)) if found == hash => Sent::Same(Entry { stored, hash }),
            Some(_) => Sent::Odd,
            None => return Err(format!("`{}` was there and is gone", item.name)),
        })
    }
}
