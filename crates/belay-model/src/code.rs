//! The codes in brackets at the end of every refusal, `[BLY-1001]`.
//!
//! One table: code, number, SQLSTATE, title, why, what to do. `belay explain` and the docs page print it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $sqlstate:literal, $title:literal, $why:literal, $todo:literal;)*) => {
        /// Why Belay refused, warned or ended something.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code, in order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The number behind `BLY-`.
            pub fn number(self) -> u16 {
                match self { $(Code::$name => $number,)* }
            }

            /// The SQLSTATE a PostgreSQL client gets with it.
            pub fn sqlstate(self) -> &'static str {
                match self { $(Code::$name => $sqlstate,)* }
            }

            /// What it is, in one line.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// Why it happens.
            pub fn why(self) -> &'static str {
                match self { $(Code::$name => $why,)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$name => $todo,)* }
            }
        }
    };
}

codes! {
    WriteInReadOnly = 1001, "25006", "write in a read-only session",
        "The grant allows reads only. Belay read the statement with PostgreSQL's own grammar and found that it changes rows, locks them, or asks for a read-write transaction.",
        "Take the write out, or ask for a grant that plans writes: belay request TARGET TABLE --effect write -m REASON";
    Definition = 1002, "25006", "definition of objects changed in a read-only session",
        "CREATE, ALTER, DROP, TRUNCATE, COMMENT, VACUUM and their like change definitions or storage. Of these, a grant that writes carries what can be given back.",
        "Ship the change with your migrations; for an emergency, ask the target's administrator.";
    Privilege = 1003, "42501", "privilege or guarded setting touched",
        "GRANT, SET ROLE, ALTER SYSTEM, guarded settings and acts on other sessions would change who may do what, or lift a protection.",
        "Leave the statement out. `belay grants` shows what you may do.";
    Opaque = 1004, "42501", "statement not understood",
        "Belay could not read the statement with PostgreSQL's grammar, or it uses a form whose effect cannot be settled from the text. What is not understood is refused.",
        "Check the spelling; if PostgreSQL accepts the statement, report it: a refused legal read is a defect of Belay.";
    GuardedSetting = 1005, "42501", "setting not on the list",
        "Only settings of display, planning and limits may be set in a guarded session. This one could lift a protection or reach outside the session.",
        "Leave the SET out.";
    UnknownFunction = 1006, "42501", "function not known to be free of side effects",
        "A SELECT can change data or show more than it names through a function, an operator or a cast. PostgreSQL's own harmless ones pass; others pass where the grant names them.",
        "Ask for it: belay request TARGET --function SCHEMA.NAME --for 30m -m REASON";
    OutsideGrant = 1007, "42501", "outside the grant",
        "The statement takes a table or a column that the grant does not name, itself or through a view or an inheriting table.",
        "Ask for it: belay request TARGET SCHEMA.TABLE --for 30m -m REASON";
    TooLarge = 1008, "54001", "statement too large or too deeply nested",
        "Statements are bounded in size and nesting, so that one cannot stop the gateway for everybody.",
        "Split the statement.";
    CopyRefused = 1009, "42501", "COPY in this direction refused",
        "COPY ... TO STDOUT of a read passes, and COPY ... FROM STDIN under a grant that writes. Server files and programs are never reached through Belay.",
        "Use COPY (SELECT ...) TO STDOUT, or \\copy ... TO in psql.";
    Ambiguous = 1010, "42501", "name that can mean several things",
        "With this search_path the name could stand for an object of another schema than the one that is meant, or the path itself is not settled. What a statement does has to be plain before it runs.",
        "Write the schema before the name, as the message shows.";
    UnknownName = 1011, "42P01", "name not in the target's catalog",
        "Belay reads the target's catalog when a session starts and while it lasts. The name is in none of its schemas on the search_path, or was made a moment ago.",
        "Check the name; if it is new, try again in a few seconds.";
    Masked = 1012, "42501", "masked column used",
        "A rule masks this column. It may be shown, masked, but nothing may be computed from it, and it may not steer a filter, an order, a join or an error: the value could be inferred.",
        "Leave the column out of expressions, or select it by itself.";
    RowBudget = 1013, "54000", "row budget spent",
        "The grant bounds how many rows one statement may return. The statement was cancelled in the database.",
        "Add a LIMIT or a filter, or ask for a larger budget.";
    ByteBudget = 1014, "54000", "byte budget spent",
        "The grant bounds how many bytes one statement may return. The statement was cancelled in the database.",
        "Select fewer columns or rows, or ask for a larger budget.";
    TimeBudget = 1015, "57014", "time budget spent",
        "The grant bounds how long a statement may run. The statement was cancelled in the database.",
        "Make the statement cheaper, or ask for more time.";
    RateBudget = 1016, "54000", "statements per minute spent",
        "The grant bounds how many statements may be sent in a minute.",
        "Wait a moment, or send fewer and larger statements.";
    UnknownPrepared = 1017, "26000", "prepared statement not known",
        "The connection has no prepared statement of this name, as far as Belay has seen: what a name stands for has to be plain before it runs.",
        "Prepare it on this connection first.";
    MessageRefused = 1020, "08P01", "protocol message refused",
        "Messages pass an allow-list. The fast-path function call, replication and unknown message types are not on it, because they reach the database without a statement that could be read.",
        "Use an ordinary query.";
    FailedTransaction = 1021, "25P02", "transaction has failed",
        "An earlier statement of this transaction was refused or failed. Nothing runs until it is rolled back, so that half a script is never applied.",
        "Send ROLLBACK.";
    CutInTransaction = 1022, "25P02", "an earlier connection was cut inside a transaction",
        "A connection of this session ended inside a transaction. Clients that reconnect by themselves would run the rest of their script outside it, so the first connection after the cut starts in the failed state.",
        "Send ROLLBACK, then start over.";
    Malformed = 1023, "08P01", "malformed protocol message",
        "The bytes do not follow PostgreSQL's protocol. The connection was closed; no other session was touched.",
        "Use an unmodified client; report the client and its version if it is one.";
    Expired = 1030, "57P01", "grant expired",
        "Every grant has an absolute end. The running statement was cancelled in the database and the transaction rolled back.",
        "Ask again: belay request TARGET --for 1h -m REASON";
    Revoked = 1031, "57P01", "grant revoked",
        "A person ended the grant. The running statement was cancelled in the database and the transaction rolled back.",
        "`belay grants --all` says who and when.";
    Expiring = 1032, "01000", "grant ends soon",
        "A warning before the absolute end of the grant.",
        "Finish, or extend it where the rule allows: belay grants extend GRANT";
    Ended = 1033, "57P01", "session ended",
        "An administrator ended the session, the gateway is stopping, or the target closed the connection.",
        "Connect again.";
    SlowReader = 1034, "57P01", "client did not read",
        "The client stopped reading while its grant ended.",
        "Connect again with a live grant.";
    Planned = 1040, "42501", "planned, not applied",
        "The grant plans writes: the change was made in a transaction, its rows were kept, and the transaction was rolled back. Nothing in the database has changed.",
        "belay review PLAN shows the rows; belay apply PLAN makes the change once it is approved.";
    Irreversible = 1041, "42501", "not reversible",
        "What the transaction did could not be given back afterwards, or could not be proven to be all it did. It was rolled back, or not sent at all.",
        "Changes of rows can be given back, whatever makes them, TRUNCATE too; tables that the grant names whole and DROP TABLE drops by itself, outside a transaction, wait in the trash. Other definitions, sequences, large objects and what other sessions or servers see cannot; such changes belong into a migration.";
    ChangeTooLarge = 1042, "54000", "change too large",
        "The change is larger than the grant or the gateway keeps. It was rolled back.",
        "Do it in smaller pieces, or ask for a larger budget.";
    Conflict = 1043, "40001", "rows changed since",
        "Rows are not as they were when the plan was made, or as the change left them. Nothing was done.",
        "belay review PLAN shows the rows; plan again.";
    NotKept = 1044, "58030", "change could not be kept",
        "The rows of the change could not be taken or kept on disk. What cannot be kept is not committed; the transaction was rolled back.",
        "Try again; `belay doctor` shows whether the gateway's disk is full.";
    MixedMessage = 1045, "0A000", "transaction and write in one message",
        "A message holds several statements, a write among them, and begins or ends a transaction in their midst. In a session that captures writes, a transaction begins with its message's first statement and ends with the last, and what has to be looked at before it runs comes alone.",
        "Send BEGIN, the statements and COMMIT one by one; psql -f and -1 do.";
    Changed = 1046, "01000", "rows changed",
        "The write was committed, and its rows are kept as they were.",
        "belay revert CHANGE gives them back.";
    Unsettled = 1047, "08007", "outcome of the commit not known",
        "The connection to the target was lost while it committed. What was written is kept; the gateway asks the target whether it was committed.",
        "belay changes shows how it ended.";
    BadToken = 1050, "28P01", "login refused",
        "No grant matches this login and token. The text is the same whether the user, the grant or the token is wrong.",
        "belay grants; then belay psql TARGET, which fills in everything";
    NoGrant = 1051, "28000", "no live grant",
        "The token is right, but its grant has ended, has lapsed, or does not cover this database.",
        "Ask again: belay request TARGET --for 1h -m REASON";
    SeveralGrants = 1052, "28000", "several live grants",
        "The login fits more than one live grant, and the token has to be checked against one.",
        "Name it in the user: alice+g_31";
    UnknownTarget = 1053, "3D000", "unknown target",
        "The database name is neither a target nor a database of a target that your grant covers.",
        "belay target ls";
    TooManyConnections = 1054, "53300", "too many connections",
        "The bound on connections of this session or of the gateway is reached.",
        "Close a connection, or ask the administrator to raise the bound.";
    TargetDown = 1055, "08006", "target cannot be reached",
        "Belay could not open a connection to the target, or could not prepare the grant's role there.",
        "belay target check TARGET";
    NotReady = 1056, "57P03", "gateway is starting or stopping",
        "The gateway does not take connections now.",
        "Try again in a moment.";
    TlsRequired = 1057, "28000", "TLS required",
        "Belay takes no connection in the clear.",
        "Connect with sslmode=require or stronger.";
    LedgerDown = 1060, "58030", "ledger cannot be written",
        "What cannot be recorded is not run. The statement was not sent to the database.",
        "Tell the administrator: the ledger's disk is full or read-only. `belay doctor` shows it.";
    ReadOnlyLost = 1070, "25006", "read-only state lost",
        "The database reported that the read-only setting of this connection was switched off. The connection was ended.",
        "Connect again; tell the administrator if it happens again.";
    RoleRefused = 1071, "42501", "role in the target cannot be made",
        "The target's control user lacks a right that Belay needs to make the grant's role.",
        "belay target check TARGET prints the missing right and the SQL that gives it.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BLY-{}", self.number())
    }
}

/// A text that is no known code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a code of Belay; codes look like `BLY-1001`")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        let digits = text.strip_prefix("BLY-").or_else(|| text.strip_prefix("bly-")).unwrap_or(text);
        let number: Option<u16> = digits.parse().ok();
        Code::ALL.iter().copied().find(|code| Some(code.number()) == number).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl TryFrom<String> for Code {
    type Error = UnknownCode;
    fn try_from(text: String) -> Result<Code, UnknownCode> {
        text.parse()
    }
}

impl From<Code> for String {
    fn from(code: Code) -> String {
        code.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_ascending() {
        let numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }

    #[test]
    fn every_code_reads_back_and_has_a_sqlstate() {
        for code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(*code));
            assert_eq!(code.sqlstate().len(), 5);
            assert!(!code.why().is_empty() && !code.remedy().is_empty());
        }
    }
}
