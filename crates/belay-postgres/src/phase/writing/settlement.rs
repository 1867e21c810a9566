//! What is done before a transaction that wrote may end.

use super::line::{Writer, row};
use super::transcript::Ran;
use crate::capture::{self, Ask, Baseline, CaptureError, Captured, Counted, Limits, OPENING};
use crate::catalog::keep::CatalogCell;
use crate::change::{denied, not_kept, settled, unsettled};
use crate::drop_table;
use crate::revert::{self, Strategy};
use crate::{apply, plan};
use belay_change::{ChangeSet, Script, Table, TableChange};
use belay_engine::{BoxFuture, Draft, Keeper, Line, Notice, Outcome, SessionContext, Settled, Settlement, Upstream};
use belay_model::{CHANGED_ROWS, ChangeId, Relation};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use tokio::sync::Mutex;
use tokio_postgres::Client;

/// How writes go on one connection, and what settling them takes.
pub(crate) struct Ways {
    /// They take effect at once, up to so many rows; otherwise all of them are planned.
    direct: Option<u64>,
    /// Whether the client may see rows as they are.
    shows: bool,
    limits: Limits,
    database: String,
    /// Whose transactions they are.
    upstream: Upstream,
    catalog: Arc<CatalogCell>,
    outsider: Mutex<Option<Client>>,
    /// What was done to tables and can be given back whatever else changes about them, since reverts may switch off all
    /// that could stand in their way.
    revertible: Mutex<HashSet<Done>>,
    /// What the last transaction wrote; the next one often writes there, too.
    last: Mutex<Vec<Table>>,
    /// Where the connection has counted rows, once its last transaction has told.
    counted: std::sync::Mutex<Option<Counted>>,
}

impl Ways {
    pub(crate) fn new(catalog: Arc<CatalogCell>, context: &SessionContext, upstream: Upstream) -> Ways {
        let grant = &context.grant;
        Ways {
            direct: grant.effects.direct.then(|| grant.bounds.budgets.changed_rows.unwrap_or(CHANGED_ROWS)),
            shows: grant.masks.is_empty(),
            limits: Limits::default(),
            database: context.database.clone(),
            upstream,
            catalog,
            outsider: Mutex::new(None),
            revertible: Mutex::default(),
            last: Mutex::default(),
            counted: std::sync::Mutex::default(),
        }
    }

    /// Whether writes take effect at once.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// What a transaction is opened with. Until it has told what it counted, nobody knows.
    pub(super) fn opening(&self) -> Cow<'static, str> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner).take();
        counted.map_or(Cow::Borrowed(OPENING), |counted| Cow::Owned(counted.opening()))
    }

    fn set_counted(&self, counted: Option<Counted>) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// A connection of the control user, for one act.
    pub(super) async fn control(&self) -> Result<Client, CaptureError> {
        self.catalog.dial(None).await.map_err(|error| CaptureError::Lost(error.message))
    }

    /// The second connection, kept from one settlement to the next.
    async fn outsider(&self) -> Result<Client, CaptureError> {
        if let Some(client) = self.outsider.lock().await.take()
            && !client.is_closed()
        {
            return Ok(client);
        }
        self.control().await
    }
}

/// Rows inserted, updated, deleted in the table of this number.
type Done = (u32, [bool; 3]);
/// So many of them are remembered.
const MOST_DONE: usize = 10_000;

/// What is known of a transaction while it is open.
pub(super) struct Open {
    pub(super) transaction: capture::Transaction,
    pub(super) draft: Box<dyn Draft>,
}

/// Begins to take a transaction, if that has not begun.
pub(super) fn begun(
    open: Option<Box<Open>>,
    baseline: &[Vec<Option<Bytes>>],
    ways: &Ways,
    keeper: &dyn Keeper,
) -> Result<Box<Open>, CaptureError> {
    if let Some(open) = open {
        return Ok(open);
    }
    let rows = baseline.iter().map(|values| row(values)).collect::<Result<Vec<_>, _>>()?;
    let transaction = capture::Transaction::begun(Baseline::read(&rows)?, &ways.limits, &[]);
    Ok(Box::new(Open { transaction, draft: keeper.open()? }))
}

