//! May these statements run under this grant, now?

use crate::ask;
use crate::mask;
use crate::scope::{self, Outside};
use belay_model::{Code, Denial, Effect, Grant, MaskKind, Relation, Statement, Timestamp, Via};

/// Proof that [`decide`] allowed one message. Nothing else can make one.
///
/// ```compile_fail,E0451
/// let _ = belay_policy::Permit { masks: Vec::new() };
/// ```
#[derive(Debug)]
pub struct Permit {
    masks: Vec<Masked>,
}

impl Permit {
    /// The columns of the results that must be masked.
    pub fn masks(&self) -> &[Masked] {
        &self.masks
    }
}

/// One column of one result that must be masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// Which statement of the message, from 0.
    pub statement: usize,
    /// Its place in the result, from 0.
    pub position: u16,
    /// What is shown instead.
    pub kind: MaskKind,
}

/// The verdict on one message.
#[derive(Debug)]
pub enum Decision {
    /// It may run.
    Permit(Permit),
    /// It may not, and this is what the client is told.
    Deny(Denial),
}

/// Judges all statements of one message: they run together or not at all.
pub fn decide(grant: &Grant, statements: &[Statement], now: Timestamp) -> Decision {
    if now >= grant.ends_at {
        return Decision::Deny(expired(grant));
    }
    if grant.effects.all {
        return Decision::Permit(Permit { masks: Vec::new() });
    }
    match statements.iter().find_map(|statement| judge(grant, statement)) {
        Some(denial) => Decision::Deny(denial),
        None => Decision::Permit(Permit { masks: mask::shown(&grant.masks, statements) }),
    }
}

fn judge(grant: &Grant, statement: &Statement) -> Option<Denial> {
    if grant.effects.write && statement.effect > Effect::Read {
        return judge_write(grant, statement);
    }
    match statement.effect {
        Effect::Opaque => Some(denial(grant, statement, Code::Opaque)),
        Effect::Privilege => Some(denial(grant, statement, Code::Privilege)),
        Effect::Definition => Some(denial(grant, statement, Code::Definition)),
        Effect::Write => Some(denial(grant, statement, Code::WriteInReadOnly)),
        Effect::Read if !grant.effects.read => Some(denial(grant, statement, Code::OutsideGrant)),
        Effect::Read | Effect::Session => outside(grant, statement),
    }
}

/// Under a grant that writes. What is let through here is captured before it is committed, and refused there if it did
/// more than change rows.
fn judge_write(grant: &Grant, statement: &Statement) -> Option<Denial> {
    let verb = statement.verb.as_str();
    match statement.effect {
        // Nobody can take back what others have heard.
        Effect::Write if verb == "NOTIFY" => Some(denial(grant, statement, Code::Irreversible)),
        Effect::Write | Effect::Read | Effect::Session => outside(grant, statement),
        // A table that is dropped is moved out of the way, and so it has to be the grant's as a whole.
        Effect::Definition if verb == "TRUNCATE" || (verb == "DROP TABLE" && has_all_of(grant, statement)) => {
            outside(grant, statement)
        }
        Effect::Definition => Some(denial(grant, statement, Code::Irreversible)),
        // What such code does is not read; it may do as much as the grant, so the grant has to be of the whole database.
        Effect::Opaque if matches!(verb, "DO" | "CALL") && scope::is_whole(grant) => outside(grant, statement),
        Effect::Opaque if matches!(verb, "DO" | "CALL") => {
            let hint = "it may do as much as the grant: send its statements themselves, or ask for `*.*` without masks and row filters";
            Some(Denial { hint: hint.to_owned(), ..denial(grant, statement, Code::Opaque) })
        }
        Effect::Opaque => Some(denial(grant, statement, Code::Opaque)),
        // Whom the role may act as is the database's to say. All that such a role may do here, the grant names.
        Effect::Privilege if matches!(verb, "SET ROLE" | "RESET ROLE") && scope::is_whole(grant) => None,
        Effect::Privilege => Some(denial(grant, statement, Code::Privilege)),
    }
}

/// Whether the grant is of these tables with all their columns and rows.
fn has_all_of(grant: &Grant, statement: &Statement) -> bool {
    let names = |relation: &Relation| {
        let schema = relation.schema.as_deref();
        schema.is_some_and(|schema| {
            grant.resources.iter().any(|resource| resource.column.is_none() && resource.names(schema, &relation.name))
        })
    };
    grant.bounds.rows.is_empty() && grant.masks.is_empty() && statement.relations.iter().all(names)
}

