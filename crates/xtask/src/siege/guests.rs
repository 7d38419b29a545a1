//! Guests: idle ones, slow ones, those that talk garbage, and a good one.

use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No guest waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Allows as many connections as a siege needs.
///
/// # Errors
/// The system allows less.
pub(super) fn raise_descriptors() -> Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = 12_000;
    if limit.current.is_some_and(|current| current < wanted) {
        let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
        let limit = Rlimit { current: maximum, maximum };
        rustix::process::setrlimit(Resource::Nofile, limit).context("12,000 descriptors")?;
    }
    Ok(())
}

/// Connects as guest number `number`: each has an address of its own in 127.0.0.0/8.
fn connect(port: u16, number: usize) -> Result<TcpStream> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let (third, fourth) = (u8::try_from(number / 200 % 200)?, u8::try_from(number % 200)?);
    let own = Ipv4Addr::new(127, 1, third, fourth.saturating_add(1));
    rustix::net::bind(&socket, &SocketAddr::from((own, 0)))?;
    rustix::net::connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads until the last line of a reply is there; gives its code.
fn reply(stream: &mut TcpStream) -> Result<u16> {
    let mut text = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let count = stream.read(&mut piece)?;
        ensure!(count > 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(piece.get(..count).unwrap_or_default());
        let last =
            text.strip_suffix(b"\r\n").and_then(|text| text.split(|&o| o == b'\n').next_back());
        if let Some([a, b, c, b' ', ..]) = last {
            return Ok(std::str::from_utf8(&[*a, *b, *c])?.parse()?);
        }
    }
}

fn say(stream: &mut TcpStream, line: &str, wanted: u16) -> Result<()> {
    stream.write_all(line.as_bytes())?;
    let code = reply(stream)?;
    ensure!(code == wanted, "{code} to {line:?}");
    Ok(())
}

/// Guests that stay until they are sent away.
#[derive(Default)]
pub(super) struct Crowd {
    guests: Vec<TcpStream>,
    dripping: Option<(Arc<AtomicBool>, JoinHandle<Vec<TcpStream>>)>,
    drips: usize,
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.guests.len() + self.drips
    }

    /// Guests that said EHLO and nothing more.
    pub(super) fn greeted(&mut self, port: u16, count: usize) -> Result<()> {
        for number in 0..count {
            let mut guest = connect(port, number).with_context(|| format!("guest {number}"))?;
            ensure!(reply(&mut guest)? == 220, "guest {number} is not greeted");
            say(&mut guest, "EHLO guest.example.org\r\n", 250)?;
            self.guests.push(guest);
        }
        Ok(())
    }

    /// Guests that send one octet a second of a command without an end.
    pub(super) fn dripping(&mut self, port: u16, count: usize) -> Result<()> {
        let mut guests = Vec::new();
        for number in 0..count {
            guests.push(connect(port, number)?);
        }
        self.drips = count;
        let goes_on = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&goes_on);
        let thread = std::thread::spawn(move || {
            while flag.load(Ordering::Relaxed) {
                for guest in &mut guests {
                    // One that was sent away drips no more.
                    guest.write_all(b"M").ok();
                }
                std::thread::sleep(Duration::from_secs(1));
            }
            guests
        });
        self.dripping = Some((goes_on, thread));
        Ok(())
    }

    /// Guests that ask a lot and never read.
    pub(super) fn unread(&mut self, port: u16, count: usize) -> Result<()> {
        let questions = "HELP\r\n".repeat(2_000);
        for number in 0..count {
            let guest = connect(port, number)?;
            guest.set_nonblocking(true)?;
            // As much as the wire takes; the rest would wait for ever, as it should.
            drop((&guest).write_all(questions.as_bytes()));
            self.guests.push(guest);
        }
        Ok(())
    }

    /// Guests that connect and say nothing.
    pub(super) fn stalled(&mut self, port: u16, count: usize) -> Result<()> {
        for number in 0..count {
            self.guests.push(connect(port, number)?);
        }
        Ok(())
    }

    /// All go.
    pub(super) fn leave(mut self) {
        self.guests.clear();
        if let Some((goes_on, thread)) = self.dripping.take() {
            goes_on.store(false, Ordering::Relaxed);
            drop(thread.join());
        }
    }
}

/// What a good client saw: milliseconds, sorted.
pub(super) struct Good {
    greeting_ms: Vec<f64>,
    stored_ms: Vec<f64>,
}

