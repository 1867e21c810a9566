//! Running a script again in one transaction, and taking what it changes.
//!
//! Nothing is committed here, and images are never replayed: the statements run as they ran, and what they change now is
//! what counts.

use crate::capture::{Ask, Baseline, CaptureError, Hint, Limits, OPENING, Transaction, before_truncate, capture};
use crate::classify::is_blank;
use crate::passing::{ATTEMPTS, is_passing};
use belay_change::{ChangeSet, Parameter, Script, Scripted, Sink, TableChange};
use belay_engine::{Draft, Keeper};
use belay_model::Relation;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt as _, TryStreamExt as _};
use pg_query::protobuf::{ScanToken, Token};
use std::error::Error;
use tokio_postgres::Client;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

/// Settings that a script brings along and that are not for another connection.
const OWN: [&str; 4] =
    ["application_name", "client_encoding", "default_transaction_read_only", "session_replication_role"];

/// Runs the script in a transaction of `writer`, which is left open, and gives what it changes with its images. What is
/// volatile in `plan` is volatile here. After a deadlock or a serialization failure it is tried again.
pub(crate) async fn run(
    writer: &mut Client,
    outsider: &mut Client,
    script: &Script,
    plan: &[TableChange],
    limits: &Limits,
    keeper: &dyn Keeper,
) -> Result<(ChangeSet, Box<dyn Draft>), CaptureError> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let mut draft = keeper.open()?;
        match once(writer, outsider, script, plan, limits, &mut *draft).await {
            Ok(set) => return Ok((set, draft)),
            Err(CaptureError::Target { sqlstate, .. }) if is_passing(&sqlstate) && left > 0 => {
                // What it prepared outlives that.
                writer.batch_execute("ROLLBACK; DEALLOCATE ALL").await?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn once(
    writer: &mut Client,
    outsider: &mut Client,
    script: &Script,
    plan: &[TableChange],
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<ChangeSet, CaptureError> {
    if let Some(why) = &script.unrepeatable {
        return Err(CaptureError::Irreversible {
            what: format!("it cannot be run again: {why}"),
            instead: "run it in one go: belay plan TARGET -f FILE".to_owned(),
        });
    }
    let mut transaction = begin(writer, script, plan, limits).await?;
    for statement in &script.statements {
        if is_truncate(&statement.text) {
            before_truncate(writer, outsider, &mut transaction, &statement.text, limits, sink).await?;
        }
        transaction.hint(&hint(statement));
        step(writer, statement).await?;
    }
    capture(writer, outsider, transaction, limits, sink).await
}

/// Where the rows that a statement writes may lie.
pub(crate) fn hint(statement: &Scripted) -> Hint {
    let text = |parameter: &Parameter| {
        let value = parameter.value.as_ref().filter(|_| !parameter.binary)?;
        String::from_utf8(value.clone()).ok()
    };
    Hint { text: statement.text.to_string(), parameters: statement.parameters.iter().flatten().map(text).collect() }
}

async fn begin(
    writer: &mut Client,
    script: &Script,
    plan: &[TableChange],
    limits: &Limits,
) -> Result<Transaction, CaptureError> {
    writer.batch_execute("RESET ALL").await?;
    writer.batch_execute(&format!("BEGIN {}READ WRITE", isolation(&script.isolation)?)).await?;
    for (name, value) in script.settings.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        writer.execute("SELECT pg_catalog.set_config($1, $2, true)", &[name, value]).await?;
    }
    let times = format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = 0",
        limits.time.as_millis(),
        limits.wait.as_millis()
    );
    writer.batch_execute(&times).await?;
    let rows = writer.ask(OPENING).await?;
    let mut transaction = Transaction::begun(Baseline::read(&rows)?, limits, plan);
    let named: Vec<Relation> = plan
        .iter()
        .filter(|change| !change.indirect)
        .map(|change| Relation { schema: Some(change.table.schema.clone()), name: change.table.name.clone() })
        .collect();
    transaction.name(&named);
    Ok(transaction)
}

fn isolation(level: &str) -> Result<&'static str, CaptureError> {
    match level {
        "" => Ok(""),
        "read uncommitted" | "read committed" => Ok("ISOLATION LEVEL READ COMMITTED "),
        "repeatable read" => Ok("ISOLATION LEVEL REPEATABLE READ "),
        "serializable" => Ok("ISOLATION LEVEL SERIALIZABLE "),
        _ => Err(CaptureError::Unexpected("the isolation level of a plan")),
    }
}

