//! tokio-postgres: binary parameters and results, pipelined queries, a portal with a fetch size, COPY, cancel over TLS.

use belay_driver_matrix::{
    CANCEL_BOUND, LARGE, LARGE_ROWS, Mode, Outcome, READ, Report, UNTOUCHED, WRITE, require, require_refused, setting,
    why,
};
use futures_util::{StreamExt, TryStreamExt, future, pin_mut};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut report = Report::new("tokio-postgres");
    match run(&mut report).await {
        Ok(()) => report.exit_code(),
        Err(text) => {
            report.check("connect: TLS, verified", async { Err(text) }).await;
            ExitCode::FAILURE
        }
    }
}

async fn run(report: &mut Report) -> Result<(), String> {
    let mode = Mode::from_environment();
    let mut client = connect("PGSSLROOTCERT").await?;
    report.check("connect: TLS, verified", number(&client, READ)).await;
    report.check("tls: a stranger's CA is refused", stranger()).await;
    report.check("read: parameters, binary", parameters(&client)).await;
    report.check("read: prepared statement reused", prepared(&client)).await;
    report.check("read: large result, row by row", large(&client)).await;
    report.check("read: large result, portal with a fetch size", portal(&mut client)).await;
    report.check("read: COPY TO STDOUT", copy(&client)).await;
    if mode == Mode::Plain {
        report.check("write: rolled back", rolled_back(&mut client)).await;
    } else {
        report.check("write: refused", refused(&client, mode)).await;
        report.check("write: connection usable after it", usable(&client)).await;
        report.check("transaction: refused write fails it until rollback", transaction(&client, mode)).await;
        report.check("transaction: commit after a refused write changes nothing", commit(&client, mode)).await;
        report.check("pipeline: queries sent at once, the refused one alone fails", pipeline(&client, mode)).await;
        report.check("pipeline: in a transaction, later ones do not run", pipeline_in_transaction(&client, mode)).await;
        report.check("pipeline: refused in the middle of one message", one_message(&client, mode)).await;
    }
    report.check("cancel: pg_sleep(30)", cancel(&client)).await;
    report.check("still usable at the end", usable(&client)).await;
    Ok(())
}

