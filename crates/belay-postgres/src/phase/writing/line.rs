//! The client's own connection, as something that can be asked.

use crate::capture::{Ask, CaptureError, EachRow};
use belay_engine::{Answer, BoxFuture, Line};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

/// How long a piece of an answer may take. The target's own limits are shorter.
const PATIENCE: Duration = Duration::from_mins(2);

/// See the module.
pub(super) struct Writer(pub(super) Line);

impl Writer {
    async fn answer(&mut self, each: EachRow<'_>) -> Result<(), CaptureError> {
        let mut outcome = Ok(());
        loop {
            let answer = timeout(PATIENCE, self.0.answers.recv()).await;
            match answer.map_err(|_| CaptureError::Lost("no answer in time".to_owned()))? {
                Some(Answer::Row(values)) if outcome.is_ok() => {
                    outcome = row(&values).and_then(&mut *each);
                }
                Some(Answer::Row(_)) => {}
                Some(Answer::Failed(sqlstate, message)) => outcome = Err(CaptureError::Target { sqlstate, message }),
                Some(Answer::Done(_)) => return outcome,
                None => return Err(CaptureError::Lost("the session has ended".to_owned())),
            }
        }
    }
}

impl Ask for Writer {
    fn each<'a>(&'a mut self, sql: &'a str, each: EachRow<'a>) -> BoxFuture<'a, Result<(), CaptureError>> {
        Box::pin(async move {
            let sent = self.0.asks.send(Bytes::copy_from_slice(sql.as_bytes())).await;
            sent.map_err(|_| CaptureError::Lost("the session has ended".to_owned()))?;
            self.answer(each).await
        })
    }
}

pub(super) fn row(values: &[Option<Bytes>]) -> Result<Vec<Option<String>>, CaptureError> {
    let text = |value: &Bytes| String::from_utf8(value.to_vec());
    let values = values.iter().map(|value| value.as_ref().map(text).transpose());
    values.collect::<Result<_, _>>().map_err(|_| CaptureError::Unexpected("text that is not UTF-8"))
}
