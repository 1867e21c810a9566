//! `./demo --keep`: the servers stay up for an attack of one's own.

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;
use std::io::Write;
use tokio::signal::unix::{SignalKind, signal};

/// Prints what to type, and waits for ^C.
pub(crate) async fn keep(world: &World, checks: &Checks) -> Result<(), Broken> {
    let postgres = &world.postgres;
    let line = format!("*:*:*:{}:{}\n", postgres.superuser(), postgres.password());
    let passfile = world.secret_file("superuser.pgpass", &line)?;
    let carol = &world.people.carol;
    let (belay, folder) = (carol.belay.display(), world.folder.path().display());
    let psql = postgres.bin().join("psql");
    let text = format!(
        "
The servers stay up{}. In other terminals:

a guarded psql, as carol, who is on call and may read every table:
  BELAY_HOME={folder}/carol {belay} psql orders -m 'my own attack'

settings for any other client:
  BELAY_HOME={folder}/carol {belay} connect orders -m 'my own attack'

what the database says, as its superuser, beside the gateway:
  PGPASSFILE={passfile} {} 'host=127.0.0.1 port={} user={} dbname=orders sslmode=verify-full sslrootcert={}'

what Belay recorded, as the administrator:
  BELAY_HOME={folder}/admin {belay} audit tail
  BELAY_HOME={folder}/admin {belay} audit verify

Ctrl-C here stops both servers and removes their folders.
",
        if checks.all_passed() { "" } else { ", though checks failed" },
        psql.display(),
        postgres.port(),
        postgres.superuser(),
        postgres.ca_file().display(),
    );
    print!("{text}");
    let _ = std::io::stdout().flush();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("signals: {error}"))?;
    interrupt.recv().await;
    println!();
    Ok(())
}