/// What of a read the grant does not cover, masks included.
fn outside(grant: &Grant, statement: &Statement) -> Option<Denial> {
    if let Some(outside) = scope::outside(grant, statement) {
        return Some(outside_denial(grant, statement, &outside));
    }
    mask::misused(&grant.masks, statement).map(|misused| masked_denial(grant, statement, &misused))
}

fn masked_denial(grant: &Grant, statement: &Statement, misused: &mask::Misused<'_>) -> Denial {
    let column = format!("{}.{}", misused.access.relation, misused.column);
    let through = match &misused.access.via {
        Via::View(via) => format!(", which {via} reads"),
        _ => String::new(),
    };
    let (what, why, hint) = if misused.withheld {
        ("takes the withheld column", "does not show it", "name the columns you need, without it".to_owned())
    } else {
        (
            "computes with the masked column",
            "shows it masked, and nothing computed from it: no filter, order, function, cast or view",
            format!("belay explain {}", Code::Masked),
        )
    };
    Denial {
        code: Code::Masked,
        message: format!("refused: {} {what} {column}{through}", statement.verb),
        detail: format!("{} {why}. The statement was not sent to the database.", grant.id),
        hint,
    }
}

fn outside_denial(grant: &Grant, statement: &Statement, outside: &Outside<'_>) -> Denial {
    let (code, what, missing) = match outside {
        Outside::Relation(relation) => (Code::OutsideGrant, relation.to_string(), Some(ask::full_name(relation))),
        Outside::Column(relation, column) => {
            let missing = format!("{}.{column}", ask::full_name(relation));
            (Code::OutsideGrant, format!("{relation}.{column}"), Some(missing))
        }
        Outside::Function(function) => (Code::UnknownFunction, function.to_string(), None),
        Outside::Unfiltered(relation) => {
            return Denial {
                code: Code::OutsideGrant,
                message: format!("refused: {} on {relation}, of which the grant shows some rows only", statement.verb),
                detail: format!(
                    "{} shows them under the same name in a schema of its own. The statement was not sent to the database.",
                    grant.id
                ),
                hint: format!("write {} without its schema", relation.name),
            };
        }
        Outside::Shares(relation, filtered) => {
            return Denial {
                code: Code::OutsideGrant,
                message: format!("refused: {} on {relation}, which shares rows with {filtered}", statement.verb),
                detail: format!(
                    "{} shows some rows of {filtered} only. The statement was not sent to the database.",
                    grant.id
                ),
                hint: format!("read {} without its schema", filtered.table),
            };
        }
        Outside::Planned(relation) => {
            return Denial {
                code: Code::OutsideGrant,
                message: format!(
                    "refused: {} on {relation}: its plan tells of rows that are not shown",
                    statement.verb
                ),
                detail: format!(
                    "{} shows some rows of {relation} only. The statement was not sent to the database.",
                    grant.id
                ),
                hint: "run the statement without EXPLAIN".to_owned(),
            };
        }
    };
    let through = outside.through(statement).map(|via| format!(", which {via} reads")).unwrap_or_default();
    Denial {
        code,
        message: format!("refused: {} on {what}{through}", statement.verb),
        detail: format!("{} does not name {what}. The statement was not sent to the database.", grant.id),
        // Through a view it is the view that is asked for.
        hint: ask::command(grant, statement, missing.as_deref().filter(|_| through.is_empty())),
    }
}

fn denial(grant: &Grant, statement: &Statement, default: Code) -> Denial {
    // Where the effect alone is no reason to refuse, the statement's own code for it is none either.
    let code = if default == Code::Irreversible { default } else { statement.code.unwrap_or(default) };
    let object = statement.relations.first().map(|relation| format!(" on {relation}")).unwrap_or_default();
    // The reason stands in the message line too: some clients show nothing else.
    let because = statement.because.as_deref().map(|because| format!(": {because}")).unwrap_or_default();
    Denial {
        code,
        message: format!("refused: {}{object}{because}", statement.verb),
        detail: format!("{}: {}. The statement was not sent to the database.", described(grant), code.title()),
        hint: format!("belay explain {code}"),
    }
}

