//! What came of a delivery: the typed answers of `relay` and `deliver` (RFC 3463, RFC 3464).

use crate::batch::Batch;
use crate::coding::{Reader, RecordError, put_number, put_octets};
use alloc::{boxed::Box, format, vec::Vec};
use serde::{Deserialize, Serialize};

/// The most octets of a remote reply or of a reason of our own that are kept; longer ones are cut.
pub const TEXT_BYTES_MAX: usize = 1024;

/// The most octets of a host's name and address that are kept.
pub const HOST_BYTES_MAX: usize = 320;

/// The most octets of a command that are kept.
pub const COMMAND_BYTES_MAX: usize = 512;

/// What stands in place of the command where the whole message was answered: reports show it as DATA.
pub const DOT: &[u8] = b".";

/// What stands in place of a reply that did not come; the host follows.
pub const READ_ERROR: &[u8] = b"451 4.4.1 reply: read error from ";

/// What stands in place of the answer to RCPT when the server closes instead; the host follows.
pub const RESET: &[u8] = b"421 4.4.1 Connection reset by ";

/// What stands in place of the command where a program failed; the number that it ended with follows.
pub const EXIT: &[u8] = b"exit ";

/// The status of a message above what its mailer takes.
pub(crate) const TOO_LARGE: Status = Status(5, 3, 4);

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status(pub u8, pub u16, pub u16);

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Status {
    /// The same subject and detail in another class.
    #[must_use]
    pub fn in_class(self, class: u8) -> Self {
        Self(class, self.1, self.2)
    }
}

/// Who said a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voice {
    /// A server, in SMTP or LMTP: see [`Trouble::reply`].
    Smtp,
    /// An agent, a file system, or we ourselves.
    Local,
}

/// Why a recipient was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The enhanced status code.
    pub status: Status,
    /// What it comes to, as the log's `stat=` says it. Stored cleaned: printable ASCII or UTF-8 octets, at most
    /// [`TEXT_BYTES_MAX`].
    pub text: Box<[u8]>,
    /// The host that said it, with its address behind a blank where it is known (`name. [address]`); empty: ourselves.
    pub host: Box<[u8]>,
    /// Who said it.
    pub voice: Voice,
    /// The server's own words, if it had any; without them `text` is all there is.
    pub said: Option<Box<Said>>,
}

/// What a server said, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Our command; empty: none was needed. Where others went out with it before the reply came, the last of them stands behind
    /// it, with LF between. At most [`COMMAND_BYTES_MAX`] octets.
    pub command: Box<[u8]>,
    /// The lines of its reply, codes included, with LF between them. At most [`TEXT_BYTES_MAX`] octets.
    pub reply: Box<[u8]>,
}

impl Said {
    /// The lines of the reply.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.reply.split(|&octet| octet == b'\n')
    }

    /// The first line, as the log's `reply=` has it: the hyphen of a reply with more lines stays only where RCPT was
    /// answered.
    #[must_use]
    pub fn logged(&self) -> Box<[u8]> {
        let mut line = self.lines().next().unwrap_or_default().to_vec();
        if let Some(hyphen) = line.get_mut(3).filter(|_| !self.command.starts_with(b"RCPT")) {
            *hyphen = b' ';
        }
        line.into()
    }

    /// The first line of the reply behind its codes.
    fn words(&self) -> Option<&[u8]> {
        let line = self.lines().next()?.get(4..)?;
        let first = line.split(|&octet| octet == b' ').next().unwrap_or_default();
        let is_status = first.split(|&octet| octet == b'.').count() == 3
            && first.iter().all(|octet| octet.is_ascii_digit() || *octet == b'.');
        let behind = first.len().saturating_add(1);
        Some(if is_status { line.get(behind..).unwrap_or_default() } else { line })
    }

    /// The command that was the last to go out before the reply came.
    #[must_use]
    pub fn last_command(&self) -> &[u8] {
        self.command.rsplit(|&octet| octet == b'\n').next().unwrap_or_default()
    }

    fn cleaned(&self) -> Self {
        Self {
            command: cleaned_lines(&self.command, COMMAND_BYTES_MAX),
            reply: cleaned_lines(&self.reply, TEXT_BYTES_MAX),
        }
    }
}

impl Trouble {
    /// Trouble in our own words.
    #[must_use]
    pub fn ours(status: Status, text: &[u8]) -> Self {
        Self { status, text: text.into(), host: Box::default(), voice: Voice::Local, said: None }
    }

