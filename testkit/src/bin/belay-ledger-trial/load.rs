//! Four clients that write numbers of which no two are the same, and read.

use crate::stand::{Stand, Tickets};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use testkit::{Dice, SAMPLE_DATABASE};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};

/// Statements are made up to so much longer, so that segments and groups of records end at all places.
const PADDING: usize = 6000;

/// Clients at work until their gateway is gone.
pub(crate) struct Load {
    clients: Vec<JoinHandle<Done>>,
}

/// What clients were told.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The numbers that took effect.
    pub(crate) written: BTreeSet<i64>,
    pub(crate) read: u64,
    /// What was refused or failed while the gateway lived, and how often.
    pub(crate) refused: BTreeMap<String, u64>,
}

#[derive(Clone, Copy)]
enum Way {
    Everything,
    Bound,
    Kept,
    Read,
}

impl Load {
    pub(crate) fn start(stand: &Stand, next: &Arc<AtomicI64>, dice: &mut Dice) -> Load {
        let Tickets { everything, writes, reads } = &stand.tickets;
        let ways = [(Way::Everything, everything), (Way::Bound, everything), (Way::Kept, writes), (Way::Read, reads)];
        let clients = ways.map(|(way, ticket)| {
            let (config, tls) = (stand.belay.config(ticket, SAMPLE_DATABASE), stand.belay.tls());
            let (next, seed) = (Arc::clone(next), dice.number());
            tokio::spawn(async move {
                let mut done = Done::default();
                if let Ok((client, connection)) = config.connect(tls).await {
                    tokio::spawn(connection);
                    let mut dice = Dice::of(seed, 0);
                    while act(way, &client, &next, &mut dice, &mut done).await.is_ok() {}
                }
                done
            })
        });
        Load { clients: clients.into() }
    }

    /// What they were told before their gateway was gone.
    pub(crate) async fn end(self) -> Done {
        let mut all = Done::default();
        for client in self.clients {
            let done = client.await.expect("a client");
            all.written.extend(done.written);
            all.read += done.read;
            done.refused.into_iter().for_each(|(why, times)| *all.refused.entry(why).or_default() += times);
        }
        all
    }
}

/// One statement. The first one of a session may be refused, because a kill has cut its transaction.
async fn act(way: Way, client: &Client, next: &AtomicI64, dice: &mut Dice, done: &mut Done) -> Result<(), Error> {
    let padding = "x".repeat(dice.below(PADDING));
    let number = next.fetch_add(1, Ordering::Relaxed);
    let text = match way {
        Way::Everything => format!("INSERT INTO marks VALUES ({number}) /* {padding} */"),
        Way::Bound => format!("INSERT INTO marks VALUES ($1) /* {padding} */"),
        Way::Kept => format!("INSERT INTO kept VALUES ({number}) /* {padding} */"),
        Way::Read => format!("SELECT count(*) FROM marks /* {padding} */"),
    };
    let said = match way {
        Way::Bound => client.execute(&text, &[&number]).await.map(drop),
        _ => client.batch_execute(&text).await,
    };
    match (said, way) {
        (Ok(()), Way::Read) => done.read += 1,
        (Ok(()), _) => drop(done.written.insert(number)),
        (Err(error), _) if error.is_closed() => return Err(error),
        (Err(error), _) => {
            let why = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
            *done.refused.entry(why).or_default() += 1;
            client.batch_execute("ROLLBACK").await?;
        }
    }
    Ok(())
}
