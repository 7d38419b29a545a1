//! A scripted SMTP server for tests: well-behaved until its script says otherwise.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    dead_code,
    unreachable_pub,
    reason = "a test may stop where something is wrong; not every test file uses everything"
)]

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does instead of being nice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Says this, CR LF added, and goes on (or closes after 421).
    Say(&'static str),
    /// Closes the connection without a word.
    Drop,
    /// Says nothing more and keeps the connection.
    Silence,
    /// Says these octets and nothing more.
    Raw(&'static [u8]),
    /// Says an octet every 100 ms, for ever.
    Dribble,
    /// Talks for ever, as fast as it can.
    Flood,
}

/// A deed at the n-th (from 1) time that a phase is reached on a server, over all connections.
/// Phases: `connect`, the verbs, `dot`, and `after` (the reply to the dot was sent).
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub phase: &'static str,
    pub nth: usize,
    pub deed: Deed,
}

/// A transaction that the server took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub connection: usize,
    pub mail: String,
    pub rcpt: Vec<String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub struct Server {
    pub faults: RefCell<Vec<Fault>>,
    pub received: RefCell<Vec<Received>>,
    pub connections: Cell<usize>,
    pub verbs: RefCell<Vec<String>>,
    counts: RefCell<std::collections::HashMap<String, usize>>,
    pub extensions: Cell<&'static [&'static str]>,
}

pub const ALL: &[&str] =
    &["PIPELINING", "SIZE 100000000", "8BITMIME", "DSN", "SMTPUTF8", "ENHANCEDSTATUSCODES"];

impl Server {
    /// Starts a server on a port of its own.
    pub async fn start(faults: &[Fault]) -> (Rc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Rc::new(Self::default());
        server.extensions.set(ALL);
        server.faults.borrow_mut().extend_from_slice(faults);
        let me = Rc::clone(&server);
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                me.connections.set(me.connections.get() + 1);
                let number = me.connections.get();
                let me = Rc::clone(&me);
                tokio::task::spawn_local(async move { me.converse(stream, number).await });
            }
        });
        (server, address)
    }

    /// The deed for this time that the phase is reached.
    fn deed(&self, phase: &str) -> Option<Deed> {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(phase.to_owned()).or_default();
        *count += 1;
        let faults = self.faults.borrow();
        faults.iter().find(|f| f.phase == phase && (f.nth == *count || f.nth == 0)).map(|f| f.deed)
    }

    /// Whether the next reply of the phase is a no.
    fn will_refuse(&self, phase: &str) -> bool {
        let count = self.counts.borrow().get(phase).copied().unwrap_or(0) + 1;
        self.faults.borrow().iter().any(|fault| {
            let is_now = fault.phase == phase && (fault.nth == count || fault.nth == 0);
            is_now && matches!(fault.deed, Deed::Say(text) if text.starts_with(['4', '5']))
        })
    }

    /// Replies nicely or as the script says; false: the conversation is over.
    async fn reply(&self, phase: &str, nice: &str, stream: &mut BufReader<TcpStream>) -> bool {
        let deed = self.deed(phase).unwrap_or(Deed::Raw(b""));
        match deed {
            Deed::Raw(b"") => stream.write_all(format!("{nice}\r\n").as_bytes()).await.is_ok(),
            Deed::Say(text) => {
                let sent = stream.write_all(format!("{text}\r\n").as_bytes()).await.is_ok();
                sent && !text.starts_with("421")
            }
            Deed::Drop => false,
            Deed::Silence => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                false
            }
            Deed::Raw(octets) => {
                drop(stream.write_all(octets).await);
                tokio::time::sleep(Duration::from_mins(1)).await;
                false
            }
            Deed::Dribble => {
                while stream.write_all(b"2").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                false
            }
            Deed::Flood => {
                while stream.write_all(&b"250-more\r\n".repeat(1000)).await.is_ok() {}
                false
            }
        }
    }

    /// What a nice server says, and what it remembers.
    fn nice(&self, verb: &str, text: &str, mail: &mut String, rcpt: &mut Vec<String>) -> String {
        let fixed = match verb {
            "EHLO" => {
                let lines = self.extensions.get().iter().map(|name| format!("250-{name}\r\n"));
                return format!("250-test\r\n{}250 HELP", lines.collect::<String>());
            }
            "MAIL" => {
                let sender = if self.will_refuse("MAIL") { "" } else { &text[10..] };
                sender.clone_into(mail);
                rcpt.clear();
                "250 2.1.0 sender ok"
            }
            "RCPT" if mail.is_empty() => "503 5.5.1 no sender",
            "RCPT" if text.contains("bad") => "550 5.1.1 no such user",
            "RCPT" if text.contains("slow") => "451 4.2.0 come back",
            "RCPT" => {
                rcpt.push(text[8..].to_owned());
                "250 2.1.5 recipient ok"
            }
            "DATA" | "BDAT" if rcpt.is_empty() => "503 5.5.1 no recipient",
            "DATA" => "354 go on",
            "BDAT" => "250 2.0.0 taken",
            "HELO" | "RSET" => "250 2.0.0 ok",
            "QUIT" => "221 2.0.0 bye",
            _ => "500 5.5.1 what",
        };
        fixed.to_owned()
    }

    async fn converse(&self, stream: TcpStream, connection: usize) {
        stream.set_nodelay(true).unwrap();
        let mut stream = BufReader::new(stream);
        if !self.reply("connect", "220 test ESMTP", &mut stream).await {
            return;
        }
        let mut mail = String::new();
        let mut rcpt: Vec<String> = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            self.verbs.borrow_mut().push(verb.clone());
            let nice = self.nice(&verb, &text, &mut mail, &mut rcpt);
            if verb == "BDAT" && self.extensions.get().contains(&"CHUNKING") {
                let size = text.split(' ').nth(1).and_then(|size| size.parse().ok());
                let mut body = vec![0; size.unwrap_or(0)];
                if stream.read_exact(&mut body).await.is_err() {
                    return;
                }
                if !rcpt.is_empty() && !self.will_refuse("BDAT") {
                    let (mail, rcpt) = (mail.clone(), std::mem::take(&mut rcpt));
                    self.received.borrow_mut().push(Received { connection, mail, rcpt, body });
                }
            }
            let starts_body = nice.starts_with("354") && !self.will_refuse("DATA");
            if !self.reply(&verb, &nice, &mut stream).await || verb == "QUIT" {
                return;
            }
            if starts_body {
                let Some(body) = read_body(&mut stream).await else {
                    return;
                };
                let whole = Received { connection, mail: mail.clone(), rcpt: rcpt.clone(), body };
                let is_refused = self.will_refuse("dot");
                if !is_refused {
                    self.received.borrow_mut().push(whole);
                }
                if !self.reply("dot", "250 2.0.0 taken", &mut stream).await {
                    return;
                }
                if self.deed("after").is_some() {
                    return;
                }
                rcpt.clear();
            }
        }
    }
}

/// Reads up to the end of data, dots of transparency taken out.
async fn read_body(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(body);
        }
        body.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
