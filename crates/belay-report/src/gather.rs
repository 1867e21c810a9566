//! A report out of records.

use crate::left::left;
use crate::report::{Change, Connection, Ended, Grant, Plan, Report, Request, Session, Statement, Step, Summary};
use crate::words::{effects, fields, time, word};
use belay_ledger::Record;
use belay_model::{ChangedTable, ConnectionId, Event, EventKind};
use std::collections::HashMap;

/// Makes the report of these records, which are all that a [`crate::Selection`] takes, in their order.
pub fn gather(records: &[Record]) -> Report {
    let mut gathering = Gathering::default();
    for record in records {
        gathering.take(record);
    }
    gathering.finish(records)
}

#[derive(Default)]
struct Gathering {
    report: Report,
    /// The last permitted statement of each connection.
    last: HashMap<ConnectionId, u64>,
}

impl Gathering {
    fn take(&mut self, record: &Record) {
        match &record.event.kind {
            EventKind::RequestMade { .. } => self.report.request = request(record),
            EventKind::GrantMade { .. } => self.report.grants.extend(grant(record)),
            EventKind::Statement { .. } => self.statement(record),
            EventKind::Outcome { .. } => self.outcome(record),
            EventKind::PlanMade { plan: id, .. } => {
                if let Some(statement) = self.last_statement(&record.event) {
                    statement.plan = Some(id.to_string());
                }
                self.report.plans.extend(plan(record));
            }
            EventKind::ChangeKept { change: id, .. } => {
                let statement = self.last_statement(&record.event);
                let number = statement.map(|statement| {
                    statement.change = Some(id.to_string());
                    statement.number
                });
                self.report.changes.extend(change(record, number));
            }
            EventKind::ChangeRows { change, table, keys } => {
                let change = change.to_string();
                let change = self.report.changes.iter_mut().rfind(|known| known.id == change);
                let table = change.and_then(|change| change.tables.iter_mut().find(|known| known.table == *table));
                if let Some(table) = table {
                    table.keys.extend(keys.iter().cloned());
                }
            }
            _ => self.step(record),
        }
    }

    fn step(&mut self, record: &Record) {
        let event = &record.event;
        if let Some(plan) = crate::select::plan_of(&event.kind) {
            return self.step_of_plan(record, &plan.to_string());
        }
        if let Some(change) = crate::select::change_of(&event.kind) {
            return self.step_of_change(record, &change.to_string());
        }
        let step = step(record);
        if let (Some(_), Some(connection)) = (event.session, event.connection) {
            self.connection(event, connection).steps.push(step);
        } else if event.session.is_some() {
            self.session(event).steps.push(step);
        } else if let Some(grant) = event.grant {
            let grant = grant.to_string();
            self.report.grants.iter_mut().filter(|known| known.id == grant).for_each(|of| of.steps.push(step.clone()));
        } else if let Some(request) = &mut self.report.request {
            request.steps.push(step);
        }
    }

    fn step_of_plan(&mut self, record: &Record, plan: &str) {
        let Some(plan) = self.report.plans.iter_mut().rfind(|known| known.id == plan) else { return };
        plan.steps.push(step(record));
        match &record.event.kind {
            EventKind::PlanApproved { still_needed: 0, .. } => "approved",
            EventKind::PlanDenied { .. } => "denied",
            EventKind::PlanLapsed { .. } => "lapsed",
            EventKind::PlanApplied { .. } => "applied",
            EventKind::PlanDiffers { replaced_by: Some(_), .. } => "replaced",
            _ => return,
        }
        .clone_into(&mut plan.state);
    }

    fn step_of_change(&mut self, record: &Record, change: &str) {
        if let EventKind::ChangeReverted { by, .. } = &record.event.kind {
            // Told of both: what was given back, and what does it.
            let by = by.to_string();
            if let Some(given_back) = self.report.changes.iter_mut().find(|known| known.id == change) {
                given_back.steps.push(step(record));
                given_back.reverted_by.push(by);
            } else if let Some(does) = self.report.changes.iter_mut().find(|known| known.id == by) {
                does.steps.push(step(record));
            }
            return;
        }
        let Some(change) = self.report.changes.iter_mut().rfind(|known| known.id == change) else { return };
        change.steps.push(step(record));
        match &record.event.kind {
            EventKind::ChangeCommitted { .. } => "committed",
            EventKind::ChangeRolledBack { .. } => "rolled_back",
            EventKind::ChangeUnknown { .. } => "unknown",
            _ => return,
        }
        .clone_into(&mut change.state);
    }

