//! Where records are searched: at the server, or in the files of a ledger.

use super::{ledger_in, mind_keys, unreadable};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_model::Timestamp;
use belay_server::ledger::read::Filter;
use belay_server::ledger::search::{Index, Page, SearchError, index_file, scan};
use belay_web::shape::{AuditEntry, AuditPage};
use std::path::PathBuf;
use std::time::Duration;

/// How long one search may index before it says how far it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a search is repeated until the index reaches the end of the ledger: about an hour.
const TRIES: u32 = 720;
const PAUSE: Duration = Duration::from_millis(200);

/// What tells that records were deleted.
pub(super) const DELETIONS: &str = "kind:segment_deleted";

/// Says that records are missing in what was made of the rest, where any were deleted.
pub(super) fn mind_deleted(deletions: &[AuditEntry], out: &Out) {
    if !deletions.is_empty() {
        out.say(&format!("records that retention has deleted are not in it: belay audit search {DELETIONS}"));
    }
}

#[derive(Default, clap::Args)]
pub(crate) struct Place {
    /// Search the files in this directory, without a server
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Read every record instead of asking an index, which somebody else may have left there
    #[arg(long, requires = "dir")]
    scan: bool,
}

pub(crate) enum Source {
    Server(Client),
    Files {
        ledger: PathBuf,
        /// Absent where every record is read.
        index: Option<Index>,
    },
}

impl Source {
    pub(crate) async fn open(place: &Place, out: &Out) -> Result<Source, Failure> {
        let Some(dir) = &place.dir else { return Ok(Source::Server(Client::open()?)) };
        let ledger = ledger_in(dir)?;
        mind_keys(&ledger, out);
        if place.scan {
            return Ok(Source::Files { ledger, index: None });
        }
        let index = match Index::open(&ledger, &index_file(&ledger), PATIENCE).await {
            Err(SearchError::Unusable(why)) => {
                out.say(&format!("the index is temporary: {why}"));
                Index::temporary(&ledger).await
            }
            Err(SearchError::Busy(_)) => {
                out.say("the index is temporary: another search has the one beside the ledger");
                Index::temporary(&ledger).await
            }
            other => other,
        };
        Ok(Source::Files { ledger, index: Some(index.map_err(failure)?) })
    }

    /// One page. Says how far the index is, as long as it is behind.
    pub(crate) async fn page(
        &mut self,
        query: &str,
        page: Page,
        count: usize,
        out: &Out,
    ) -> Result<AuditPage, Failure> {
        for _ in 1..TRIES {
            match self.try_page(query, page, count).await {
                Err(behind) if behind.exit == Exit::Pending => out.say(&behind.message),
                other => return other,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.try_page(query, page, count).await
    }

    async fn try_page(&mut self, query: &str, page: Page, count: usize) -> Result<AuditPage, Failure> {
        let (ledger, index) = match self {
            Source::Server(client) => return ask(client, query, page, count).await,
            Source::Files { ledger, index } => (ledger, index),
        };
        let now = Timestamp(jiff::Timestamp::now().as_microsecond());
        let filter = Filter::parse(query, now).map_err(|error| Failure::usage(error.to_string()))?;
        let found = match index {
            Some(index) => index.search(&filter, page, count, PATIENCE).await,
            None => scan(ledger, &filter, page, count).await,
        };
        Ok(AuditPage::new(found.map_err(failure)?, page))
    }
}

pub(super) async fn ask(client: &Client, query: &str, page: Page, count: usize) -> Result<AuditPage, Failure> {
    let count = count.to_string();
    let from = match page {
        Page::Newest => None,
        Page::Before(seq) => Some(("before", seq.to_string())),
        Page::From(seq) => Some(("from", seq.to_string())),
    };
    let from = from.iter().map(|(key, seq)| (*key, seq.as_str()));
    let asked: Vec<(&str, &str)> = from.chain([("query", query), ("limit", &count)]).collect();
    client.get(&["audit"], &asked).await
}

fn failure(error: SearchError) -> Failure {
    match error {
        SearchError::Ledger(cause) => unreadable(cause),
        SearchError::Behind { .. } | SearchError::Busy(_) => Failure::new(Exit::Pending, error.to_string()),
        SearchError::Unusable(_) => {
            Failure::new(Exit::Failure, error.to_string()).hint("--scan reads the ledger without an index")
        }
    }
}
