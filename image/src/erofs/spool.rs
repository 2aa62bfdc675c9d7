//! File data on its way into the image.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;

use super::{BLOCK, BLOCK_BYTES, ErofsError, inode, xattr};
use crate::tree::{FileData, Kind, NodeId, Tree, Xattrs};

/// Collects data blocks before they are written: a multiple of the block size.
const BUFFER_BYTES: usize = 64 * BLOCK;

/// The data area of an image that is being built, and the tails of its files.
pub(crate) struct Spool {
    image: File,
    tails: BufWriter<File>,
    tail_bytes: u64,
    /// Data that is not in the image yet; `filled` is a multiple of the block size between files.
    buffer: Box<[u8]>,
    filled: usize,
    /// Block where the buffer will be written.
    buffer_block: u32,
}

impl Spool {
    /// Both files are empty; `image` becomes the image, `tails` is scratch.
    pub(crate) fn new(image: File, tails: File) -> Self {
        Self {
            image,
            tails: BufWriter::new(tails),
            tail_bytes: 0,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            filled: 0,
            // Block 0 is the superblock's.
            buffer_block: 1,
        }
    }

    /// Takes `size` bytes of a file from `read`, which fills its argument or fails.
    pub(crate) fn store<E: From<ErofsError>>(
        &mut self,
        size: u64,
        xattrs: &Xattrs,
        mut read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<FileData, E> {
        let tail = usize::try_from(size % BLOCK_BYTES).expect("smaller than a block");
        let inline = tail > 0 && inode::EXTENDED + xattr::size(xattrs) + tail <= BLOCK;
        let in_blocks = if inline { size - tail as u64 } else { size };
        let blocks =
            u32::try_from(in_blocks.div_ceil(BLOCK_BYTES)).map_err(|_| ErofsError::TooLarge)?;
        let first_block = self.next_block()?;
        first_block
            .checked_add(blocks)
            .ok_or(ErofsError::TooLarge)?;
        let mut left = in_blocks;
        while left > 0 {
            let room = self.buffer.len() - self.filled;
            let part = usize::try_from(left).map_or(room, |left| left.min(room));
            read(&mut self.buffer[self.filled..self.filled + part])?;
            self.filled += part;
            left -= part as u64;
            if left == 0 {
                let end = self.filled.next_multiple_of(BLOCK);
                self.buffer[self.filled..end].fill(0);
                self.filled = end;
            }
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
        }
        let tail = if inline {
            Some(self.store_tail(tail, &mut read)?)
        } else {
            None
        };
        Ok(FileData {
            size,
            first_block,
            blocks,
            tail,
        })
    }

    fn store_tail<E: From<ErofsError>>(
        &mut self,
        length: usize,
        read: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut tail = [0; BLOCK];
        read(&mut tail[..length])?;
        self.tails
            .write_all(&tail[..length])
            .map_err(ErofsError::io("write a file's tail"))?;
        let at = self.tail_bytes;
        self.tail_bytes += length as u64;
        Ok(at)
    }

    /// The block that the next data goes to.
    fn next_block(&self) -> Result<u32, ErofsError> {
        let buffered = u32::try_from(self.filled / BLOCK).expect("the buffer is small");
        self.buffer_block
            .checked_add(buffered)
            .ok_or(ErofsError::TooLarge)
    }

    /// Writes the buffer. Blocks of zeros are left out, so that they are holes in the image file.
    fn flush(&mut self) -> Result<(), ErofsError> {
        let start = u64::from(self.buffer_block) * BLOCK_BYTES;
        let mut run = None;
        let is_zero = |block: &[u8]| block.iter().all(|&b| b == 0);
        let blocks = self.buffer[..self.filled].chunks(BLOCK);
        let ends = blocks.map(is_zero).chain([true]);
        for (i, zero) in ends.enumerate() {
            match (run, zero) {
                (None, false) => run = Some(i),
                (Some(from), true) => {
                    let bytes = &self.buffer[from * BLOCK..i * BLOCK];
                    self.image
                        .write_all_at(bytes, start + (from * BLOCK) as u64)
                        .map_err(ErofsError::io("write file data"))?;
                    run = None;
                }
                _ => {}
            }
        }
        self.buffer_block = self.next_block()?;
        self.filled = 0;
        Ok(())
    }

    /// Closes the gaps that replaced files left: moves what is live towards the front, in its
    /// order.
    pub(crate) fn compact(&mut self, tree: &mut Tree) -> Result<(), ErofsError> {
        if !tree.has_dead_blocks() {
            return Ok(());
        }
        self.flush()?;
        let mut live: Vec<(FileData, NodeId)> = tree
            .live_nodes()
            .filter_map(|(id, node)| match node.kind {
                Kind::File(data) if data.blocks > 0 => Some((data, id)),
                _ => None,
            })
            .collect();
        live.sort_unstable_by_key(|(data, _)| data.first_block);
        let mut next = 1;
        for (data, id) in live {
            if data.first_block != next {
                self.move_blocks(data.first_block, next, data.blocks)?;
                tree.set_file_data(
                    id,
                    FileData {
                        first_block: next,
                        ..data
                    },
                );
            }
            next += data.blocks;
        }
        self.buffer_block = next;
        self.image
            .set_len(u64::from(next) * BLOCK_BYTES)
            .map_err(ErofsError::io("shorten the data area"))
    }

    fn move_blocks(&mut self, from: u32, to: u32, blocks: u32) -> Result<(), ErofsError> {
        let length = u64::from(blocks) * BLOCK_BYTES;
        let (from, to) = (u64::from(from) * BLOCK_BYTES, u64::from(to) * BLOCK_BYTES);
        let mut done = 0;
        while done < length {
            let left = length - done;
            let part = usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            // Zeros at the end of the data were never written.
            self.buffer[..part].fill(0);
            read_available(&self.image, &mut self.buffer[..part], from + done)
                .map_err(ErofsError::io("read file data back"))?;
            self.image
                .write_all_at(&self.buffer[..part], to + done)
                .map_err(ErofsError::io("move file data"))?;
            done += part as u64;
        }
        Ok(())
    }

    /// The image, the tails, and the first block behind the data.
    pub(super) fn finish(mut self) -> Result<(File, File, u32), ErofsError> {
        self.flush()?;
        let tails = self
            .tails
            .into_inner()
            .map_err(|e| ErofsError::io("write a file's tail")(e.into_error()))?;
        Ok((self.image, tails, self.buffer_block))
    }
}

/// Fills `buf` up to the end of the file.
fn read_available(file: &File, mut buf: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !buf.is_empty() {
        match file.read_at(buf, at) {
            Ok(0) => break,
            Ok(n) => {
                buf = &mut buf[n..];
                at += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
