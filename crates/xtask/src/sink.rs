//! `cargo xtask sink LATE_MS ADDRESS`: a receiver that takes everything and gives each answer late, as one far away does.
//!
//! A thread a connection, which sleeps before each answer; the count of messages goes to standard output after each, as
//! `mesg=N`. It stands in for Postfix's smtp-sink where a bench wants a slow destination (docs/performance.md).

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: cargo xtask sink LATE_MS ADDRESS";

/// A thread does little: many fit.
const STACK_BYTES: usize = 64 * 1024;

/// Listens until it is killed.
///
/// # Errors
/// The address can't be bound.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [late_ms, address] = arguments else { bail!("{USAGE}") };
    let late = Duration::from_millis(late_ms.parse().context(USAGE)?);
    let listener = TcpListener::bind(address).with_context(|| address.clone())?;
    let count = Arc::new(AtomicU64::new(0));
    for stream in listener.incoming() {
        let (stream, count) = (stream?, Arc::clone(&count));
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A peer that goes ends its own conversation.
            drop(converse(&stream, late, &count));
        })?;
    }
    Ok(())
}

fn converse(stream: &TcpStream, late: Duration, count: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    let mut line = Vec::new();
    answer(stream, late, b"220 sink ESMTP\r\n")?;
    while read_line(&mut input, &mut line)? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => {
                answer(stream, late, b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")?;
            }
            b"DATA" => {
                answer(stream, late, b"354 go on\r\n")?;
                while read_line(&mut input, &mut line)? && line != b".\r\n" {}
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                // One write: lines of two threads do not mix.
                std::io::stdout().write_all(format!("mesg={number}\n").as_bytes())?;
                answer(stream, late, b"250 2.0.0 taken\r\n")?;
            }
            b"QUIT" => return answer(stream, late, b"221 2.0.0 bye\r\n"),
            _ => answer(stream, late, b"250 2.0.0 fine\r\n")?,
        }
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, late: Duration, text: &[u8]) -> Result<()> {
    thread::sleep(late);
    Ok(stream.write_all(text)?)
}

/// Reads a line; false: the peer is gone.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    Ok(input.read_until(b'\n', line)? > 0)
}