    fn statement(&mut self, record: &Record) {
        let EventKind::Statement { statement, text, values, effect, denied, because, .. } = &record.event.kind else {
            return;
        };
        let Some(connection) = record.event.connection else { return };
        if denied.is_none() {
            self.last.insert(connection, *statement);
        }
        let taken = Statement {
            record: record.seq,
            at: time(record.event.at),
            number: *statement,
            text: text.to_string(),
            values: values.clone(),
            effect: effect.word().to_owned(),
            refused: denied.map(word),
            because: because.clone(),
            cut: record.cut.clone(),
            outcome: None,
            plan: None,
            change: None,
        };
        self.connection(&record.event, connection).statements.push(taken);
    }

    /// The last permitted statement on the connection of what is recorded.
    fn last_statement(&mut self, event: &Event) -> Option<&mut Statement> {
        let connection = event.connection?;
        let number = *self.last.get(&connection)?;
        self.statement_of(event, connection, number)
    }

    fn statement_of(&mut self, event: &Event, connection: ConnectionId, number: u64) -> Option<&mut Statement> {
        // It is one of the last.
        self.connection(event, connection).statements.iter_mut().rev().find(|known| known.number == number)
    }

    fn outcome(&mut self, record: &Record) {
        let EventKind::Outcome { statement, outcome, .. } = &record.event.kind else { return };
        let Some(connection) = record.event.connection else { return };
        let ended = Ended {
            record: record.seq,
            rows: outcome.rows,
            bytes: outcome.bytes,
            sqlstate: outcome.sqlstate.clone(),
            stopped: outcome.stopped.map(word),
            skipped: outcome.skipped,
            micros: outcome.micros,
        };
        if let Some(of) = self.statement_of(&record.event, connection, *statement) {
            of.outcome = Some(ended);
        }
    }

    fn session(&mut self, event: &Event) -> &mut Session {
        let id = event.session.map(|session| session.to_string()).unwrap_or_default();
        let sessions = &mut self.report.sessions;
        let at = sessions.iter().position(|known| known.id == id).unwrap_or_else(|| {
            let grant = event.grant.map(|grant| grant.to_string());
            sessions.push(Session { id, grant, connections: Vec::new(), steps: Vec::new() });
            sessions.len() - 1
        });
        &mut sessions[at]
    }

    fn connection(&mut self, event: &Event, id: ConnectionId) -> &mut Connection {
        let id = id.to_string();
        let connections = &mut self.session(event).connections;
        let at = connections.iter().rposition(|known| known.id == id).unwrap_or_else(|| {
            connections.push(Connection { id, steps: Vec::new(), statements: Vec::new() });
            connections.len() - 1
        });
        &mut connections[at]
    }

    fn finish(self, records: &[Record]) -> Report {
        let mut report = self.report;
        report.not_given_back = left(&report.changes);
        report.summary = summary(&report, records);
        report
    }
}

