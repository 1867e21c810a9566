//! From a target to what a native client needs: a live grant, its token, and a service file.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::kept::{self, Kept, Turn};
use belay_model::{Name, Resource, Span};
use belay_web::shape::{Bounds, Gateway, Grant, GrantToken, List, NewRequest, Request, Target, Time};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const POLL: Duration = Duration::from_secs(1);
/// A grant with less time left is not worth opening a session on.
const WORTHWHILE: i64 = 5_000_000;
/// Below this likeness a name is not worth suggesting.
const NEAR: f64 = 0.75;

/// The access that is needed.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) target: Name,
    pub(crate) resources: Vec<Resource>,
    /// `read`, or what is wanted beside it.
    pub(crate) effect: Effect,
    pub(crate) bounds: Bounds,
    pub(crate) existing_only: bool,
    pub(crate) span: Span,
    pub(crate) break_glass: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Effect {
    /// Read rows
    Read,
    /// Change rows, too: each change is planned, and applied once somebody has approved it
    Write,
    /// Change rows at once, kept so that they can be given back
    Direct,
    /// Everything the target's control user may do, unjudged; names no tables
    All,
}

impl Effect {
    /// The words that the API knows it by.
    fn words(self) -> &'static [&'static str] {
        match self {
            Effect::Read => &["read"],
            Effect::Write => &["read", "write"],
            Effect::Direct => &["read", "write", "direct"],
            Effect::All => &["all"],
        }
    }

    /// Whether a grant of these effects is enough.
    fn is_within(self, granted: &[String]) -> bool {
        let has = |word: &str| granted.iter().any(|effect| effect == word);
        has("all") || self.words().iter().all(|word| has(word))
    }
}

/// How a native client connects.
pub(crate) struct Access {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) grant: Grant,
    /// The grant's token.
    pub(crate) secret: String,
}

/// The caller's live grants that cover what is wanted: the one that allows least beyond it first, and of equals the one
/// that lasts longest.
pub(crate) async fn live_grants(client: &Client, home: &Home, wanted: &Wanted) -> Result<Vec<Grant>, Failure> {
    let list: List<Grant> = client.get(&["grants"], &[("mine", "true")]).await?;
    kept::forget_others(home, &list.items);
    let now = now();
    let fits = |grant: &Grant| {
        grant.target == wanted.target.as_str()
            && matches!(grant.state.as_str(), "ready" | "active")
            && grant.ends_at.timestamp().0 > now + WORTHWHILE
            && wanted.effect.is_within(&grant.effects)
            && covers(grant, &wanted.resources)
    };
    let mut found: Vec<Grant> = list.items.into_iter().filter(fits).collect();
    found.sort_by_key(|grant| (effect(grant), std::cmp::Reverse(grant.ends_at)));
    Ok(found)
}

/// The most that a grant allows.
fn effect(grant: &Grant) -> Effect {
    let has = |word: &str| grant.effects.iter().any(|effect| effect == word);
    match (has("all"), has("direct"), has("write")) {
        (true, ..) => Effect::All,
        (false, true, _) => Effect::Direct,
        (false, false, true) => Effect::Write,
        (false, false, false) => Effect::Read,
    }
}

/// How a session under a grant is called: `RO`; `PLAN` where writes are planned; `RW` where they take effect; or `ALL`.
pub(crate) fn mode(grant: &Grant) -> &'static str {
    match effect(grant) {
        Effect::All => "ALL",
        Effect::Direct => "RW",
        Effect::Write => "PLAN",
        Effect::Read => "RO",
    }
}

/// Whether the grant names all that is wanted.
pub(crate) fn covers(grant: &Grant, wanted: &[Resource]) -> bool {
    let granted: Vec<Resource> = grant.resources.iter().filter_map(|text| text.parse().ok()).collect();
    wanted.iter().all(|wish| granted.iter().any(|resource| resource.covers(wish)))
}

/// Asks for access.
pub(crate) async fn ask(client: &Client, wanted: &Wanted, reason: &str) -> Result<Request, Failure> {
    let new = NewRequest {
        target: wanted.target.clone(),
        resources: wanted.resources.clone(),
        effects: wanted.effect.words().iter().map(|word| (*word).to_owned()).collect(),
        bounds: wanted.bounds.clone(),
        existing_only: wanted.existing_only,
        duration: wanted.span,
        reason: reason.to_owned(),
        break_glass: wanted.break_glass,
    };
    match client.post(&["requests"], &new).await {
        Err(failure) if failure.message.starts_with("no target") => Err(nearest_target(client, wanted, failure).await),
        answer => answer,
    }
}

async fn nearest_target(client: &Client, wanted: &Wanted, failure: Failure) -> Failure {
    let Ok(targets) = client.get::<List<Target>>(&["targets"], &[]).await else { return failure };
    let likeness = |target: &Target| strsim::jaro_winkler(&target.name, wanted.target.as_str());
    let nearest = targets.items.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|target| likeness(target) >= NEAR) {
        Some(target) => failure.hint(format!("did you mean `{}`?", target.name)),
        None => failure,
    }
}

