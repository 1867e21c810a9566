//! A connection that SQL can be asked of.

use super::CaptureError;
use belay_engine::BoxFuture;

/// One row of an answer, as text.
pub type Row = Vec<Option<String>>;

/// What is done with each row of an answer.
pub type EachRow<'a> = &'a mut (dyn FnMut(Row) -> Result<(), CaptureError> + Send);

/// A connection to the target, asked one thing at a time. The SQL may hold several statements.
///
/// After an error in a transaction the transaction has failed, as ever: whoever asks for what may fail sets a savepoint.
pub trait Ask: Send {
    /// Runs `sql` and hands each row of its results to `each` as it comes, so that no result has to fit into memory.
    /// An error of `each` is returned when the answer has been read to its end.
    fn each<'a>(&'a mut self, sql: &'a str, each: EachRow<'a>) -> BoxFuture<'a, Result<(), CaptureError>>;

    /// Runs `sql` and gives the rows of all its results. For answers that are known to be small.
    fn ask<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Vec<Row>, CaptureError>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            self.each(sql, &mut |row| {
                rows.push(row);
                Ok(())
            })
            .await?;
            Ok(rows)
        })
    }

    /// Says that there will be much to do from the next wait on, here or elsewhere, for whom that makes a difference.
    fn much(&mut self) {}
}

impl Ask for tokio_postgres::Client {
    fn each<'a>(&'a mut self, sql: &'a str, each: EachRow<'a>) -> BoxFuture<'a, Result<(), CaptureError>> {
        Box::pin(async move {
            use futures_util::TryStreamExt as _;
            let mut answer = std::pin::pin!(self.simple_query_raw(sql).await?);
            let mut outcome = Ok(());
            while let Some(message) = answer.try_next().await? {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message
                    && outcome.is_ok()
                {
                    outcome = each((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                }
            }
            outcome
        })
    }
}
