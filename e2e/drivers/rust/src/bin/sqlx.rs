//! sqlx: a pool, its statement cache, streamed rows, its own transactions and COPY. It has no cancel of its own.

use belay_driver_matrix::{
    LARGE, LARGE_ROWS, Mode, Outcome, READ, Report, UNTOUCHED, WRITE, require, require_refused, setting, why,
};
use futures_util::{StreamExt, TryStreamExt, future};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolCopyExt, PgPoolOptions, PgSslMode};
use sqlx::{Connection, Error, Executor, PgPool};
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut report = Report::new("sqlx");
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
    let limits = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(10));
    let pool = limits.connect_with(options("PGSSLROOTCERT")?).await.map_err(why)?;
    let mut conn = PgConnection::connect_with(&options("PGSSLROOTCERT")?).await.map_err(why)?;
    report.check("connect: TLS, verified", number(&mut conn, READ)).await;
    report.check("tls: a stranger's CA is refused", stranger()).await;
    report.check("read: parameters, binary", parameters(&mut conn)).await;
    report.check("read: prepared statement reused", prepared(&mut conn)).await;
    report.check("read: large result, streamed", large(&mut conn)).await;
    report.check("read: COPY TO STDOUT", copy(&pool)).await;
    if mode == Mode::Plain {
        report.check("write: rolled back", rolled_back(&mut conn)).await;
    } else {
        report.check("write: refused", refused(&mut conn, mode)).await;
        report.check("write: connection usable after it", usable(&mut conn)).await;
        report.check("transaction: refused write fails it until rollback", transaction(&mut conn, mode)).await;
        report.check("transaction: commit after a refused write changes nothing", commit(&mut conn, mode)).await;
        report.check("pipeline: refused in the middle of one message", one_message(&mut conn, mode)).await;
    }
    report.check("pool: several connections at once", at_once(&pool)).await;
    report.check("still usable at the end", usable(&mut conn)).await;
    conn.close().await.map_err(why)?;
    pool.close().await;
    Ok(())
}

fn options(root: &str) -> Result<PgConnectOptions, String> {
    let options = PgConnectOptions::new_without_pgpass().host(&setting("PGHOST")?);
    let options = options.port(setting("PGPORT")?.parse().map_err(why)?).username(&setting("PGUSER")?);
    let options = options.password(&setting("PGPASSWORD")?).database(&setting("PGDATABASE")?);
    Ok(options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(setting(root)?))
}

async fn stranger() -> Outcome {
    match PgConnection::connect_with(&options("BELAY_DRIVERS_STRANGER_CA")?).await {
        Ok(_) => Err("connected to a server the stranger's authority did not sign".into()),
        Err(Error::Tls(_)) => Ok(String::new()),
        Err(error) if error.to_string().contains("ertificate") => Ok(String::new()),
        Err(error) => Err(format!("refused for another reason: {error}")),
    }
}

async fn number(conn: &mut PgConnection, sql: &'static str) -> Outcome {
    let number: i64 = sqlx::query_scalar(sql).fetch_one(conn).await.map_err(why)?;
    Ok(number.to_string())
}

async fn parameters(conn: &mut PgConnection) -> Outcome {
    let sql = "SELECT id, $1::text, $2::bytea, $3::int[] FROM public.customers WHERE id = $4 AND email LIKE $5";
    let list = vec![Some(1), None, Some(3)];
    let query = sqlx::query_as(sql).bind("Zoë").bind(&b"\x00\xff"[..]).bind(list.clone()).bind(7).bind("%@%");
    let got: (i32, String, Vec<u8>, Vec<Option<i32>>) = query.fetch_one(conn).await.map_err(why)?;
    require(got == (7, "Zoë".into(), vec![0, 255], list), format!("got {got:?}"))?;
    Ok(String::new())
}

async fn prepared(conn: &mut PgConnection) -> Outcome {
    for n in 1..=200_i32 {
        let query = sqlx::query_scalar("SELECT id FROM public.orders WHERE id = $1").bind(n);
        let id: i32 = query.fetch_one(&mut *conn).await.map_err(why)?;
        require(id == n, format!("row {n}"))?;
    }
    Ok(String::new())
}