    /// A message above what its mailer takes (sendmail's `M=`), in octets; 0: any size.
    #[must_use]
    pub fn too_large(batch: &Batch, bytes_max: u64) -> Option<Self> {
        if bytes_max == 0 || batch.size_bytes <= bytes_max {
            return None;
        }
        // Ours, and not of one recipient: an empty first line says so.
        let reply = format!("\n552 5.3.4 Message is too large; {bytes_max} bytes max");
        let said = Said { command: Box::default(), reply: reply.into_bytes().into() };
        Some(Self {
            host: batch.host.clone(),
            said: Some(Box::new(said)),
            ..Self::ours(TOO_LARGE, b"Service unavailable")
        })
    }

    /// The same, bounded, with nothing in it that a terminal or a header could misread.
    #[must_use]
    pub fn cleaned(self) -> Self {
        Self {
            text: cleaned(&self.text, TEXT_BYTES_MAX),
            host: cleaned(&self.host, HOST_BYTES_MAX),
            said: self.said.map(|said| Box::new(said.cleaned())),
            ..self
        }
    }

    /// The first line of the server's or agent's reply, code first, if it spoke.
    #[must_use]
    pub fn reply(&self) -> Option<&[u8]> {
        match (&self.said, self.voice) {
            (Some(said), _) => said.lines().next(),
            (None, Voice::Smtp) => Some(&self.text),
            (None, Voice::Local) => None,
        }
    }

    /// The same with what a server said before this trouble came, where it brings no words of its own: the last that was said
    /// is what the log tells.
    #[must_use]
    pub fn after(self, earlier: Self) -> Self {
        match self.said {
            Some(_) => self,
            None => Self { said: earlier.said, voice: earlier.voice, ..self },
        }
    }

    /// Whether the message is too large for where it goes, as we know or as its server says to MAIL: then no report carries
    /// it back, as no large one could.
    #[must_use]
    pub fn is_of_size(&self) -> bool {
        self.said.as_ref().is_some_and(|said| {
            let is_ours = said.command.is_empty() && said.reply.starts_with(b"\n552 5.3.4 ");
            is_ours || (said.command.starts_with(b"MAIL") && said.reply.starts_with(b"552"))
        })
    }

    /// The number that a program ended with, if it is one that failed.
    #[must_use]
    pub fn exit(&self) -> Option<&[u8]> {
        let said = self.said.as_ref().filter(|_| self.voice == Voice::Local)?;
        said.command.strip_prefix(EXIT)
    }

    /// Whether that number says nothing (sysexits.h).
    #[must_use]
    pub(crate) fn is_unknown_exit(&self) -> bool {
        self.text.starts_with(b"unknown mailer error")
    }

    /// Whether it is this host's configuration that is wrong: the postmaster hears of it, too.
    #[must_use]
    pub fn is_of_configuration(&self) -> bool {
        self.text.starts_with(b"Local configuration error")
    }

    /// What a listing of the queue shows: of a connection that broke, that; of what we said ourselves, our words; else
    /// `Deferred: ` and the text.
    #[must_use]
    pub fn shown(&self) -> Box<[u8]> {
        let first = self.said.as_ref().and_then(|said| said.lines().next()).unwrap_or_default();
        if let Some(host) = first.strip_prefix(READ_ERROR).or_else(|| first.strip_prefix(RESET)) {
            return [b"reply: read error from ", host].concat().into();
        }
        if self.voice == Voice::Local
            && let Some(said) = self.said.as_ref().filter(|said| said.command.is_empty())
            && let Some(words) = said.words().filter(|words| !words.is_empty())
        {
            return words.into();
        }
        let colon: &[u8] = if self.text.is_empty() { b"" } else { b": " };
        [b"Deferred", colon, &*self.text].concat().into()
    }

    /// The name in `host`, without its dot and without the address.
    #[must_use]
    pub fn host_name(&self) -> &[u8] {
        let name = self.host.split(|&octet| octet == b' ').next().unwrap_or_default();
        name.strip_suffix(b".").unwrap_or(name)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.status.0);
        put_number(out, self.status.1.into());
        put_number(out, self.status.2.into());
        out.push(match (self.voice, &self.said) {
            (Voice::Smtp, None) => 0,
            (Voice::Local, None) => 1,
            (Voice::Smtp, Some(_)) => 2,
            (Voice::Local, Some(_)) => 3,
        });
        put_octets(out, &self.text);
        put_octets(out, &self.host);
        if let Some(said) = &self.said {
            put_octets(out, &said.command);
            put_octets(out, &said.reply);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let status = Status(reader.octet()?, reader.number_16()?, reader.number_16()?);
        let (voice, has_said) = match reader.octet()? {
            0 => (Voice::Smtp, false),
            1 => (Voice::Local, false),
            2 => (Voice::Smtp, true),
            3 => (Voice::Local, true),
            _ => return Err(RecordError::Value),
        };
        let text = reader.octets(TEXT_BYTES_MAX)?;
        let host = reader.octets(HOST_BYTES_MAX)?;
        let said = if has_said {
            let command = reader.octets(COMMAND_BYTES_MAX)?;
            Some(Box::new(Said { command, reply: reader.octets(TEXT_BYTES_MAX)? }))
        } else {
            None
        };
        Ok(Self { status, text, host, voice, said })
    }
}

