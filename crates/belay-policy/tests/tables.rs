//! The tables of states, acts, roles and actions, kept as text that anyone can read.
//!
//! After a change that is meant, `BELAY_BLESS=1 cargo test -p belay-policy --test tables` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use belay_model::{GrantState, PlanState, RequestState, Role};
use belay_policy::{Action, GrantAct, PlanAct, RequestAct, grant_after, plan_after, reach, request_after};
use std::fmt::Write;
use std::path::Path;

const REQUEST_STATES: [RequestState; 5] = [
    RequestState::Pending,
    RequestState::Approved,
    RequestState::Denied,
    RequestState::Withdrawn,
    RequestState::Lapsed,
];
const GRANT_STATES: [GrantState; 5] =
    [GrantState::Ready, GrantState::Active, GrantState::Lapsed, GrantState::Expired, GrantState::Revoked];
const PLAN_STATES: [PlanState; 6] = [
    PlanState::Pending,
    PlanState::Approved,
    PlanState::Denied,
    PlanState::Applied,
    PlanState::Lapsed,
    PlanState::Replaced,
];

#[test]
fn every_state_and_act_leads_where_the_table_says() {
    let mut text = String::from("request           act                 after\n");
    for state in REQUEST_STATES {
        for act in RequestAct::ALL {
            let after = request_after(state, act).map_or("refused".to_owned(), |after| format!("{after:?}"));
            writeln!(text, "{:<17} {:<19} {after}", format!("{state:?}"), act.words()).unwrap();
        }
    }
    text.push_str("\ngrant             act                 after\n");
    for state in GRANT_STATES {
        for act in GrantAct::ALL {
            let after = grant_after(state, act).map_or("refused".to_owned(), |after| format!("{after:?}"));
            writeln!(text, "{:<17} {:<19} {after}", format!("{state:?}"), act.words()).unwrap();
        }
    }
    text.push_str("\nplan              act                 after\n");
    for state in PLAN_STATES {
        for act in PlanAct::ALL {
            let after = plan_after(state, act).map_or("refused".to_owned(), |after| format!("{after:?}"));
            writeln!(text, "{:<17} {:<19} {after}", format!("{state:?}"), act.words()).unwrap();
        }
    }
    same_as_golden("lifecycle.golden", &text);
}

#[test]
fn every_role_reaches_as_far_as_the_table_says() {
    let mut text = format!("{:<26} {:<10}", "action", "everybody");
    for role in Role::ALL {
        write!(text, " {:<13}", role.word()).unwrap();
    }
    text = format!("{}\n", text.trim_end());
    for action in Action::ALL {
        let mut line = format!("{:<26} {:<10}", action.words(), reach(None, action).word());
        for role in Role::ALL {
            write!(line, " {:<13}", reach(Some(role), action).word()).unwrap();
        }
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    same_as_golden("roles.golden", &text);
}

fn same_as_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    if std::env::var_os("BELAY_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "the table differs from tests/{name}; if that is meant, bless it");
}
