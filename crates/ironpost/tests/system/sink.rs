//! A next hop that takes everything, or refuses it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server on a port of loopback; its threads end with the test.
pub(crate) struct Sink {
    pub(crate) port: u16,
    letters: Arc<Mutex<Vec<Letter>>>,
}

/// What came: the sender, the recipients, the text.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) text: String,
}

impl Sink {
    /// Begins on a port, that takes recipients with this reply.
    pub(crate) fn start(port: u16, recipient_reply: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let kept = Arc::clone(&letters);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    // A client that goes away ends its own session only.
                    drop(serve(&stream, &kept, recipient_reply));
                });
            }
        });
        Self { port, letters }
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }

    /// Letters by the word behind `X-Number:`.
    pub(crate) fn numbers(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for letter in self.letters.lock().unwrap().iter() {
            crate::house::count(&letter.text, &mut found);
        }
        found
    }
}

fn serve(
    stream: &TcpStream,
    kept: &Mutex<Vec<Letter>>,
    recipient_reply: &str,
) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    output.write_all(b"220 sink.example.test ESMTP\r\n")?;
    let (mut sender, mut recipients) = (String::new(), Vec::new());
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (verb, rest) = line.trim_end().split_at(line.trim_end().len().min(4));
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink.example.test\r\n250-PIPELINING\r\n250-DSN\r\n250 8BITMIME",
            "MAIL" => {
                rest.clone_into(&mut sender);
                recipients.clear();
                "250 2.1.0 Ok"
            }
            "RCPT" => {
                if recipient_reply.starts_with('2') {
                    recipients.push(rest.to_owned());
                }
                recipient_reply
            }
            "DATA" if recipients.is_empty() => "554 5.5.1 No valid recipients",
            "DATA" => {
                output.write_all(b"354 Go on\r\n")?;
                let text = read_text(&mut input)?;
                let (sender, recipients) = (sender.clone(), std::mem::take(&mut recipients));
                kept.lock().unwrap().push(Letter { sender, recipients, text });
                "250 2.0.0 Ok"
            }
            "QUIT" => {
                return output.write_all(b"221 2.0.0 Bye\r\n");
            }
            _ => "250 2.0.0 Ok",
        };
        output.write_all(format!("{reply}\r\n").as_bytes())?;
    }
}

/// The text up to the dot.
fn read_text(input: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let start = text.len();
        if input.read_line(&mut text)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &text[start..] == ".\r\n" {
            text.truncate(start);
            return Ok(text);
        }
    }
}