/// Told by its first word: a TRUNCATE is one without other statements, only so it was let through, and the text may be
/// too deep to be parsed here.
fn is_truncate(text: &str) -> bool {
    first_words(text).first() == Some(&Token::Truncate)
}

/// Whether it makes the session act as another role, told in the same way.
pub(crate) fn sets_role(text: &str) -> bool {
    match *first_words(text).as_slice() {
        [Token::Set, Token::Session | Token::Local, Token::Role, ref rest @ ..]
        | [Token::Set, Token::Role, ref rest @ ..] => !rest.contains(&Token::None),
        _ => false,
    }
}

/// The first five words, without comments and what divides statements.
fn first_words(text: &str) -> Vec<Token> {
    let word = |token: &ScanToken| Token::try_from(token.token).unwrap_or(Token::Nul);
    let mark = |token: &Token| matches!(token, Token::SqlComment | Token::CComment | Token::Ascii59);
    if is_blank(text) {
        return Vec::new();
    }
    let tokens = pg_query::scan_tokens(text).unwrap_or_default();
    tokens.iter().map(word).filter(|word| !mark(word)).take(5).collect()
}

async fn step(writer: &Client, statement: &Scripted) -> Result<(), CaptureError> {
    match (&statement.parameters, &statement.data) {
        (None, None) => {
            writer.batch_execute(&statement.text).await?;
        }
        (_, Some(data)) => {
            let mut sink = std::pin::pin!(writer.copy_in::<_, Bytes>(&*statement.text).await?);
            for piece in data.chunks(64 * 1024) {
                sink.send(Bytes::copy_from_slice(piece)).await?;
            }
            sink.close().await?;
        }
        (Some(parameters), None) => {
            let types: Vec<Type> = parameters.iter().map(|parameter| given(parameter.type_oid)).collect();
            let prepared = writer.prepare_typed(&statement.text, &types).await?;
            let values: Vec<Value<'_>> = parameters.iter().map(Value).collect();
            let values = values.iter().map(|value| value as &(dyn ToSql + Sync));
            let mut rows = std::pin::pin!(writer.query_raw(&prepared, values).await?);
            while rows.try_next().await?.is_some() {}
        }
    }
    Ok(())
}

/// The type that the client gave a parameter: a binary value means nothing under another one.
fn given(oid: u32) -> Type {
    match oid {
        // The target takes both as a type that is to be inferred.
        0 => Type::UNKNOWN,
        oid => Type::from_oid(oid).unwrap_or_else(|| Type::new(String::new(), oid, Kind::Simple, String::new())),
    }
}

/// A value as the client sent it.
struct Value<'a>(&'a Parameter);

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value")
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.0.value {
            Some(value) => {
                out.put_slice(value);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(of, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        if self.0.binary { Format::Binary } else { Format::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_role_is_told_by_its_first_words() {
        for text in ["SET ROLE clerk", "set /* a */ local role 'clerk';", "SET SESSION ROLE TO a", "SET role = b"] {
            assert!(sets_role(text), "{text}");
        }
        for text in ["SET ROLE NONE", "set local role none;", "RESET ROLE", "SET roles.a = 1", "UPDATE role SET a = 1"]
        {
            assert!(!sets_role(text), "{text}");
        }
    }

    #[test]
    fn a_truncate_is_told_by_its_first_word_however_deep_other_texts_are() {
        for text in ["TRUNCATE t", "/* a */ ;\n truncate table t;", "-- b\nTruncate t"] {
            assert!(is_truncate(text), "{text}");
        }
        let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        for text in ["", " \n", "SELECT 'truncate'", "UPDATE truncated SET a = 1", "EXPLAIN SELECT 1", &deep] {
            assert!(!is_truncate(text), "{}", text.len());
        }
    }
}
