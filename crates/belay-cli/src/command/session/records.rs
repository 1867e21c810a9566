//! The records of one session, in order.

use crate::command::audit::source::{Place, Source};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_server::ledger::search::Page;
use belay_web::shape::AuditEntry;

/// Records of one page.
const PAGE: usize = 500;

/// Where the records of a session are, and how far they were read.
pub(super) struct Records {
    source: Source,
    query: String,
    next: u64,
}

impl Records {
    /// Those of a session, or of the newest session of a grant.
    pub(super) async fn of(what: &str, place: &Place, out: &Out) -> Result<Records, Failure> {
        let mut source = Source::open(place, out).await?;
        let session = if what.starts_with("g_") { newest_of(&mut source, what, out).await? } else { what.to_owned() };
        let mut records = Records { source, query: format!("session:{session}"), next: 0 };
        // A session begins with a login, so one without records is none.
        let first = records.source.page(&records.query, Page::From(0), 1, out).await?;
        let Some(first) = first.list.items.first() else {
            let message = format!("the ledger has no session `{session}`");
            return Err(Failure::new(Exit::Failure, message).hint("belay sessions --all"));
        };
        records.next = first.seq;
        Ok(records)
    }

    /// The next ones, and whether there are more already.
    pub(super) async fn more(&mut self, out: &Out) -> Result<(Vec<AuditEntry>, bool), Failure> {
        let page = self.source.page(&self.query, Page::From(self.next), PAGE, out).await?;
        let last = page.next.or(page.list.items.last().map(|entry| entry.seq));
        self.next = last.map_or(self.next, |last| last + 1);
        Ok((page.list.items, page.next.is_some()))
    }
}

async fn newest_of(source: &mut Source, grant: &str, out: &Out) -> Result<String, Failure> {
    let query = format!("grant:{grant} kind:login");
    let page = source.page(&query, Page::Newest, 1, out).await?;
    page.list.items.into_iter().find_map(|entry| entry.session).ok_or_else(|| {
        Failure::new(Exit::Failure, format!("nobody has logged in under `{grant}`")).hint("belay sessions --all")
    })
}
