//! The queue of old: for each message a df file with the body and a qf file with the envelope, each synced, the qf renamed to
//! its name when it is whole, and the folder synced. 256 folders, so that the writers do not wait for one.

use super::{BODY_BYTES, ENVELOPE_BYTES, ROUND, Round, WRITERS, round_of, written};
use anyhow::{Result, bail};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const FOLDERS: u32 = 256;

/// One round.
pub(super) fn round(place: &Path) -> Result<Round> {
    for folder in 0..FOLDERS {
        fs::create_dir(place.join(folder.to_string()))?;
    }
    let place: Arc<Path> = place.into();
    let (before, since) = (written()?, Instant::now());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let place = Arc::clone(&place);
            thread::spawn(move || write(&place, writer, since))
        })
        .collect();
    let mut messages = 0_u32;
    for writer in writers {
        match writer.join() {
            Ok(count) => messages += count?,
            Err(_) => bail!("a writer panicked"),
        }
    }
    round_of(messages, since, before)
}

fn write(place: &Path, writer: u32, since: Instant) -> Result<u32> {
    let (body, envelope) = (vec![b'b'; BODY_BYTES], vec![b'e'; ENVELOPE_BYTES]);
    let mut count = 0;
    while since.elapsed() < ROUND {
        let folder = place.join(((writer * 131 + count * 7) % FOLDERS).to_string());
        let name = format!("{writer}-{count}");
        store(&folder.join(format!("df{name}")), &body)?;
        store(&folder.join(format!("tf{name}")), &envelope)?;
        fs::rename(folder.join(format!("tf{name}")), folder.join(format!("qf{name}")))?;
        File::open(&folder)?.sync_all()?;
        count += 1;
    }
    Ok(count)
}

fn store(path: &Path, octets: &[u8]) -> Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(octets)?;
    Ok(file.sync_all()?)
}
