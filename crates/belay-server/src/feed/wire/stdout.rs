//! JSON Lines on the server's standard output.

use std::io::{self, Write};
use tokio::sync::{mpsc, oneshot};

type Work = (Vec<u8>, oneshot::Sender<io::Result<()>>);

/// Writes on a thread of its own, because whoever reads may take as long as they like: such a thread holds up nothing,
/// not even the end of the process.
#[derive(Default)]
pub(in crate::feed) struct Stdout {
    writer: Option<mpsc::Sender<Work>>,
}

impl Stdout {
    pub(super) async fn send(&mut self, pieces: &[Vec<u8>]) -> Result<(), String> {
        let gone = || "its thread is gone".to_owned();
        let mut lines = Vec::with_capacity(pieces.iter().map(|piece| piece.len() + 1).sum());
        for piece in pieces {
            lines.extend_from_slice(piece);
            lines.push(b'\n');
        }
        let writer = match self.writer.take() {
            Some(writer) if !writer.is_closed() => writer,
            _ => start().map_err(|error| error.to_string())?,
        };
        let (answer, written) = oneshot::channel();
        writer.send((lines, answer)).await.map_err(|_| gone())?;
        self.writer = Some(writer);
        written.await.map_err(|_| gone())?.map_err(|error| error.to_string())
    }
}

fn start() -> io::Result<mpsc::Sender<Work>> {
    let (writer, mut waiting) = mpsc::channel::<Work>(1);
    std::thread::Builder::new().name("events".to_owned()).spawn(move || {
        while let Some((lines, answer)) = waiting.blocking_recv() {
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(&lines).and_then(|()| stdout.flush());
            // Nobody waits for it any more where the server stops.
            drop(answer.send(written));
        }
    })?;
    Ok(writer)
}
