//! Comparing the archive with what was put there.

use super::{MOST_FAILED, Work, lock, note};
use crate::ledger::archive::noted::Entry;
use crate::ledger::segment;
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Work {
    /// Looks for what was changed in the archive, or is gone from it. A comparison that fails leaves what is known of
    /// odd objects as it was, and retention without leave to delete.
    pub(super) async fn compare(&mut self) -> Result<(), String> {
        let mut there = match self.bucket.list().await {
            Ok(there) => there,
            Err(why) => {
                self.archived.set(BTreeMap::new());
                return Err(why);
            }
        };
        let (mut gone, mut other, mut archived) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (name, entry) in self.noted.all() {
            match there.remove(name) {
                None => gone.push(name.clone()),
                Some(stored) if stored != entry.stored => other.push((name.clone(), entry.clone())),
                Some(_) => drop(archived.insert(name.clone(), entry.hash)),
            }
        }
        // Those that were never noted are looked at again when they are to be sent.
        self.odd.retain(|name| there.contains_key(name) || other.iter().any(|(other, _)| other == name));
        self.again = self.odd.iter().filter(|name| there.contains_key(*name)).cloned().collect();
        let mut failures = Vec::new();
        for (name, entry) in other {
            if failures.len() >= MOST_FAILED {
                break;
            }
            match self.bucket.hash(&name).await {
                Ok(Some((stored, hash))) if hash == entry.hash => {
                    note(self.noted.add(&name, Entry { stored, hash }))?;
                    self.odd.remove(&name);
                    archived.insert(name, hash);
                }
                Ok(Some(_)) => self.is_odd(&name),
                Ok(None) => gone.push(name),
                Err(why) => failures.push(why),
            }
        }
        for name in gone {
            if segment::is_name(&name) && !self.dir.join(&name).exists() {
                // It was deleted, and nobody came to note it.
                self.forget_about(&name).await?;
            } else {
                tracing::warn!("`{name}` is not in the archive any more, and is sent again");
            }
            note(self.noted.remove(&name))?;
            self.odd.remove(&name);
            self.tiles = 0;
        }
        if !self.odd.is_empty() {
            self.tiles = 0;
        }
        archived.retain(|name, _| segment::is_name(name));
        self.archived.set(archived);
        self.there = there;
        self.stays.clear();
        match self.bucket.protection().await {
            Ok(protection) => lock(&self.status).protection = protection,
            Err(why) => failures.push(why),
        }
        if let Some(why) = failures.into_iter().next() {
            return Err(why);
        }
        self.compared = Some(Instant::now());
        Ok(())
    }
}
