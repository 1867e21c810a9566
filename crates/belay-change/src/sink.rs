//! Where images go to and come from.

use crate::{Side, Table};
use std::io;

/// Takes the images of one transaction as they are found. Calls may write to a disk.
pub trait Sink: Send {
    /// A table whose images follow; the number stands for it from here on.
    fn table(&mut self, table: &Table) -> io::Result<u16>;

    /// One image. Equal images on both sides cancel each other out later.
    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()>;
}

/// Gives the images of a kept change set back, in the order in which they were taken.
pub trait Images: Send {
    /// The next image, if any: its table, its side, the image.
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>>;
}
