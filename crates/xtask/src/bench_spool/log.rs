//! The spool, driven as the queue's loop drives it: one thread appends for everybody who got an answer, commits, and waits for the
//! disk's bell.

use super::{
    BODY_BYTES, ENVELOPE_BYTES, ROUND, Round, SMALL_BODY_BYTES, SMALL_ENVELOPE_BYTES,
    SMALL_MESSAGES, WRITERS, number_in, open, round_of, written,
};
use anyhow::{Result, bail};
use policy::{Carriage, Mailer, MailerId, Route, Settings, Transport};
use queue::{BodyKind, Envelope, Input, Note, Notify, Origin, Purpose, Recipient, Scheduler};
use spool::{Body, Completion, Log, Options, Spool as _};
use std::fs;
use std::path::Path;
use std::time::Instant;
use wire::QueueId;

/// Messages that are appended at once while the spool is filled.
const FILL: u64 = 2_000;

/// One round. Ids are as in life: a second, and a counter in it.
pub(super) fn round(place: &Path) -> Result<Round> {
    let (mut log, _) = Log::open(open(place)?, Options::default())?;
    let (body, envelope) = (vec![b'b'; BODY_BYTES], vec![b'e'; ENVELOPE_BYTES]);
    let (before, since) = (written()?, Instant::now());
    let mut done: Vec<Completion> = Vec::new();
    let mut idle = WRITERS;
    let (mut messages, mut counter) = (0_u32, 0_u32);
    while since.elapsed() < ROUND || idle < WRITERS {
        if since.elapsed() < ROUND {
            for _ in 0..std::mem::take(&mut idle) {
                counter += 1;
                let id = QueueId::new(1_790_000_000, counter);
                log.append(u64::from(counter), id, &envelope, Body::Inline(&body))?;
            }
        }
        log.commit();
        sys::poll::readable(&log.wake(), Some(1_000))?;
        log.completed(&mut done);
        for completion in done.drain(..) {
            completion.result?;
            messages += 1;
            idle += 1;
        }
    }
    round_of(messages, since, before)
}

/// Fills a spool with small messages, and leaves it as a crash would.
pub(super) fn fill(place: &Path) -> Result<()> {
    let (mut log, _) = Log::open(open(place)?, Options::default())?;
    let (body, envelope) = (vec![b'b'; SMALL_BODY_BYTES], vec![b'e'; SMALL_ENVELOPE_BYTES]);
    let mut done = Vec::new();
    let (mut appended, mut stored) = (0_u64, 0_u64);
    while stored < SMALL_MESSAGES {
        while appended < SMALL_MESSAGES && appended - stored < FILL {
            appended += 1;
            let id = QueueId::from_u64((1_790_000_000 << 24) + appended);
            log.append(appended, id, &envelope, Body::Inline(&body))?;
        }
        log.commit();
        sys::poll::readable(&log.wake(), Some(1_000))?;
        log.completed(&mut done);
        for completion in done.drain(..) {
            completion.result?;
            stored += 1;
        }
    }
    Ok(())
}

/// Opens a spool, and prints the seconds that took, and the octets of memory for each message: of the spool alone, and with the
/// scheduler that holds it until it is due.
pub(super) fn recover(place: &Path) -> Result<()> {
    forget_pages(&place.join("log"))?;
    let before = number_in("/proc/self/status", "VmRSS:")?;
    let since = Instant::now();
    let (log, found) = Log::open(open(place)?, Options::default())?;
    let seconds = since.elapsed().as_secs_f64();
    let slots: Vec<u32> = found.into_iter().map(|found| found.slot.into()).collect();
    let count = u32::try_from(slots.len())?;
    if u64::from(count) != SMALL_MESSAGES || log.statistics().messages != SMALL_MESSAGES {
        bail!("{count} messages were found");
    }
    let list_kib = f64::from(count) * 4.0 / 1024.0;
    let spool = number_in("/proc/self/status", "VmRSS:")? - list_kib;
    let scheduler = scheduled(&slots);
    drop(slots);
    let both = number_in("/proc/self/status", "VmRSS:")?;
    let each = |after: f64| (after - before) * 1024.0 / f64::from(count);
    println!("{seconds:.3} {:.1} {:.1}", each(spool), each(both));
    drop(scheduler);
    Ok(())
}

/// A scheduler that holds these messages, for 1,000 destinations, none of them due.
fn scheduled(slots: &[u32]) -> Scheduler {
    const NOW_S: u64 = 1_790_000_000;
    let smtp = Mailer {
        name: b"esmtp"[..].into(),
        transport: Transport::Smtp { port: 25 },
        recipients_max: 100,
        concurrency_max: 10,
        carriage: Carriage::default(),
    };
    let settings = Settings { mailers: vec![smtp], ..Settings::default() };
    let mut scheduler = Scheduler::new(&settings, 1);
    let mut actions = Vec::new();
    for &slot in slots {
        let host = format!("host{}.example.org", slot % 1000).into_bytes();
        let address: Box<[u8]> = [b"someone@", host.as_slice()].concat().into();
        let route =
            Route { mailer: MailerId(0), host: host.into(), user: address.clone(), expands: false };
        let recipient =
            Recipient { address, route, notify: Notify::UNSET, original: None, followed: None };
        let envelope = Envelope {
            id: QueueId::from_u64((NOW_S << 24) + u64::from(slot) + 1),
            created_s: NOW_S,
            purpose: Purpose::Mail,
            sender: b"sender@example.org"[..].into(),
            recipients: vec![recipient],
            size_bytes: 1000,
            body: BodyKind::SevenBit,
            is_utf8: false,
            ret: None,
            envelope_id: None,
            by: None,
            origin: Origin::default(),
            quarantine: None,
            mailers_mark: queue::mailers_mark(&settings.mailers),
            priority: 0,
            returns: queue::Returns::default(),
        };
        let mut note = Note::new(&envelope);
        note.next_try_s = NOW_S + 1000 + u64::from(slot % 5000);
        let (envelope, note) = (Box::new(envelope), Some(Box::new(note)));
        let input = Input::Recovered { slot, envelope, note };
        scheduler.step(NOW_S * 1000, input, &mut actions);
        actions.clear();
    }
    scheduler
}

/// Lets the kernel forget what it keeps of the segments, so that the disk is read.
fn forget_pages(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = fs::File::open(&path)?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
