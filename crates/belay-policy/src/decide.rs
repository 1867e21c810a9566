//! May these statements run under this grant, now?

use crate::scope;
use belay_model::{Code, Denial, Effect, Effects, Grant, Statement, Timestamp};

/// Proof that [`decide`] allowed one message. Nothing else can make one.
///
/// ```compile_fail,E0423
/// let _ = belay_policy::Permit(());
/// ```
#[derive(Debug)]
pub struct Permit(());

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
    match statements.iter().find_map(|statement| judge(grant, statement)) {
        Some(denial) => Decision::Deny(denial),
        None => Decision::Permit(Permit(())),
    }
}

fn judge(grant: &Grant, statement: &Statement) -> Option<Denial> {
    match statement.effect {
        Effect::Opaque => Some(denial(grant, statement, Code::Opaque)),
        Effect::Privilege => Some(denial(grant, statement, Code::Privilege)),
        Effect::Definition => Some(denial(grant, statement, Code::Definition)),
        // No way to preview and reverse a write exists yet, so no grant carries one to the target.
        Effect::Write => Some(denial(grant, statement, Code::WriteInReadOnly)),
        Effect::Read if !grant.effects.read => Some(denial(grant, statement, Code::OutsideGrant)),
        Effect::Read | Effect::Session => outside(grant, statement),
    }
}

fn outside(grant: &Grant, statement: &Statement) -> Option<Denial> {
    let relation = statement.relations.iter().find(|relation| !scope::covers(&grant.resources, relation))?;
    Some(Denial {
        code: Code::OutsideGrant,
        message: format!("refused: {} on {relation}", statement.verb),
        detail: format!("{} does not name {relation}. The statement was not sent to the database.", grant.id),
        hint: format!("belay request {} {} --for 30m -m REASON", grant.target, qualified(relation)),
    })
}

fn qualified(relation: &belay_model::Relation) -> String {
    format!("{}.{}", relation.schema.as_deref().unwrap_or("SCHEMA"), relation.name)
}

fn denial(grant: &Grant, statement: &Statement, default: Code) -> Denial {
    let code = statement.code.unwrap_or(default);
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
    let kind = if grant.effects == Effects::READ { "read-only" } else { "time-bound" };
    format!("{} is a {kind} grant", grant.id)
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
    use belay_model::{GrantId, GrantState, Relation, RequestId, Resource};

    fn grant(resources: &[&str]) -> Grant {
        Grant {
            id: GrantId(31),
            request: RequestId(1),
            principal: "alice".parse().unwrap(),
            target: "orders".parse().unwrap(),
            resources: resources.iter().map(|text| text.parse::<Resource>().unwrap()).collect(),
            effects: Effects::READ,
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
        assert_eq!(verdict(Effect::Read, Some("orders")), None);
        assert_eq!(verdict(Effect::Session, None), None);
        assert_eq!(verdict(Effect::Read, Some("hr.salaries")), Some(Code::OutsideGrant));
        assert_eq!(verdict(Effect::Read, Some("sales.items")), Some(Code::OutsideGrant));
        assert_eq!(verdict(Effect::Write, Some("public.orders")), Some(Code::WriteInReadOnly));
        assert_eq!(verdict(Effect::Definition, None), Some(Code::Definition));
        assert_eq!(verdict(Effect::Privilege, None), Some(Code::Privilege));
        assert_eq!(verdict(Effect::Opaque, None), Some(Code::Opaque));
    }

    #[test]
    fn one_bad_statement_refuses_the_whole_message() {
        let message = [of(Effect::Read, None), of(Effect::Write, None), of(Effect::Read, None)];
        assert!(matches!(decide(&grant(&["*.*"]), &message, Timestamp(1)), Decision::Deny(_)));
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