/// Waits until a pending request is decided; the server lapses it at its time, so this ends.
pub(crate) async fn wait(client: &Client, request: &Request) -> Result<Request, Failure> {
    loop {
        tokio::time::sleep(POLL).await;
        let request: Request = client.get(&["requests", &request.id], &[]).await?;
        if request.state != "pending" {
            return Ok(request);
        }
    }
}

/// The failure of a request that did not become a grant.
pub(crate) fn decided_against(request: &Request) -> Failure {
    match request.state.as_str() {
        "denied" => {
            let why = request.denial.as_deref().unwrap_or("no reason was given");
            Failure::new(Exit::ApprovalDenied, format!("{} was denied: {why}", request.id))
        }
        "pending" => Failure::new(Exit::Pending, format!("{} still waits for approval", request.id))
            .hint(format!("belay requests {}", request.id)),
        state => Failure::new(Exit::Over, format!("{} is {state}", request.id))
            .hint(format!("ask again: belay request {} -m REASON", request.target)),
    }
}

/// Collects what a client needs: the grant's token, the kept one while it is the current one, and the gateway.
pub(crate) async fn access(client: &Client, home: &Home, grant: &str) -> Result<Access, Failure> {
    let gateway: Gateway = client.get(&["gateway"], &[]).await?;
    let turn = Turn::take(home).await?;
    let grant: Grant = client.get(&["grants", grant], &[]).await?;
    let kept = match turn.current(&grant) {
        Some(kept) => kept,
        None => Kept::from(&claim(client, &turn, &grant.id).await?),
    };
    let ca = home.login()?.own_ca.then(|| home.ca());
    Ok(Access { host: client.host(), port: gateway.postgres_port, ca, grant, secret: kept.secret })
}

/// Makes the grant's token anew and keeps it.
pub(crate) async fn claim(client: &Client, turn: &Turn<'_>, grant: &str) -> Result<GrantToken, Failure> {
    let token: GrantToken = client.post(&["grants", grant, "token"], &()).await?;
    turn.keep(&token.grant, &Kept::from(&token))?;
    Ok(token)
}

/// Where systems keep the authorities they trust: Debian, Red Hat, Alpine and macOS.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What the gateway's certificate is checked against where it has no authority of its own: the system's, by their
/// file. Only libpq 16 and later knows the word for them, and pgjdbc does not.
fn system_authorities() -> String {
    let named = std::env::var("SSL_CERT_FILE").ok().filter(|path| !path.is_empty());
    let known = SYSTEM_AUTHORITIES.iter().map(|path| (*path).to_owned());
    let found = named.into_iter().chain(known).find(|path| Path::new(path).is_file());
    found.unwrap_or_else(|| "system".to_owned())
}

impl Access {
    /// What the gateway's certificate is checked against.
    pub(crate) fn root(&self) -> String {
        self.ca.as_ref().map_or_else(system_authorities, |path| path.display().to_string())
    }

    /// Who to log in as. Names the grant even while it is the only one: a client that reconnects must not meet
    /// another grant that was made since.
    pub(crate) fn login(&self) -> String {
        format!("{}+{}", self.grant.principal, self.grant.id)
    }

    /// A service file of libpq and pgjdbc, with only the keys that both know.
    pub(crate) fn service(&self) -> String {
        format!(
            "[{}]\nhost={}\nport={}\nuser={}\ndbname={}\npassword={}\nsslmode=verify-full\nsslrootcert={}\n",
            self.grant.target,
            self.host,
            self.port,
            self.login(),
            self.grant.target,
            self.secret,
            self.root(),
        )
    }

    /// When the grant ends, in seconds since 1970.
    pub(crate) fn ends_at_seconds(&self) -> i64 {
        self.grant.ends_at.timestamp().0.div_euclid(1_000_000)
    }
}

/// How long until then.
pub(crate) fn left(time: Time) -> Duration {
    Duration::from_micros(u64::try_from(time.timestamp().0 - now()).unwrap_or(0))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let ca = Some("/home/ann/ca.pem".into());
        let grant = kept::tests::grant("g_1", "ready", "0a");
        Access { host: "localhost".to_owned(), port: 6432, ca, grant, secret: "bly_x".to_owned() }
    }

    #[test]
    fn a_service_file_holds_only_what_every_client_takes() {
        assert_eq!(
            access().service(),
            "[orders]\nhost=localhost\nport=6432\nuser=ann+g_1\ndbname=orders\npassword=bly_x\n\
             sslmode=verify-full\nsslrootcert=/home/ann/ca.pem\n"
        );
        assert_eq!(mode(&access().grant), "RO");
    }
}
