//! The wish to stop, from a signal or from a test, told to everybody who waits for it.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells everybody who holds a [`Stopping`] to stop.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: watch::Sender<bool>,
}

/// Waits for the wish to stop.
#[derive(Debug, Clone)]
pub struct Stopping {
    receiver: watch::Receiver<bool>,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown { sender: watch::Sender::new(false) }
    }
}

impl Shutdown {
    /// Somebody to wait with.
    pub fn subscribe(&self) -> Stopping {
        Stopping { receiver: self.sender.subscribe() }
    }

    /// Tells everybody. Idempotent.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Begins at SIGTERM or SIGINT. The second signal ends the process at once, for an operator who will not wait.
    pub fn on_signals(&self) -> io::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            for exit_at_once in [false, true] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if exit_at_once {
                    std::process::exit(130);
                }
                shutdown.begin();
            }
        });
        Ok(())
    }
}

impl Stopping {
    /// Returns when it is time to stop; also when nobody is left to say so.
    pub async fn wait(&mut self) {
        let _ = self.receiver.wait_for(|stop| *stop).await;
    }

    /// Whether it is time to stop.
    pub fn is_stopping(&self) -> bool {
        *self.receiver.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_of_it_also_those_who_come_late() {
        let shutdown = Shutdown::default();
        let mut early = shutdown.subscribe();
        assert!(!early.is_stopping());
        shutdown.begin();
        early.wait().await;
        let mut late = shutdown.subscribe();
        late.wait().await;
        assert!(late.is_stopping());
    }
}
