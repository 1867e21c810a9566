//! One side of a connection: what is read from it, and what waits to be written to it.

use belay_engine::Stream;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

/// The read buffer of an idle direction.
const SMALL: usize = 8 * 1024;
/// The read buffer of a direction that fills the small one.
const LARGE: usize = 64 * 1024;
/// How long the other end may take to read its last word.
const FAREWELL: Duration = Duration::from_millis(500);
/// How much may wait to be written before what makes it has to wait.
const FULL: usize = 256 * 1024;
/// How many pieces are written at once.
const SLICES: usize = 16;

/// One side: its stream, what is to be written to it, what is being read from it.
pub(super) struct Side {
    stream: Box<dyn Stream>,
    queue: VecDeque<Bytes>,
    /// Bytes in the queue.
    queued: usize,
    unflushed: bool,
    buffer: BytesMut,
    /// How much room the next read gets.
    room: usize,
}

impl Side {
    pub(super) fn new(stream: Box<dyn Stream>) -> Side {
        Side { stream, queue: VecDeque::new(), queued: 0, unflushed: false, buffer: BytesMut::new(), room: SMALL }
    }

    /// Queues bytes to be written.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Whether so much is queued that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        self.queued >= FULL
    }

    /// Writes what is queued. Ready when nothing is left.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.queue.is_empty() {
            // The messages of a batch go out together: one call to the kernel, and one wake-up at the other end.
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.queue.iter().zip(&mut slices).map(|(from, to)| *to = IoSlice::new(from)).count();
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.written(written);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes so many bytes off the queue.
    fn written(&mut self, mut count: usize) {
        self.queued = self.queued.saturating_sub(count);
        while let Some(front) = self.queue.front_mut() {
            let here = count.min(front.len());
            front.advance(here);
            count -= here;
            if !front.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
    }

    /// Reads once; no bytes mean the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Bytes>> {
        if self.buffer.capacity() < self.room {
            self.buffer.reserve(self.room);
        }
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buffer) {
            Poll::Pending => {
                // An idle connection keeps no large buffer.
                if self.room == SMALL && self.buffer.capacity() > SMALL {
                    self.buffer = BytesMut::new();
                }
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(_)) => {
                self.room = if self.buffer.len() >= SMALL { LARGE } else { SMALL };
                Poll::Ready(Ok(self.buffer.split().freeze()))
            }
        }
    }

    /// Sends what is queued, if `flush`, says that nothing more comes, and reads at most `drain` further bytes away.
    /// Bounded in time: whoever is gone already need not be told.
    pub(super) async fn close(mut self, flush: bool, drain: usize) {
        let goodbye = async {
            while flush && let Some(bytes) = self.queue.pop_front() {
                self.stream.write_all(&bytes).await?;
            }
            self.stream.shutdown().await?;
            let mut left = drain;
            while left > 0 {
                self.buffer.clear();
                self.buffer.reserve(SMALL);
                match self.stream.read_buf(&mut self.buffer).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<(), std::io::Error>(())
        };
        let _ = timeout(FAREWELL, goodbye).await;
    }
}