impl Good {
    /// Sends letters, one after the other, each on a connection of its own.
    ///
    /// # Errors
    /// The server did not take one.
    pub(super) fn visit(port: u16, letters: usize) -> Result<Self> {
        let (mut greeting_ms, mut stored_ms) = (Vec::new(), Vec::new());
        for number in 0..letters {
            let since = Instant::now();
            // Not one of the crowd's addresses.
            let mut guest = connect(port, 39_999)?;
            ensure!(reply(&mut guest)? == 220, "letter {number}: not greeted");
            greeting_ms.push(since.elapsed().as_secs_f64() * 1000.0);
            say(&mut guest, "EHLO good.example.org\r\n", 250)?;
            say(&mut guest, "MAIL FROM:<good@example.org>\r\n", 250)?;
            say(&mut guest, "RCPT TO:<anna@example.org>\r\n", 250)?;
            say(&mut guest, "DATA\r\n", 354)?;
            let since = Instant::now();
            say(&mut guest, "Subject: hello\r\n\r\nIt works.\r\n.\r\n", 250)?;
            stored_ms.push(since.elapsed().as_secs_f64() * 1000.0);
            say(&mut guest, "QUIT\r\n", 221)?;
        }
        greeting_ms.sort_by(f64::total_cmp);
        stored_ms.sort_by(f64::total_cmp);
        Ok(Self { greeting_ms, stored_ms })
    }

    /// # Errors
    /// The 99th percentile is above `patience_ms`.
    pub(super) fn judge(&self, patience_ms: f64) -> Result<()> {
        let slowest = at(&self.greeting_ms, 99).max(at(&self.stored_ms, 99));
        ensure!(
            slowest <= patience_ms,
            "a good client waits {slowest:.1} ms, {patience_ms} is allowed"
        );
        Ok(())
    }
}

impl fmt::Display for Good {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "greeting {:.1} ms (99 %: {:.1}), 250 behind the dot {:.1} ms (99 %: {:.1})",
            at(&self.greeting_ms, 50),
            at(&self.greeting_ms, 99),
            at(&self.stored_ms, 50),
            at(&self.stored_ms, 99)
        )
    }
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

/// Connections that talk garbage for a while, each beginning anew when it is closed; gives the octets that were said.
pub(super) fn talk_garbage(port: u16, count: usize, time: Duration) -> u64 {
    let until = Instant::now() + time;
    let guests: Vec<JoinHandle<u64>> = (0..count)
        .map(|number| std::thread::spawn(move || garbage_of(port, number, until)))
        .collect();
    guests.into_iter().filter_map(|guest| guest.join().ok()).sum()
}

fn garbage_of(port: u16, number: usize, until: Instant) -> u64 {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ u64::try_from(number).unwrap_or(0));
    let mut said = 0;
    let mut sink = [0; 4096];
    while Instant::now() < until {
        let Ok(mut guest) = connect(port, number) else { continue };
        guest.set_read_timeout(Some(Duration::from_millis(5))).ok();
        for _ in 0..dice.below(40) {
            let piece = dice.piece();
            if guest.write_all(&piece).is_err() || Instant::now() > until {
                break;
            }
            said += u64::try_from(piece.len()).unwrap_or(0);
            if dice.below(3) == 0 && matches!(guest.read(&mut sink), Ok(0)) {
                break;
            }
        }
    }
    said
}

/// Pseudo-random numbers: the same siege each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Words of SMTP in the wrong place, octets that are none, halves of both.
    fn piece(&mut self) -> Vec<u8> {
        const WORDS: [&[u8]; 18] = [
            b"EHLO x\r\n",
            b"HELO \xff\xfe\r\n",
            b"MAIL FROM:<a@example.org>\r\n",
            b"MAIL FROM:<",
            b"RCPT TO:<anna@example.org>\r\n",
            b"RCPT TO:<\"\\\"@[\r\n",
            b"DATA\r\n",
            b"BDAT 100000 LAST\r\n",
            b"BDAT 5\r\nab",
            b".\r\n",
            b"\r\n.\n",
            b"RSET\r\n",
            b"VRFY root\r\nEXPN all\r\ndebug\r\nwiz\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"STARTTLS\r\n\x16\x03\x01\x02\x00\x01\x00",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"NOOP\r\nHELP\r\nQUIT",
            b"Received: x\r\nSubject:",
        ];
        match self.below(6) {
            0 => {
                let count = self.below(3_000);
                self.bytes(count)
            }
            1 => {
                let count = usize::try_from(self.below(20_000)).unwrap_or(0);
                vec![b'A'; count]
            }
            _ => {
                let place = usize::try_from(self.below(18)).unwrap_or(0);
                WORDS.get(place).copied().unwrap_or_default().to_vec()
            }
        }
    }
}