/// Something that has to be done before a statement runs.
pub(super) struct Before {
    pub(super) ways: Arc<Ways>,
    pub(super) baseline: Vec<Vec<Option<Bytes>>>,
    pub(super) open: Option<Box<Open>>,
    /// The text of the statement.
    pub(super) text: String,
    /// What it was judged by.
    pub(super) relations: Vec<Relation>,
    /// Nothing else was done in its transaction, which was opened for it.
    pub(super) alone: bool,
}

impl Settlement for Before {
    fn settle(self: Box<Self>, line: Line, keeper: Arc<dyn Keeper>) -> BoxFuture<'static, Settled> {
        Box::pin(async move {
            let mut writer = Writer::new(line, Some(self.text.clone()));
            if drop_table::is_drop(&self.text) {
                return self.drop_tables(writer, &*keeper).await;
            }
            match self.take(&mut writer, &*keeper).await {
                Ok(open) => Settled::Ready(open),
                Err(error) => writer.settled(&error),
            }
        })
    }
}

impl Before {
    async fn take(self, writer: &mut Writer, keeper: &dyn Keeper) -> Result<Box<Open>, CaptureError> {
        let mut open = begun(self.open, &self.baseline, &self.ways, keeper)?;
        let mut outsider = self.ways.outsider().await?;
        let Open { transaction, draft } = &mut *open;
        capture::before_truncate(writer, &mut outsider, transaction, &self.text, &self.ways.limits, &mut **draft)
            .await?;
        *self.ways.outsider.lock().await = Some(outsider);
        Ok(open)
    }
}

/// The end of a transaction.
pub(super) struct End {
    pub(super) ways: Arc<Ways>,
    pub(super) baseline: Vec<Vec<Option<Bytes>>>,
    pub(super) open: Option<Box<Open>>,
    pub(super) ran: Ran,
}

impl Settlement for End {
    fn settle(self: Box<Self>, line: Line, keeper: Arc<dyn Keeper>) -> BoxFuture<'static, Settled> {
        Box::pin(self.end(Writer::new(line, None), keeper))
    }
}

impl End {
    async fn end(self, mut writer: Writer, keeper: Arc<dyn Keeper>) -> Settled {
        let End { ways, baseline, open, ran } = self;
        let (set, draft) = match take(&ways, &baseline, open, &ran, &mut writer, &*keeper).await {
            Ok(taken) => taken,
            Err(error) => return writer.give_up(&error).await,
        };
        let rows: u64 = set.tables.iter().map(|table| table.inserted + table.updated + table.deleted).sum();
        if rows == 0 {
            return match writer.commit(&ran.savepoints).await {
                Ok(()) => Settled::Committed(None),
                Err(error) => writer.give_up(&error).await,
            };
        }
        match ways.direct {
            Some(most) if rows <= most => commit(&mut writer, &*keeper, draft, set, ran).await,
            most => {
                let over = most.map(|most| format!("the grant makes changes of at most {most} rows at once"));
                plan(&ways, &mut writer, &*keeper, draft, set, ran.script, over).await
            }
        }
    }
}

async fn take(
    ways: &Ways,
    baseline: &[Vec<Option<Bytes>>],
    open: Option<Box<Open>>,
    ran: &Ran,
    writer: &mut Writer,
    keeper: &dyn Keeper,
) -> Result<(ChangeSet, Box<dyn Draft>), CaptureError> {
    if ran.unclear {
        let what = "statements of one message cannot be told apart".to_owned();
        return Err(CaptureError::Irreversible { what, instead: "send each in a message of its own".to_owned() });
    }
    let Open { mut transaction, mut draft } = *begun(open, baseline, ways, keeper)?;
    transaction.name(&ran.named);
    transaction.expect(&*ways.last.lock().await);
    for statement in &ran.script.statements {
        transaction.hint(&apply::hint(statement));
    }
    let mut outsider = ways.outsider().await?;
    let Captured { set, counted } =
        capture::capture_open(writer, &mut outsider, transaction, &ways.limits, &mut *draft).await?;
    ways.set_counted(counted);
    reversible(ways, &mut outsider, &set).await?;
    *ways.last.lock().await = set.tables.iter().map(|change| change.table.clone()).collect();
    *ways.outsider.lock().await = Some(outsider);
    Ok((set, draft))
}

