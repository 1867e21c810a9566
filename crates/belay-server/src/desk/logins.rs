//! Which grant a native login may open. Nothing is proven here: the verifier goes out, the proof comes later.

use super::{Desk, DeskError, FoundLogin, LoginMatch};
use belay_engine::ScramVerifier;
use belay_model::{Grant, GrantId, GrantState, Name, Target, Timestamp};
use belay_policy::expire;
use belay_store::LoginRecord;

/// How long an ended grant's token still gets a precise refusal.
pub(super) const REMEMBERED: i64 = 30 * 86_400 * 1_000_000;

impl Desk {
    /// Which grant a native login may open: `alice` or `alice+g_31`, on `orders`, `orders/analytics`, or
    /// a physical database of the target of an open session.
    pub async fn find_login(&self, user: &str, database: &str) -> Result<FoundLogin, DeskError> {
        let Some(wanted) = Wanted::read(user) else { return Ok(FoundLogin::Nobody) };
        let now = self.clock.now();
        let mut reader = self.store.reader().await?;
        let since = Timestamp(now.0.saturating_sub(REMEMBERED));
        let mut records = reader.look().logins_of(&wanted.name, since).await?;
        records.retain(|record| wanted.grant.is_none_or(|grant| record.grant.id == grant));
        for record in &mut records {
            settle_state(&mut record.grant, now);
        }
        let targets: Vec<Target> = reader.look().targets().await?.into_iter().map(|(target, _)| target).collect();
        let open: Vec<GrantId> =
            reader.look().sessions(Some(&wanted.name), false).await?.iter().map(|session| session.grant).collect();
        drop(reader);
        let mut matches = by_target(&records, &targets, database);
        if matches.is_empty() {
            records.retain(|record| wanted.grant.is_some() || open.contains(&record.grant.id));
            matches = by_physical_name(&records, &targets, database);
        }
        Ok(chosen(matches))
    }

    /// A verifier that nothing satisfies, the same at every try with the same user.
    pub fn mock_verifier(&self, user: &str) -> ScramVerifier {
        self.keys.mock_verifier(user)
    }
}

/// Who a login says it is.
struct Wanted {
    name: Name,
    grant: Option<GrantId>,
}

impl Wanted {
    fn read(user: &str) -> Option<Wanted> {
        match user.split_once('+') {
            Some((name, grant)) => Some(Wanted { name: name.parse().ok()?, grant: Some(grant.parse().ok()?) }),
            None => Some(Wanted { name: user.parse().ok()?, grant: None }),
        }
    }
}

/// A grant past its time is over even if nobody has written that down yet.
fn settle_state(grant: &mut Grant, now: Timestamp) {
    if let Ok(over) = expire(grant, now) {
        grant.state = over.state;
    }
}

fn by_target(records: &[LoginRecord], targets: &[Target], database: &str) -> Vec<LoginMatch> {
    let (name, physical) = match database.split_once('/') {
        Some((name, physical)) => (name, Some(physical)),
        None => (database, None),
    };
    let of_target = records.iter().filter(|record| record.grant.target.as_str() == name);
    of_target
        .map(|record| {
            let target = targets.iter().find(|target| target.name == record.grant.target);
            let own = target.map(|target| target.database.as_str());
            let database = physical.or(own).unwrap_or(name);
            matched(record, database, own)
        })
        .collect()
}

fn by_physical_name(records: &[LoginRecord], targets: &[Target], database: &str) -> Vec<LoginMatch> {
    records
        .iter()
        .filter_map(|record| {
            let target = targets.iter().find(|target| target.name == record.grant.target)?;
            Some(matched(record, database, Some(&target.database)))
        })
        .filter(|found| found.covers_database)
        .collect()
}

fn matched(record: &LoginRecord, database: &str, own: Option<&str>) -> LoginMatch {
    let covers_database =
        record.grant.resources.iter().any(|resource| resource.database.as_deref().or(own) == Some(database));
    let verifier = ScramVerifier {
        iterations: record.verifier.iterations,
        salt: record.verifier.salt.clone(),
        stored_key: record.verifier.stored_key,
        server_key: record.verifier.server_key,
    };
    LoginMatch { grant: record.grant.clone(), database: database.to_owned(), covers_database, verifier }
}

/// Live ones before ended ones; of ended ones the newest. The matches come newest first.
fn chosen(matches: Vec<LoginMatch>) -> FoundLogin {
    let (mut live, ended): (Vec<_>, Vec<_>) = matches.into_iter().partition(|found| found.grant.state.is_live());
    debug_assert!(live.iter().all(|found| matches!(found.grant.state, GrantState::Ready | GrantState::Active)));
    match (live.len(), ended.into_iter().next()) {
        (0, None) => FoundLogin::Nobody,
        (0, Some(newest)) => FoundLogin::One(Box::new(newest)),
        (1, _) => live.pop().map_or(FoundLogin::Nobody, |only| FoundLogin::One(Box::new(only))),
        _ => FoundLogin::Several(live),
    }
}