fn summary(report: &Report, records: &[Record]) -> Summary {
    let request = report.request.as_ref();
    let connections = || report.sessions.iter().flat_map(|session| &session.connections);
    let statements = || connections().flat_map(|connection| &connection.statements);
    let failed = |statement: &&Statement| {
        let ended = statement.outcome.as_ref().filter(|_| statement.plan.is_none());
        ended.is_some_and(|ended| ended.sqlstate.is_some() || ended.stopped.is_some())
    };
    let own = |change: &&Change| change.state == "committed" && change.reverts.is_empty();
    let anybody = |name: fn(&Event) -> Option<&str>| records.iter().find_map(|record| name(&record.event));
    let approvals = request.iter().flat_map(|request| &request.steps).filter(|step| step.act == "request_approved");
    Summary {
        who: request.and_then(|request| request.who.clone()).or_else(|| {
            let of_session = |event: &Event| event.session.and(event.who.as_deref()).map(str::to_owned);
            records.iter().find_map(|record| of_session(&record.event))
        }),
        target: anybody(|event| event.target.as_deref()).map(str::to_owned),
        approved_by: approvals.filter_map(|step| step.who.clone()).collect(),
        from: records.first().map(|record| time(record.event.at)),
        until: records.last().map(|record| time(record.event.at)),
        statements: statements().count() as u64,
        refused: statements().filter(|statement| statement.refused.is_some()).count() as u64,
        failed: statements().filter(failed).count() as u64,
        changes: report.changes.iter().filter(own).count() as u64,
        rows_changed: report.changes.iter().filter(own).map(|change| change.rows).sum(),
        rows_not_given_back: report.not_given_back.iter().map(|left| left.rows).sum(),
    }
}

fn step(record: &Record) -> Step {
    Step {
        record: record.seq,
        at: time(record.event.at),
        who: record.event.who.as_deref().map(str::to_owned),
        act: record.event.kind.word().to_owned(),
        fields: fields(&record.event),
    }
}

fn request(record: &Record) -> Option<Request> {
    let EventKind::RequestMade {
        request,
        resources,
        effects: wanted,
        bounds,
        duration,
        reason,
        break_glass,
        rule,
        policies: _,
    } = &record.event.kind
    else {
        return None;
    };
    Some(Request {
        id: request.to_string(),
        record: record.seq,
        at: time(record.event.at),
        who: record.event.who.as_deref().map(str::to_owned),
        target: record.event.target.as_deref().map(str::to_owned),
        reason: reason.clone(),
        effects: effects(*wanted),
        resources: resources.iter().map(ToString::to_string).collect(),
        bounds: bounds.to_string(),
        seconds: duration.seconds(),
        break_glass: *break_glass,
        rule: rule.map(|rule| rule.to_string()),
        steps: Vec::new(),
    })
}

fn grant(record: &Record) -> Option<Grant> {
    let (EventKind::GrantMade { ends_at, use_by, .. }, Some(grant)) = (&record.event.kind, record.event.grant) else {
        return None;
    };
    Some(Grant {
        id: grant.to_string(),
        record: record.seq,
        at: time(record.event.at),
        ends_at: time(*ends_at),
        use_by: time(*use_by),
        steps: Vec::new(),
    })
}

fn plan(record: &Record) -> Option<Plan> {
    let EventKind::PlanMade { plan, tables, rows, fingerprint, approvals_needed, reverts } = &record.event.kind else {
        return None;
    };
    Some(Plan {
        id: plan.to_string(),
        record: record.seq,
        at: time(record.event.at),
        who: record.event.who.as_deref().map(str::to_owned),
        session: record.event.session.map(|session| session.to_string()),
        state: if *approvals_needed == 0 { "approved" } else { "pending" }.to_owned(),
        rows: *rows,
        tables: tables.clone(),
        fingerprint: fingerprint.clone(),
        approvals_needed: *approvals_needed,
        reverts: reverts.iter().map(ToString::to_string).collect(),
        steps: Vec::new(),
    })
}

fn change(record: &Record, statement: Option<u64>) -> Option<Change> {
    let EventKind::ChangeKept { change, plan, tables, rows, fingerprint, transaction, reverts, partial } =
        &record.event.kind
    else {
        return None;
    };
    let tables: Vec<ChangedTable> = tables.clone();
    Some(Change {
        id: change.to_string(),
        record: record.seq,
        at: time(record.event.at),
        who: record.event.who.as_deref().map(str::to_owned),
        session: record.event.session.map(|session| session.to_string()),
        connection: record.event.connection.map(|connection| connection.to_string()),
        statement,
        plan: plan.map(|plan| plan.to_string()),
        state: "kept".to_owned(),
        rows: *rows,
        tables,
        fingerprint: fingerprint.clone(),
        transaction: transaction.clone(),
        reverts: reverts.iter().map(ToString::to_string).collect(),
        partial: *partial,
        reverted_by: Vec::new(),
        steps: Vec::new(),
    })
}
