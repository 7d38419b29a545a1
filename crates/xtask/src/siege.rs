//! `cargo xtask siege`: a server with thousands of bad guests, and one good guest beside them.
//!
//! Three sieges, each against a server of its own (no root needed): sessions that stay idle, guests that are
//! slow on purpose (drip an octet a second, never read, never answer the greeting), and guests that talk garbage. A good client
//! delivers letters meanwhile; its times to the greeting and to the 250 behind the dot are measured. The siege is lost
//! if a process died, if memory or descriptors do not come back to their level, or if the good client's 99th percentile
//! is above [`PATIENCE_MS`].

mod guests;
mod server;

use anyhow::{Context as _, Result, bail, ensure};
use guests::{Crowd, Good};
use server::Server;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Idle sessions, and what they may cost together.
const IDLE: usize = 10_000;
const IDLE_KIB_MAX: u64 = 200 * 1024;
/// Slow guests.
const DRIPPING: usize = 1_000;
const UNREAD: usize = 500;
const STALLED: usize = 200;
/// Guests that talk garbage at the same time.
const GARBAGE: usize = 50;
/// The 99th percentile of a good client's wait.
const PATIENCE_MS: f64 = 100.0;
/// Letters of the good client in one siege.
const LETTERS: usize = 300;

const USAGE: &str = "usage: cargo xtask siege [--short] [--program FILE]

  --short          a tenth of the guests, 5 s of garbage: what CI does
  --program FILE   the server (default: the one beside this tool, built with the same profile)";

/// How much is thrown at the server.
struct Scale {
    /// Of all numbers of guests, one in so many.
    divisor: usize,
    garbage: Duration,
    /// How often the good client may come: a machine of CI has neighbours, and one of them may have kept it waiting. A
    /// server that starves its good guests does so each time.
    visits: usize,
}

/// Runs the sieges and prints what they came to.
///
/// # Errors
/// A siege was lost, or could not be begun.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut scale = Scale { divisor: 1, garbage: Duration::from_mins(1), visits: 1 };
    let mut program = std::env::current_exe()?.with_file_name("ironpost");
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--short" => {
                scale = Scale { divisor: 10, garbage: Duration::from_secs(5), visits: 3 };
            }
            "--program" => program = PathBuf::from(words.next().context(USAGE)?),
            _ => bail!("{USAGE}"),
        }
    }
    guests::raise_descriptors()?;
    idle(&program, &scale)?;
    slow(&program, &scale)?;
    garbage(&program, &scale)
}

// Each siege begins with letters of the good client: what a process takes once and keeps is no leak.

fn idle(program: &Path, scale: &Scale) -> Result<()> {
    let wanted = IDLE / scale.divisor;
    let server = Server::start(program)?;
    drop(Good::visit(server.port(), LETTERS)?);
    let before = server.state()?;
    let mut crowd = Crowd::default();
    crowd.greeted(server.port(), wanted)?;
    let during = server.state()?;
    let kib = during.memory_kib.saturating_sub(before.memory_kib);
    println!("idle: {wanted} sessions hold {kib} KiB more than none, {:.1} each", per(kib, wanted));
    println!("      all processes together: {} KiB", during.memory_kib);
    let good = beside(&server, scale)?;
    println!("      beside them: {good}");
    let allowed = IDLE_KIB_MAX / u64::try_from(scale.divisor)?;
    // A server without guests has a size of its own, which a short siege does not divide.
    let total = if scale.divisor == 1 { during.memory_kib } else { kib };
    ensure!(total <= allowed, "{total} KiB for {wanted} idle sessions, {allowed} are allowed");
    good.judge(PATIENCE_MS)?;
    crowd.leave();
    server.settled(&before)
}

fn slow(program: &Path, scale: &Scale) -> Result<()> {
    let server = Server::start(program)?;
    drop(Good::visit(server.port(), LETTERS)?);
    let before = server.state()?;
    let mut crowd = Crowd::default();
    crowd.dripping(server.port(), DRIPPING / scale.divisor)?;
    crowd.unread(server.port(), UNREAD / scale.divisor)?;
    crowd.stalled(server.port(), STALLED / scale.divisor)?;
    let good = beside(&server, scale)?;
    println!("slow: {} guests; beside them: {good}", crowd.len());
    good.judge(PATIENCE_MS)?;
    crowd.leave();
    server.settled(&before)
}

fn garbage(program: &Path, scale: &Scale) -> Result<()> {
    let server = Server::start(program)?;
    guests::talk_garbage(server.port(), GARBAGE, Duration::from_secs(1));
    drop(Good::visit(server.port(), LETTERS)?);
    let before = server.state()?;
    let said = guests::talk_garbage(server.port(), GARBAGE, scale.garbage);
    let good = beside(&server, scale)?;
    println!("garbage: {said} octets in {} s; afterwards: {good}", scale.garbage.as_secs());
    good.judge(PATIENCE_MS)?;
    server.settled(&before)
}

/// The good client, beside whoever else is there.
fn beside(server: &Server, scale: &Scale) -> Result<Good> {
    let mut good = Good::visit(server.port(), LETTERS)?;
    for _ in 1..scale.visits {
        if good.judge(PATIENCE_MS).is_ok() {
            break;
        }
        good = Good::visit(server.port(), LETTERS)?;
    }
    Ok(good)
}

fn per(kib: u64, count: usize) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    u32::try_from(kib).map_or(f64::MAX, f64::from) / f64::from(count)
}