/// Whose trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// This recipient's or this message's alone (a 4xx to RCPT or to the dot): others go on.
    Recipient,
    /// The whole destination's: no connection, a 421, no answer from DNS. Everything for it waits.
    Destination,
}

/// What came of one recipient in one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// In a mailbox, or taken by a program or an LMTP server: the last hop.
    Delivered {
        /// The host or agent that took it; empty: ourselves.
        host: Box<[u8]>,
        /// What it said.
        text: Box<[u8]>,
        /// What a report tells of it: a server's answer to the recipient, code first, or what a program printed; empty: nothing.
        answer: Box<[u8]>,
    },
    /// Taken by the next server.
    Relayed {
        /// The server.
        host: Box<[u8]>,
        /// What it said.
        text: Box<[u8]>,
        /// What it said to the recipient, code first; empty: not known.
        accepted: Box<[u8]>,
        /// Whether it speaks DSN (RFC 3461), and so owes all further reports.
        reports: bool,
        /// Whether it speaks DELIVERBY (RFC 2852), and so knows of the deadline.
        keeps_time: bool,
    },
    /// Not now.
    Later {
        /// Why.
        trouble: Trouble,
        /// Whose trouble it is.
        scope: Scope,
    },
    /// Not ever.
    Never(Trouble),
}

/// `text` with every octet that is not printable ASCII or part of UTF-8 text as a blank or `?`, without blanks at
/// the ends, at most `bytes_max` octets. What a stranger said goes through here before it is
/// stored, logged or quoted: an escape sequence or a line end in it would speak in our name.
#[must_use]
pub fn cleaned(text: &[u8], bytes_max: usize) -> Box<[u8]> {
    let mut clean = Vec::with_capacity(text.len().min(bytes_max));
    let is_utf8 = core::str::from_utf8(text).is_ok();
    for &octet in text.trim_ascii() {
        match octet {
            b' '..=b'~' => clean.push(octet),
            b'\t' | b'\r' | b'\n' => clean.push(b' '),
            // The second octet of U+0080..U+009F, the C1 controls.
            0x80..=0x9f if clean.last() == Some(&0xc2) => clean.push(0xa0),
            0x80..=0xff if is_utf8 => clean.push(octet),
            _ => clean.push(b'?'),
        }
        if clean.len() >= bytes_max {
            break;
        }
    }
    while is_utf8 && core::str::from_utf8(&clean).is_err() {
        clean.pop();
    }
    clean.into()
}

/// Lines that are [`cleaned`] each by itself, together at most `bytes_max` octets.
pub(crate) fn cleaned_lines(lines: &[u8], bytes_max: usize) -> Box<[u8]> {
    let mut out = Vec::new();
    for (number, line) in lines.split(|&octet| octet == b'\n').enumerate() {
        let separator = usize::from(number > 0);
        let left = bytes_max.saturating_sub(out.len()).saturating_sub(separator);
        if left == 0 {
            break;
        }
        out.extend_from_slice(b"\n".get(..separator).unwrap_or_default());
        out.extend_from_slice(&cleaned(line, left));
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_sequence_in_a_reply_loses_its_teeth() {
        assert_eq!(*cleaned(b"550 \x1b[2Jno\r\nSubject: x", 100), *b"550 ?[2Jno  Subject: x");
        assert_eq!(
            *cleaned("caf\u{e9} \u{9b}2J".as_bytes(), 100),
            *"caf\u{e9} \u{a0}2J".as_bytes()
        );
    }

    proptest! {
        #[test]
        fn a_cleaned_text_is_bounded_and_printable(text: Vec<u8>, max in 0_usize..40) {
            let clean = cleaned(&text, max);
            prop_assert!(clean.len() <= max.max(1));
            prop_assert!(clean.iter().all(|&octet| octet >= b' ' && octet != 0x7f));
            prop_assert_eq!(&cleaned(&clean, max.max(1)), &cleaned(&clean, 1000));
        }
    }
}
