//! A server that is asked to read texts, and carries none of them out.

use super::reading::{Count, Level, Reading};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use testkit::Postgres;
use tokio_postgres::error::{Error, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

const SEVERAL: &str = "cannot insert multiple commands into a prepared statement";

/// Connections in failed transactions; what one logs of a text tells its level.
pub(crate) struct Server {
    schema: Watched,
    data: Watched,
}

/// A connection that logs statements of one level and above, and what it logged.
struct Watched {
    client: Client,
    logged: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn of(postgres: &Postgres) -> Server {
        Server { schema: Watched::open(postgres, "ddl").await, data: Watched::open(postgres, "mod").await }
    }

    /// What the server takes a text for.
    pub(crate) async fn read(&self, text: &str) -> Reading {
        let count = match self.schema.client.prepare(text).await {
            // It ends a transaction, or there is nothing in it: those are read even now, and not carried out.
            Ok(_) => return Reading::Read(if is_empty(text) { Count::None } else { Count::One }, None),
            Err(error) => match told(&error) {
                (code, _) if code == SqlState::IN_FAILED_SQL_TRANSACTION.code() => Count::One,
                (_, message) if message == SEVERAL => Count::Several,
                (code, _) => return Reading::Refused(code),
            },
        };
        let level = if self.schema.logs(text).await {
            Level::Schema
        } else if self.data.logs(text).await {
            Level::Data
        } else {
            Level::Other
        };
        Reading::Read(count, Some(level))
    }
}

impl Watched {
    async fn open(postgres: &Postgres, level: &str) -> Watched {
        let mut config = Config::new();
        config.host(postgres.host()).port(postgres.port()).user(postgres.superuser()).dbname("postgres");
        let (client, mut connection) = config.connect(NoTls).await.expect("the server takes a connection");
        let logged = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&logged);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(notice.message().to_owned());
                }
            }
        });
        let set = format!("SET client_min_messages = log; SET log_statement = '{level}'");
        client.batch_execute(&set).await.expect("settings");
        let watched = Watched { client, logged };
        watched.fail().await;
        watched
    }

    /// Begins a transaction that has failed: nothing is carried out in it.
    async fn fail(&self) {
        self.client.batch_execute("BEGIN").await.expect("BEGIN");
        self.client.batch_execute("SELECT 1 / 0").await.expect_err("a division by zero");
    }

    /// Whether the server logs a text before it refuses to carry it out.
    async fn logs(&self, text: &str) -> bool {
        self.logged().clear();
        let _ = self.client.simple_query(text).await;
        let logged = std::mem::take(&mut *self.logged());
        // A text that begins with the end of a transaction has ended it.
        match self.client.simple_query("SELECT 1").await {
            Err(error) if told(&error).0 == SqlState::IN_FAILED_SQL_TRANSACTION.code() => {}
            _ => {
                let _ = self.client.simple_query("ROLLBACK").await;
                self.fail().await;
            }
        }
        logged.iter().any(|message| message.starts_with("statement: "))
    }

    fn logged(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Code and message.
fn told(error: &Error) -> (String, String) {
    let told = error.as_db_error().unwrap_or_else(|| panic!("not an answer of the server: {error:?}"));
    (told.code().code().to_owned(), told.message().to_owned())
}

/// An empty text is read like the end of a transaction; only the characters tell the two apart.
fn is_empty(text: &str) -> bool {
    let words = ["commit", "rollback", "end", "abort", "prepare"];
    let lower = text.to_lowercase();
    !words.iter().any(|word| lower.contains(word))
}
