//! Runs a router on a TLS listener until it is time to stop.

use crate::TlsListener;
use axum::Router;
use belay_server::shutdown::Stopping;
use std::io;
use std::time::Duration;

/// How long answers under way may take once it is time to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `stopping`; requests under way get a few seconds to end.
pub async fn serve(listener: TlsListener, router: Router, stopping: Stopping) -> io::Result<()> {
    let mut begin = stopping.clone();
    let mut last_call = stopping;
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { begin.wait().await });
    tokio::select! {
        result = serving => result,
        () = async {
            last_call.wait().await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}
