//! Two places for the same images.

use crate::{Side, Sink, Table};
use std::io;

/// Gives what it takes to both, e.g. to a file and to a tally.
#[derive(Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Both<A, B> {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        let (one, other) = (self.0.table(table)?, self.1.table(table)?);
        if one == other { Ok(one) } else { Err(io::Error::other("two sinks number a table differently")) }
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        self.0.image(table, side, image)?;
        self.1.image(table, side, image)
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        (**self).table(table)
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        (**self).image(table, side, image)
    }
}