/// Refuses what could not be given back with the rights that the target's control user has.
async fn reversible(ways: &Ways, outsider: &mut Client, set: &ChangeSet) -> Result<(), CaptureError> {
    let done = |change: &TableChange| -> Done {
        (change.table.oid, [change.inserted > 0, change.updated > 0, change.deleted > 0])
    };
    let mut known = ways.revertible.lock().await;
    if set.tables.iter().all(|change| known.contains(&done(change))) {
        return Ok(());
    }
    let strategy = revert::strategy(outsider, &set.tables).await?;
    revert::can_revert(outsider, strategy, &set.tables).await.map_err(|error| match error {
        revert::Irreversible::Because { what, instead } => CaptureError::Irreversible { what, instead },
        revert::Irreversible::Unknown(error) => error,
    })?;
    if strategy == Strategy::Replica && known.len() < MOST_DONE {
        known.extend(set.tables.iter().map(done));
    }
    Ok(())
}

/// Keeps the change, and only then commits it.
async fn commit(writer: &mut Writer, keeper: &dyn Keeper, draft: Box<dyn Draft>, set: ChangeSet, ran: Ran) -> Settled {
    let changed = belay_change::changed_in(&set.tables);
    let change = match keeper.keep(draft, set, ran.script).await {
        Ok(change) => change,
        Err(error) => return writer.roll_back(Settled::RolledBack(not_kept(&error.0))).await,
    };
    let committed = writer.commit(&ran.savepoints).await;
    let outcome = capture::outcome(&committed);
    let Err(error) = committed else {
        keeper.committed(change).await;
        return Settled::Committed(Some(undo(&changed, change)));
    };
    match keeper.ended(change, outcome).await {
        Err(error) => Settled::Lost(unsettled(change, &error.0)),
        Ok(()) if outcome == Outcome::RolledBack => writer.give_up(&error).await,
        Ok(()) => Settled::Lost(unsettled(change, "the connection to the target was lost")),
    }
}

/// Takes everything back and keeps what would have changed as a plan.
async fn plan(
    ways: &Ways,
    writer: &mut Writer,
    keeper: &dyn Keeper,
    draft: Box<dyn Draft>,
    mut set: ChangeSet,
    mut script: Script,
    over: Option<String>,
) -> Settled {
    script.database.clone_from(&ways.database);
    set.trial = plan::cost(writer).await;
    if let Err(error) = writer.ask("ROLLBACK").await {
        return Settled::Lost(denied(&error));
    }
    // What the transaction found: what it set itself is part of the script.
    match settings(writer).await {
        Ok(settings) => script.settings = settings,
        Err(error) => return Settled::RolledBack(denied(&error)),
    }
    match again(ways, keeper, draft, set, script).await {
        Ok(planned) => Settled::RolledBack(plan::told(&planned, over, ways.shows)),
        Err(settled) => settled,
    }
}

/// The second trial, on a connection of its own.
async fn again(
    ways: &Ways,
    keeper: &dyn Keeper,
    draft: Box<dyn Draft>,
    set: ChangeSet,
    script: Script,
) -> Result<plan::Planned, Settled> {
    let role = (ways.upstream.role.as_str(), &*ways.upstream.password);
    let lost = |message: String| settled(&CaptureError::Lost(message));
    let mut writer = ways.catalog.dial(Some(role)).await.map_err(|error| lost(error.message))?;
    let mut outsider = ways.outsider().await.map_err(|error| settled(&error))?;
    let planned = plan::keep(&mut writer, &mut outsider, script, set, draft, keeper).await;
    *ways.outsider.lock().await = Some(outsider);
    planned
}

/// What the session has set, and a new one would not have. The role comes last: it may not be allowed to set the rest.
async fn settings(writer: &mut Writer) -> Result<Vec<(String, String)>, CaptureError> {
    const SET: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session' \
        AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'role') UNION ALL \
        SELECT 'role', pg_catalog.current_setting('role') \
        WHERE pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none'";
    let rows = writer.ask(SET).await?;
    let pair = |row: Vec<Option<String>>| match <[Option<String>; 2]>::try_from(row) {
        Ok([Some(name), Some(value)]) => Ok((name, value)),
        _ => Err(CaptureError::Unexpected("the settings of a session")),
    };
    rows.into_iter().map(pair).collect()
}

fn undo(changed: &str, change: ChangeId) -> Notice {
    Notice { message: format!("{changed}; undo: belay revert {change}"), detail: None, hint: None }
}