fn tls(root: &str) -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(setting(root)?).map_err(why)? {
        roots.add(authority.map_err(why)?).map_err(why)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(why)?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn connect(root: &str) -> Result<Client, String> {
    let mut config = Config::new();
    config.host(setting("PGHOST")?).port(setting("PGPORT")?.parse().map_err(why)?).user(setting("PGUSER")?);
    config.password(setting("PGPASSWORD")?).dbname(setting("PGDATABASE")?).connect_timeout(Duration::from_secs(10));
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    config.channel_binding(tokio_postgres::config::ChannelBinding::Require);
    let (client, connection) = config.connect(tls(root)?).await.map_err(|error| format!("{error:?}"))?;
    tokio::spawn(connection);
    Ok(client)
}

async fn stranger() -> Outcome {
    match connect("BELAY_DRIVERS_STRANGER_CA").await {
        Ok(_) => Err("connected to a server the stranger's authority did not sign".into()),
        Err(text) if text.contains("ertificate") || text.contains("UnknownIssuer") => Ok(String::new()),
        Err(text) => Err(format!("refused for another reason: {text}")),
    }
}

async fn number(client: &Client, sql: &str) -> Outcome {
    let row = client.query_one(sql, &[]).await.map_err(why)?;
    Ok(row.get::<_, i64>(0).to_string())
}

async fn parameters(client: &Client) -> Outcome {
    let sql = "SELECT id, $1::text, $2::bytea, $3::int[] FROM public.customers WHERE id = $4 AND email LIKE $5";
    let list = vec![Some(1), None, Some(3)];
    let row = client.query_one(sql, &[&"Zoë", &&b"\x00\xff"[..], &list, &7, &"%@%"]).await.map_err(why)?;
    let got: (i32, String, Vec<u8>, Vec<Option<i32>>) = (row.get(0), row.get(1), row.get(2), row.get(3));
    require(got == (7, "Zoë".into(), vec![0, 255], list), format!("got {got:?}"))?;
    Ok(String::new())
}

async fn prepared(client: &Client) -> Outcome {
    let statement = client.prepare("SELECT id FROM public.orders WHERE id = $1").await.map_err(why)?;
    for n in 1..=200_i32 {
        let row = client.query_one(&statement, &[&n]).await.map_err(why)?;
        require(row.get::<_, i32>(0) == n, format!("row {n}"))?;
    }
    Ok(String::new())
}

async fn large(client: &Client) -> Outcome {
    let none: [&str; 0] = [];
    let rows = client.query_raw(LARGE, none).await.map_err(why)?;
    let found = rows.try_fold(0, |found, _| future::ok(found + 1)).await.map_err(why)?;
    require(found == LARGE_ROWS, format!("{found} rows"))?;
    Ok(String::new())
}

async fn portal(client: &mut Client) -> Outcome {
    let transaction = client.transaction().await.map_err(why)?;
    let portal = transaction.bind(LARGE, &[]).await.map_err(why)?;
    let mut found = 0;
    for _ in 0..=LARGE_ROWS / 5000 {
        found += transaction.query_portal(&portal, 5000).await.map_err(why)?.len();
    }
    transaction.commit().await.map_err(why)?;
    require(found == LARGE_ROWS, format!("{found} rows"))?;
    Ok(String::new())
}

async fn copy(client: &Client) -> Outcome {
    let stream = client.copy_out("COPY public.orders TO STDOUT").await.map_err(why)?;
    pin_mut!(stream);
    let mut lines = 0;
    while let Some(chunk) = stream.next().await {
        lines += chunk.map_err(why)?.iter().filter(|byte| **byte == b'\n').count();
    }
    let rows = number(client, READ).await?;
    require(lines.to_string() == rows, format!("{lines} lines of {rows} rows"))?;
    Ok(String::new())
}

async fn rolled_back(client: &mut Client) -> Outcome {
    let transaction = client.transaction().await.map_err(why)?;
    require(transaction.execute(WRITE, &[]).await.map_err(why)? > 0, "the write had no effect")?;
    transaction.rollback().await.map_err(why)?;
    usable(client).await
}

fn state_of(error: &Error) -> (String, String) {
    error
        .as_db_error()
        .map_or_else(|| (String::new(), error.to_string()), |db| (db.code().code().to_owned(), db.message().to_owned()))
}

fn refusal<T>(answer: Result<T, Error>) -> Result<(String, String), String> {
    answer.err().map(|error| state_of(&error)).ok_or_else(|| "the statement was not refused".into())
}

async fn refused(client: &Client, mode: Mode) -> Outcome {
    let extended = refusal(client.execute(WRITE, &[]).await)?;
    require_refused(mode, &extended)?;
    require_refused(mode, &refusal(client.batch_execute(WRITE).await)?)?;
    let with_parameter = client.execute("UPDATE public.orders SET status = $1", &[&"x"]).await;
    require_refused(mode, &refusal(with_parameter)?)?;
    Ok(extended.1)
}

async fn usable(client: &Client) -> Outcome {
    require(number(client, READ).await? != "0", "no rows")?;
    require(number(client, UNTOUCHED).await? == "0", "rows were changed")?;
    Ok(String::new())
}

async fn transaction(client: &Client, mode: Mode) -> Outcome {
    client.batch_execute("BEGIN").await.map_err(why)?;
    number(client, READ).await?;
    require_refused(mode, &refusal(client.execute(WRITE, &[]).await)?)?;
    let (state, message) = refusal(client.batch_execute(READ).await)?;
    require(state == "25P02", format!("SQLSTATE {state}, wanted 25P02: {message}"))?;
    client.batch_execute("ROLLBACK").await.map_err(why)?;
    usable(client).await
}

async fn commit(client: &Client, mode: Mode) -> Outcome {
    client.batch_execute("BEGIN").await.map_err(why)?;
    require_refused(mode, &refusal(client.batch_execute(WRITE).await)?)?;
    // tokio-postgres does not show the tag; that nothing was stored is what is left to see.
    client.batch_execute("COMMIT").await.map_err(why)?;
    usable(client).await
}

async fn pipeline(client: &Client, mode: Mode) -> Outcome {
    let read = client.prepare(READ).await.map_err(why)?;
    let (before, write, after) =
        future::join3(client.query_one(&read, &[]), client.batch_execute(WRITE), client.query_one(&read, &[])).await;
    require(before.is_ok() && after.is_ok(), "a read failed")?;
    require_refused(mode, &refusal(write)?)?;
    Ok(String::new())
}

async fn pipeline_in_transaction(client: &Client, mode: Mode) -> Outcome {
    let read = client.prepare(READ).await.map_err(why)?;
    let (begin, write, after, rollback) = future::join4(
        client.batch_execute("BEGIN"),
        client.batch_execute(WRITE),
        client.query_one(&read, &[]),
        client.batch_execute("ROLLBACK"),
    )
    .await;
    begin.map_err(why)?;
    require_refused(mode, &refusal(write)?)?;
    let (state, message) = refusal(after)?;
    require(state == "25P02", format!("SQLSTATE {state}, wanted 25P02: {message}"))?;
    rollback.map_err(why)?;
    usable(client).await
}

async fn one_message(client: &Client, mode: Mode) -> Outcome {
    let stream = client.simple_query_raw(&format!("{READ}; {WRITE}; {READ}")).await.map_err(why)?;
    pin_mut!(stream);
    let (mut rows, mut error) = (0, None);
    while let Some(message) = stream.next().await {
        match message {
            Ok(SimpleQueryMessage::Row(_)) => rows += 1,
            Ok(_) => {}
            Err(caught) => error = Some(caught),
        }
    }
    require_refused(mode, &refusal(error.map_or(Ok(()), Err))?)?;
    require(rows <= 1, "the statement after it ran")?;
    usable(client).await
}

async fn cancel(client: &Client) -> Outcome {
    let mut times = Vec::new();
    for _ in 0..3 {
        let token = client.cancel_token();
        let tls = tls("PGSSLROOTCERT")?;
        let asked = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let asked = Instant::now();
            token.cancel_query(tls).await.map(|()| asked)
        };
        let answered = async { (client.batch_execute("SELECT pg_sleep(30)").await, Instant::now()) };
        let (asked, (answer, ended)) = future::join(asked, answered).await;
        let (state, message) = refusal(answer)?;
        require(state == "57014", format!("SQLSTATE {state}, wanted 57014: {message}"))?;
        times.push(ended.saturating_duration_since(asked.map_err(why)?));
    }
    let shown = format!("answered after {times:.0?}");
    times.sort();
    require(times.get(1).is_some_and(|median| *median < CANCEL_BOUND), format!("over the bound: {shown}"))?;
    Ok(shown)
}
