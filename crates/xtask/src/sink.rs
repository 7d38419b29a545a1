//! `cargo xtask sink LATE_MS ADDRESS [each]`: a receiver that takes everything and answers late, as one far away does.
//!
//! Each answer comes so long after its command came; with `each` only then is the next command looked at, as by a server that
//! is slow and not far. Two threads a connection; the count of messages goes to standard output after each, as `mesg=N`. It
//! stands in for Postfix's smtp-sink where a bench wants a slow destination (docs/performance.md).

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: cargo xtask sink LATE_MS ADDRESS [each]";

/// A thread does little: many fit.
const STACK_BYTES: usize = 64 * 1024;

const EXTENSIONS: &str = "250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n";

/// Listens until it is killed.
///
/// # Errors
/// The address can't be bound.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (late_ms, address, is_one_by_one) = match arguments {
        [late_ms, address] => (late_ms, address, false),
        [late_ms, address, each] if each == "each" => (late_ms, address, true),
        _ => bail!("{USAGE}"),
    };
    let late = Duration::from_millis(late_ms.parse().context(USAGE)?);
    let listener = TcpListener::bind(address).with_context(|| address.clone())?;
    let count = Arc::new(AtomicU64::new(0));
    for stream in listener.incoming() {
        let (stream, count) = (stream?, Arc::clone(&count));
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A peer that goes ends its own conversation.
            drop(begin(&stream, late, is_one_by_one, &count));
        })?;
    }
    Ok(())
}

/// The mouth of a conversation.
struct Mouth {
    stream: TcpStream,
    late: Duration,
    /// Who speaks when the time has come; `None`: we do, and nothing is heard meanwhile.
    speaker: Option<mpsc::Sender<(Instant, &'static str)>>,
}

impl Mouth {
    fn say(&mut self, text: &'static str) -> Result<()> {
        if let Some(speaker) = &self.speaker {
            return Ok(speaker.send((Instant::now() + self.late, text))?);
        }
        thread::sleep(self.late);
        Ok(self.stream.write_all(text.as_bytes())?)
    }
}

fn begin(stream: &TcpStream, late: Duration, is_one_by_one: bool, count: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut speaker = None;
    if !is_one_by_one {
        let (sender, answers) = mpsc::channel::<(Instant, &'static str)>();
        let mut stream = stream.try_clone()?;
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            for (due, text) in answers {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if stream.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
        })?;
        speaker = Some(sender);
    }
    let mut mouth = Mouth { stream: stream.try_clone()?, late, speaker };
    converse(stream, &mut mouth, count)
}

fn converse(stream: &TcpStream, mouth: &mut Mouth, count: &AtomicU64) -> Result<()> {
    let mut input = BufReader::new(stream);
    let mut line = Vec::new();
    mouth.say("220 sink ESMTP\r\n")?;
    while read_line(&mut input, &mut line)? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => mouth.say(EXTENSIONS)?,
            b"DATA" => {
                mouth.say("354 go on\r\n")?;
                while read_line(&mut input, &mut line)? && line != b".\r\n" {}
                taken(mouth, count)?;
            }
            b"BDAT" => {
                let size = String::from_utf8_lossy(&line);
                let size = size.split(' ').nth(1).and_then(|size| size.trim().parse().ok());
                let mut chunk = input.by_ref().take(size.unwrap_or(0));
                std::io::copy(&mut chunk, &mut std::io::sink())?;
                taken(mouth, count)?;
            }
            b"QUIT" => return mouth.say("221 2.0.0 bye\r\n"),
            _ => mouth.say("250 2.0.0 fine\r\n")?,
        }
    }
    Ok(())
}

fn taken(mouth: &mut Mouth, count: &AtomicU64) -> Result<()> {
    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
    // One write: lines of two threads do not mix.
    std::io::stdout().write_all(format!("mesg={number}\n").as_bytes())?;
    mouth.say("250 2.0.0 taken\r\n")
}

/// Reads a line; false: the peer is gone.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    Ok(input.read_until(b'\n', line)? > 0)
}
