//! `cargo xtask bench spool`: the spool against a queue of qf and df files, in one run on one disk.
//!
//! Four figures: durable messages a second with 100 writers (rounds of both by turns, medians), octets written for an octet of
//! mail, the time to find 1,000,000 messages after a crash, and the memory that each of them takes. The last two
//! are measured in processes of their own, so that nothing that was freed before is counted.

mod files;
mod log;

use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Who waits for an answer before the next message.
const WRITERS: u32 = 100;
/// Octets of a body and of an envelope.
const BODY_BYTES: usize = 10 * 1024;
const ENVELOPE_BYTES: usize = 300;
/// Rounds of each kind, and how long one is.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(1_500);
/// What is found again after a crash.
const SMALL_MESSAGES: u64 = 1_000_000;
const SMALL_ENVELOPE_BYTES: usize = 330;
const SMALL_BODY_BYTES: usize = 700;

const USAGE: &str = "usage: cargo xtask bench spool [--dir DIR]

  --dir DIR   where to write (default: target/bench-spool); up to 10 GiB, removed afterwards";

/// What one round came to.
#[derive(Debug, Clone, Copy)]
struct Round {
    messages_s: f64,
    /// Octets written for an octet of mail.
    amplification: f64,
}

/// Measures and prints a table.
///
/// # Errors
/// The disk failed, or the arguments make no sense.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [] => all(Path::new("target/bench-spool")),
        ["--dir", dir] => all(Path::new(dir)),
        ["recover", dir] => log::recover(Path::new(dir)),
        _ => bail!("{USAGE}"),
    }
}

fn all(dir: &Path) -> Result<()> {
    if cfg!(debug_assertions) {
        println!("not a release build: the figures say little");
    }
    if dir.exists() {
        bail!("{} is there already", dir.display());
    }
    let mut logs = Vec::new();
    let mut queues = Vec::new();
    for number in 1..=ROUNDS {
        let queue = files::round(&fresh(dir, &format!("files-{number}"))?)?;
        let log = log::round(&fresh(dir, &format!("log-{number}"))?)?;
        println!(
            "round {number}: qf+df {:.0}/s, log {:.0}/s, {:.1} times",
            queue.messages_s,
            log.messages_s,
            log.messages_s / queue.messages_s
        );
        queues.push(queue);
        logs.push(log);
    }
    let (queue, log) = (median(queues)?, median(logs)?);
    println!();
    row("", "qf+df", "log", "wanted");
    row("messages/s, 100 writers, 10 KiB", &whole(queue.messages_s), &whole(log.messages_s), "");
    row("times qf+df", "1.0", &tenths(log.messages_s / queue.messages_s), ">= 8");
    row(
        "octets written for an octet",
        &hundredths(queue.amplification),
        &hundredths(log.amplification),
        "<= 1.2",
    );
    let place = fresh(dir, "small")?;
    log::fill(&place)?;
    let found = child(&place)?;
    row("1,000,000 small: found after (s)", "", &hundredths(found.seconds), "<= 5");
    row("memory a message, spool (octets)", "", &tenths(found.octets), "");
    row("memory a message, with scheduler", "", &tenths(found.octets_scheduled), "<= 128");
    fs::remove_dir_all(dir).context("removing what was written")
}

/// What a start found, as the child says it.
struct Found {
    seconds: f64,
    octets: f64,
    octets_scheduled: f64,
}

fn child(place: &Path) -> Result<Found> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "spool", "recover"])
        .arg(place)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(seconds)), Some(Ok(octets)), Some(Ok(octets_scheduled))) => {
            Ok(Found { seconds, octets, octets_scheduled })
        }
        _ => bail!("the child said {text:?} {:?}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// An empty folder. All stay until the end: what is removed is not to be paid for by what follows.
fn fresh(dir: &Path, name: &str) -> Result<PathBuf> {
    let place = dir.join(name);
    fs::create_dir_all(&place)?;
    File::open(dir)?.sync_all()?;
    Ok(place)
}

fn open(place: &Path) -> Result<OwnedFd> {
    Ok(File::open(place)?.into())
}

fn median(mut rounds: Vec<Round>) -> Result<Round> {
    rounds.sort_by(|a, b| a.messages_s.total_cmp(&b.messages_s));
    rounds.get(rounds.len() / 2).copied().context("no rounds")
}

/// Octets that this process has had written to disks.
fn written() -> Result<f64> {
    number_in("/proc/self/io", "write_bytes:")
}

/// The number after a word in a file of the kernel's.
fn number_in(path: &str, word: &str) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(word)).context("no such line")?;
    Ok(line.split_ascii_whitespace().next().context("no number")?.parse()?)
}

/// Messages a second, and octets an octet.
fn round_of(messages: u32, since: Instant, written_before: f64) -> Result<Round> {
    let mail = f64::from(messages) * f64::from(u32::try_from(BODY_BYTES + ENVELOPE_BYTES)?);
    Ok(Round {
        messages_s: f64::from(messages) / since.elapsed().as_secs_f64(),
        amplification: (written()? - written_before) / mail,
    })
}

fn row(what: &str, queue: &str, log: &str, wanted: &str) {
    println!("{what:<36} {queue:>8} {log:>8}   {wanted}");
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

fn hundredths(number: f64) -> String {
    format!("{number:.2}")
}
