//! The thread that unlinks what nobody needs.
//!
//! A name is gone when its folder is synced, and only then may a segment follow whose Dones buried something in the one before.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::commit::{Fatal, Messenger, News};
use crate::folders::{Folders, large_name};
use crate::segment::Name;

/// Something to unlink.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Litter {
    /// A segment.
    Segment { shard: u32, number: u32 },
    /// The large body of a message that is finished.
    Large { slot: u32, id: u64 },
}

/// Works until the log is dropped.
pub(crate) fn run(folders: &Arc<Folders>, messenger: &Messenger, litter: &Receiver<Litter>) {
    let _fatal = Fatal;
    while let Ok(first) = litter.recv() {
        let mut segments: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for next in std::iter::once(first).chain(litter.try_iter()) {
            match next {
                Litter::Segment { shard, number } => {
                    segments.entry(shard).or_default().push(number);
                }
                Litter::Large { slot, id } => {
                    let result = unlink_large(folders, id);
                    messenger.tell(News::LargeSwept { slot, result });
                }
            }
        }
        for (shard, numbers) in segments {
            for (number, result) in unlink_segments(folders, shard, &numbers) {
                messenger.tell(News::SegmentSwept { number, result });
            }
        }
    }
}

/// An unlinked large body that comes back in a crash belongs to no message, and the next start takes it away.
fn unlink_large(folders: &Folders, id: u64) -> io::Result<()> {
    gone(folders.disk.unlink(folders.large.as_fd(), &large_name(id)))
}

fn unlink_segments(folders: &Folders, shard: u32, numbers: &[u32]) -> Vec<(u32, io::Result<()>)> {
    let unlink =
        |number: u32| gone(folders.disk.unlink(folders.shard(shard)?, &Name::file(number)));
    let results: Vec<_> = numbers.iter().map(|&number| (number, unlink(number))).collect();
    match folders.shard(shard).and_then(|folder| folders.disk.sync_folder(folder)) {
        Ok(()) => results,
        Err(error) => {
            let again = |&number: &u32| (number, Err(io::Error::from(error.kind())));
            numbers.iter().map(again).collect()
        }
    }
}

/// What is not there need not be unlinked.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