async fn large(conn: &mut PgConnection) -> Outcome {
    let rows = sqlx::query(LARGE).fetch(conn);
    let found = rows.try_fold(0, |found, _| future::ok(found + 1)).await.map_err(why)?;
    require(found == LARGE_ROWS, format!("{found} rows"))?;
    Ok(String::new())
}

async fn copy(pool: &PgPool) -> Outcome {
    let mut stream = pool.copy_out_raw("COPY public.orders TO STDOUT").await.map_err(why)?;
    let mut lines = 0;
    while let Some(chunk) = stream.next().await {
        lines += chunk.map_err(why)?.iter().filter(|byte| **byte == b'\n').count();
    }
    require(lines > 0, "no rows")?;
    Ok(format!("{lines} rows"))
}

async fn rolled_back(conn: &mut PgConnection) -> Outcome {
    let mut transaction = conn.begin().await.map_err(why)?;
    let done = sqlx::query(WRITE).execute(&mut *transaction).await.map_err(why)?;
    require(done.rows_affected() > 0, "the write had no effect")?;
    transaction.rollback().await.map_err(why)?;
    usable(conn).await
}

fn refusal<T>(answer: Result<T, Error>) -> Result<(String, String), String> {
    match answer {
        Ok(_) => Err("the statement was not refused".into()),
        Err(Error::Database(error)) => Ok((error.code().unwrap_or_default().into_owned(), error.message().to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

async fn refused(conn: &mut PgConnection, mode: Mode) -> Outcome {
    let extended = refusal(sqlx::query(WRITE).execute(&mut *conn).await)?;
    require_refused(mode, &extended)?;
    require_refused(mode, &refusal(conn.execute(sqlx::raw_sql(WRITE)).await)?)?;
    let with_parameter = sqlx::query("UPDATE public.orders SET status = $1").bind("x").execute(&mut *conn).await;
    require_refused(mode, &refusal(with_parameter)?)?;
    Ok(extended.1)
}

async fn usable(conn: &mut PgConnection) -> Outcome {
    require(number(conn, READ).await? != "0", "no rows")?;
    require(number(conn, UNTOUCHED).await? == "0", "rows were changed")?;
    Ok(String::new())
}

async fn transaction(conn: &mut PgConnection, mode: Mode) -> Outcome {
    let mut transaction = conn.begin().await.map_err(why)?;
    number(&mut transaction, READ).await?;
    require_refused(mode, &refusal(sqlx::query(WRITE).execute(&mut *transaction).await)?)?;
    let (state, message) = refusal(sqlx::query(READ).fetch_one(&mut *transaction).await)?;
    require(state == "25P02", format!("SQLSTATE {state}, wanted 25P02: {message}"))?;
    transaction.rollback().await.map_err(why)?;
    usable(conn).await
}

async fn commit(conn: &mut PgConnection, mode: Mode) -> Outcome {
    let mut transaction = conn.begin().await.map_err(why)?;
    require_refused(mode, &refusal(sqlx::query(WRITE).execute(&mut *transaction).await)?)?;
    // sqlx does not look at the tag COMMIT answers; that nothing was stored is what is left to see.
    let shown = transaction.commit().await.map_or_else(|error| error.to_string(), |()| "commit() is silent".into());
    usable(conn).await?;
    Ok(shown)
}

async fn one_message(conn: &mut PgConnection, mode: Mode) -> Outcome {
    let sql = format!("{READ}; {WRITE}; {READ}");
    let answer = conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await;
    require_refused(mode, &refusal(answer)?)?;
    usable(conn).await
}

async fn at_once(pool: &PgPool) -> Outcome {
    let reads = (0..40).map(|_| sqlx::query_scalar::<_, i64>(READ).fetch_one(pool));
    let answers = future::try_join_all(reads).await.map_err(why)?;
    require(answers.iter().all(|rows| *rows > 0), "no rows")?;
    Ok(String::new())
}