fn described(grant: &Grant) -> String {
    let kind = if grant.effects.write { "a grant of writes that can be given back" } else { "a read-only grant" };
    format!("{} is {kind}", grant.id)
}

fn expired(grant: &Grant) -> Denial {
    Denial {
        code: Code::Expired,
        message: format!("refused: {} has expired", grant.id),
        detail: "Every grant has an absolute end. The statement was not sent to the database.".to_owned(),
        hint: format!("belay request {} --for 1h -m REASON", grant.target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::{
        Access, ColumnUse, Effects, GrantId, GrantState, Mask, Relation, RequestId, Resource, RowFilter, Shown,
    };

    fn grant(resources: &[&str]) -> Grant {
        Grant {
            id: GrantId(31),
            request: RequestId(1),
            principal: "alice".parse().unwrap(),
            target: "orders".parse().unwrap(),
            resources: resources.iter().map(|text| text.parse::<Resource>().unwrap()).collect(),
            effects: Effects::READ,
            bounds: belay_model::Bounds::default(),
            masks: Vec::new(),
            state: GrantState::Active,
            granted_at: Timestamp(0),
            use_by: Timestamp(100),
            ends_at: Timestamp(100),
            extendable: false,
            record_values: true,
            break_glass: false,
            reviewed_by: None,
        }
    }

    fn of(effect: Effect, relation: Option<&str>) -> Statement {
        let mut statement = Statement::new(effect, "TEST");
        statement.relations = relation
            .map(|text| match text.split_once('.') {
                Some((schema, name)) => Relation { schema: Some(schema.to_owned()), name: name.to_owned() },
                None => Relation { schema: None, name: text.to_owned() },
            })
            .into_iter()
            .collect();
        statement
    }

    /// What [`decide`] says, as a code; `None` is a permit.
    fn verdict(effect: Effect, relation: Option<&str>) -> Option<Code> {
        match decide(&grant(&["public.*", "sales.orders"]), &[of(effect, relation)], Timestamp(1)) {
            Decision::Permit(_) => None,
            Decision::Deny(denial) => Some(denial.code),
        }
    }

    #[test]
    fn a_read_grant_permits_reads_of_its_tables_and_session_statements_only() {
        assert_eq!(verdict(Effect::Read, Some("public.orders")), None);
        assert_eq!(verdict(Effect::Read, Some("orders")), Some(Code::OutsideGrant));
        assert_eq!(verdict(Effect::Session, None), None);
        assert_eq!(verdict(Effect::Read, Some("hr.salaries")), Some(Code::OutsideGrant));
        assert_eq!(verdict(Effect::Read, Some("sales.items")), Some(Code::OutsideGrant));
        assert_eq!(verdict(Effect::Write, Some("public.orders")), Some(Code::WriteInReadOnly));
        assert_eq!(verdict(Effect::Definition, None), Some(Code::Definition));
        assert_eq!(verdict(Effect::Privilege, None), Some(Code::Privilege));
        assert_eq!(verdict(Effect::Opaque, None), Some(Code::Opaque));
    }

    /// A read of `columns` of a relation; those that end in `!` are computed with.
    fn read(relation: &str, columns: &[&str], via: Via) -> Statement {
        let mut statement = of(Effect::Read, Some(relation));
        let relation = statement.relations[0].clone();
        if via != Via::Named {
            statement.relations.clear();
        }
        let used =
            |text: &&str| ColumnUse { name: text.trim_end_matches('!').to_owned(), computed: text.ends_with('!') };
        let shown = |(place, _): (usize, &&str)| {
            let place = u16::try_from(place).unwrap();
            Shown { position: place, access: 0, column: place }
        };
        statement.shows = columns.iter().enumerate().filter(|(_, text)| !text.ends_with('!')).map(shown).collect();
        statement.accesses =
            vec![Access { relation, columns: columns.iter().map(used).collect(), via, kin: Vec::new().into() }];
        statement
    }

    fn said(grant: &Grant, statement: Statement) -> Result<Vec<Masked>, (Code, String)> {
        match decide(grant, &[statement], Timestamp(1)) {
            Decision::Permit(permit) => Ok(permit.masks().to_vec()),
            Decision::Deny(denial) => Err((denial.code, denial.message)),
        }
    }

    #[test]
    fn a_grant_on_columns_covers_these_columns_only() {
        let grant = grant(&["app.orders.id", "app.orders.status"]);
        assert_eq!(said(&grant, read("app.orders", &["id", "status!"], Via::Named)), Ok(Vec::new()));
        assert_eq!(said(&grant, read("app.orders", &[], Via::Named)), Ok(Vec::new()));
        let (code, message) = said(&grant, read("app.orders", &["id", "total"], Via::Named)).unwrap_err();
        assert_eq!((code, message.as_str()), (Code::OutsideGrant, "refused: TEST on app.orders.total"));
    }

    #[test]
    fn a_view_shows_what_it_reads_only_where_the_grant_names_it_by_its_name() {
        let view = || Via::View(Relation { schema: Some("app".to_owned()), name: "pay".to_owned() });
        let secret = || read("hr.salaries", &["pay!"], view());
        assert_eq!(said(&grant(&["app.*"]), secret()).unwrap_err().0, Code::OutsideGrant);
        assert_eq!(said(&grant(&["app.*", "app.pay"]), secret()), Ok(Vec::new()));
        assert_eq!(said(&grant(&["app.*", "hr.salaries"]), secret()), Ok(Vec::new()));
        let child =
            read("hr.staff", &["name"], Via::Parent(Relation { schema: Some("app".to_owned()), name: "p".to_owned() }));
        assert_eq!(said(&grant(&["app.*", "app.p"]), child).unwrap_err().0, Code::OutsideGrant);
    }

    #[test]
    fn a_masked_column_may_be_shown_and_nothing_else() {
        let mut grant = grant(&["app.*", "app.view"]);
        let mask = |column: &str, kind| Mask { column: column.parse().unwrap(), kind };
        grant.masks = vec![mask("app.c.email", MaskKind::LastFour), mask("app.c.ssn", MaskKind::Withheld)];
        let masked = vec![Masked { statement: 0, position: 1, kind: MaskKind::LastFour }];
        assert_eq!(said(&grant, read("app.c", &["id", "email"], Via::Named)), Ok(masked));
        for (columns, via) in [
            (["id", "email!"], Via::Named),
            (["id", "ssn"], Via::Named),
            (["id!", "email!"], Via::View(Relation { schema: Some("app".to_owned()), name: "view".to_owned() })),
        ] {
            assert_eq!(said(&grant, read("app.c", &columns, via)).unwrap_err().0, Code::Masked, "{columns:?}");
        }
    }

    fn kin(names: &[&str]) -> std::sync::Arc<[Relation]> {
        names.iter().map(|name| Relation { schema: Some("app".to_owned()), name: (*name).to_owned() }).collect()
    }

    #[test]
    fn a_mask_holds_in_all_that_shares_rows_with_its_table() {
        let mut grant = grant(&["app.*"]);
        let mask = |column: &str, kind| Mask { column: column.parse().unwrap(), kind };
        grant.masks = vec![mask("app.c.email", MaskKind::LastFour)];
        let of_kin = |names: &[&str], columns: &[&str]| {
            let mut statement = read("app.c_2026", columns, Via::Named);
            statement.accesses[0].kin = kin(names);
            statement
        };
        let masked = |kind| Ok(vec![Masked { statement: 0, position: 0, kind }]);
        assert_eq!(said(&grant, of_kin(&["b", "c"], &["email", "id"])), masked(MaskKind::LastFour));
        assert_eq!(said(&grant, of_kin(&["b", "d"], &["email", "id"])), Ok(Vec::new()));
        assert_eq!(said(&grant, of_kin(&["c"], &["email!"])).unwrap_err().0, Code::Masked);
        grant.masks.push(mask("app.c_2026.email", MaskKind::Null));
        assert_eq!(said(&grant, of_kin(&["c"], &["email"])), masked(MaskKind::Null));
        grant.masks.push(mask("app.b.email", MaskKind::Withheld));
        assert_eq!(said(&grant, of_kin(&["b", "c"], &["email"])).unwrap_err().0, Code::Masked);
    }

    #[test]
    fn no_plan_is_shown_of_what_is_shown_in_part() {
        let mut grant = grant(&["app.orders", "app.pay", "app.c", "app.all_c"]);
        grant.bounds.rows =
            vec![RowFilter { table: "app.orders".parse().unwrap(), predicate: "customer_id = 7".to_owned() }];
        let view = |name: &str| Via::View(Relation { schema: Some("app".to_owned()), name: name.to_owned() });
        let explained = |statement| Statement { verb: "EXPLAIN ANALYZE".to_owned(), ..statement };
        for statement in [read("app.orders", &["id"], Via::Filtered), read("hr.salaries", &["pay!"], view("pay"))] {
            assert_eq!(said(&grant, statement.clone()), Ok(Vec::new()));
            let (code, message) = said(&grant, explained(statement)).unwrap_err();
            assert_eq!(code, Code::OutsideGrant);
            assert!(message.ends_with(": its plan tells of rows that are not shown"), "{message}");
        }
        for statement in [read("app.c", &["id!"], Via::Named), read("app.c", &["id!"], view("all_c"))] {
            assert_eq!(said(&grant, explained(statement)), Ok(Vec::new()));
        }
    }

    #[test]
    fn functions_are_called_where_the_grant_names_them() {
        let mut grant = grant(&["app.*"]);
        let calls = |name: &str| Statement { calls: vec![name.parse().unwrap()], ..of(Effect::Read, None) };
        assert_eq!(said(&grant, calls("app.f(integer)")).unwrap_err().0, Code::UnknownFunction);
        grant.bounds.functions = vec!["app.f(int)".parse().unwrap()];
        assert_eq!(said(&grant, calls("app.f(integer)")), Ok(Vec::new()));
        assert_eq!(said(&grant, calls("app.f(text)")).unwrap_err().0, Code::UnknownFunction);
    }

    #[test]
    fn a_filtered_table_is_read_through_its_filter_only() {
        let mut grant = grant(&["app.orders"]);
        grant.bounds.rows =
            vec![RowFilter { table: "app.orders".parse().unwrap(), predicate: "customer_id = 7".to_owned() }];
        assert_eq!(said(&grant, read("app.orders", &["id"], Via::Named)).unwrap_err().0, Code::OutsideGrant);
        assert_eq!(said(&grant, read("app.orders", &["id"], Via::Filtered)), Ok(Vec::new()));
        grant.resources.push("app.orders_eu".parse().unwrap());
        let mut part = read("app.orders_eu", &["id"], Via::Named);
        part.accesses[0].kin = kin(&["orders"]);
        let (code, message) = said(&grant, part).unwrap_err();
        let expected = "refused: TEST on app.orders_eu, which shares rows with app.orders";
        assert_eq!((code, message.as_str()), (Code::OutsideGrant, expected));
    }

    #[test]
    fn a_grant_of_everything_permits_everything_until_its_end() {
        let mut grant = grant(&["*.*"]);
        grant.effects = Effects::ALL;
        assert_eq!(said(&grant, of(Effect::Opaque, None)), Ok(Vec::new()));
        assert!(matches!(decide(&grant, &[], grant.ends_at), Decision::Deny(_)));
    }

    #[test]
    fn one_bad_statement_refuses_the_whole_message() {
        let message = [of(Effect::Read, None), of(Effect::Write, None), of(Effect::Read, None)];
        assert!(matches!(decide(&grant(&["*.*"]), &message, Timestamp(1)), Decision::Deny(_)));
    }

    #[test]
    fn a_write_grant_lets_through_what_changes_rows_and_can_be_captured() {
        let mut write = grant(&["app.*"]);
        write.effects = Effects::WRITE;
        let mut whole = grant(&["*.*"]);
        whole.effects = Effects::WRITE;
        let named = |effect, verb: &str| Statement { verb: verb.to_owned(), ..of(effect, Some("app.orders")) };
        let code = |grant: &Grant, statement| said(grant, statement).err().map(|(code, _)| code);
        assert_eq!(code(&write, named(Effect::Write, "UPDATE")), None);
        assert_eq!(code(&write, named(Effect::Definition, "TRUNCATE")), None);
        assert_eq!(code(&write, of(Effect::Write, Some("hr.pay"))), Some(Code::OutsideGrant));
        assert_eq!(code(&write, named(Effect::Write, "NOTIFY")), Some(Code::Irreversible));
        assert_eq!(code(&write, named(Effect::Definition, "ALTER TABLE")), Some(Code::Irreversible));
        assert_eq!(code(&write, named(Effect::Definition, "DROP TABLE")), None);
        let mut part = grant(&["app.orders.id"]);
        part.effects = Effects::WRITE;
        assert_eq!(code(&part, named(Effect::Definition, "DROP TABLE")), Some(Code::Irreversible));
        assert_eq!(code(&write, named(Effect::Privilege, "GRANT")), Some(Code::Privilege));
        for verb in ["DO", "CALL"] {
            assert_eq!(code(&write, Statement::new(Effect::Opaque, verb)), Some(Code::Opaque));
            assert_eq!(code(&whole, Statement::new(Effect::Opaque, verb)), None);
        }
        for verb in ["SET ROLE", "RESET ROLE"] {
            assert_eq!(code(&write, Statement::new(Effect::Privilege, verb)), Some(Code::Privilege));
            assert_eq!(code(&whole, Statement::new(Effect::Privilege, verb)), None);
        }
        let authorization = Statement::new(Effect::Privilege, "SET SESSION AUTHORIZATION");
        assert_eq!(code(&whole, authorization), Some(Code::Privilege));
        assert_eq!(code(&whole, Statement::new(Effect::Opaque, "statement")), Some(Code::Opaque));
        let calls = || Statement { calls: vec!["app.f(integer)".parse().unwrap()], ..of(Effect::Read, None) };
        assert_eq!(code(&write, calls()), Some(Code::UnknownFunction));
        assert_eq!(code(&whole, calls()), None);
        for effect in [Effect::Read, Effect::Opaque] {
            let leaves = || {
                let named = vec!["app.f(integer)".parse().unwrap()];
                Statement { calls: named.clone(), outward: named, ..Statement::new(effect, "DO") }
            };
            assert_eq!(code(&whole, leaves()), Some(Code::UnknownFunction));
            let mut naming = whole.clone();
            naming.bounds.functions = vec!["app.f(int)".parse().unwrap()];
            assert_eq!(code(&naming, leaves()), None);
        }
    }

    #[test]
    fn nothing_passes_at_the_end_of_the_grant() {
        let message = [of(Effect::Session, None)];
        assert!(matches!(decide(&grant(&["*.*"]), &message, Timestamp(99)), Decision::Permit(_)));
        match decide(&grant(&["*.*"]), &message, Timestamp(100)) {
            Decision::Deny(denial) => assert_eq!(denial.code, Code::Expired),
            Decision::Permit(_) => panic!("permitted at the end"),
        }
    }

    #[test]
    fn the_hint_asks_for_all_that_the_statement_takes() {
        let hint = |grant: &Grant, statement: Statement| match decide(grant, &[statement], Timestamp(1)) {
            Decision::Permit(_) => panic!("permitted"),
            Decision::Deny(denial) => denial.hint,
        };
        let by_columns = grant(&["app.c.id", "app.c.city"]);
        let two = read("app.c", &["id", "name"], Via::Named);
        assert_eq!(hint(&by_columns, two.clone()), "belay request orders app.c.id app.c.name --for 30m -m REASON");
        let many = read("app.c", &["id", "city", "a", "b", "d"], Via::Named);
        assert_eq!(hint(&by_columns, many), "belay request orders app.c --for 30m -m REASON");
        let call = Statement { calls: vec!["app.f(integer)".parse().unwrap()], ..of(Effect::Read, None) };
        assert_eq!(
            hint(&by_columns, call.clone()),
            "belay request orders app.c.id app.c.city --function 'app.f(integer)' --for 30m -m REASON"
        );
        let both = Statement { calls: call.calls, ..two };
        assert_eq!(
            hint(&grant(&["app.c"]), both),
            "belay request orders app.c --function 'app.f(integer)' --for 30m -m REASON"
        );
        let view = Relation { schema: Some("app".to_owned()), name: "pay".to_owned() };
        let mut through = read("app.pay", &["amount"], Via::Named);
        through.accesses.extend(read("hr.salaries", &["amount!"], Via::View(view)).accesses);
        assert_eq!(hint(&grant(&["app.*"]), through), "belay request orders app.pay --for 30m -m REASON");
    }

    #[test]
    fn a_denial_says_what_why_and_what_next() {
        let Decision::Deny(denial) =
            decide(&grant(&["*.*"]), &[of(Effect::Write, Some("public.orders"))], Timestamp(1))
        else {
            panic!("permitted")
        };
        assert_eq!(denial.message, "refused: TEST on public.orders");
        assert_eq!(
            denial.detail,
            "g_31 is a read-only grant: write in a read-only session. The statement was not sent to the database."
        );
        assert_eq!(denial.hint, "belay explain BLY-1001");
    }
}
