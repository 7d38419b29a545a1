//! What of a message says whether it is to be answered (RFC 3834, 2; RFC 2919; RFC 2369).

use std::io::{BufRead, Read};

/// Octets of the header that are looked at.
const HEADER_BYTES_MAX: u64 = 256 * 1024;

/// Octets of a field that are kept for the answer.
const KEPT_BYTES_MAX: usize = 512;

/// Local parts that are programs.
const MACHINES: [&[u8]; 8] = [
    b"mailer-daemon",
    b"mailer",
    b"postmaster",
    b"uucp",
    b"listserv",
    b"majordomo",
    b"daemon",
    b"root-daemon",
];

/// How local parts of lists and programs begin and end.
const BEGINNINGS: [&[u8]; 1] = [b"owner-"];
const ENDS: [&[u8]; 6] = [b"-request", b"-relay", b"-owner", b"-bounces", b"-errors", b"-noreply"];

/// A message, as far as its header tells.
#[derive(Debug, Default)]
pub(super) struct Letter {
    /// Whether there is a `From ` line.
    pub(super) has_separator: bool,
    /// The envelope sender that it names.
    pub(super) sender: Vec<u8>,
    /// The subject, for `$SUBJECT`.
    pub(super) subject: Vec<u8>,
    /// Message-Id, for In-Reply-To.
    pub(super) message_id: Vec<u8>,
    /// To, Cc and their like.
    recipients: Vec<Vec<u8>>,
    is_bulk: bool,
}

impl Letter {
    /// Reads the header.
    pub(super) fn read(input: &mut impl BufRead) -> Self {
        let mut letter = Self::default();
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let mut input = input.take(HEADER_BYTES_MAX);
        loop {
            let mut line = Vec::new();
            // An input that fails ends here.
            if input.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                break;
            }
            let line = line.trim_ascii_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix(b"From ") {
                letter.has_separator = true;
                letter.sender = sender_of(rest);
            } else if line.starts_with(b"From") && line.len() == 4 {
                // The blank went with the line's end.
                letter.has_separator = true;
            } else if line.first().is_some_and(u8::is_ascii_whitespace) {
                if let Some(field) = fields.last_mut() {
                    field.extend_from_slice(line);
                }
            } else {
                fields.push(line.to_vec());
            }
        }
        for field in &fields {
            letter.field(field);
        }
        letter
    }

    fn field(&mut self, field: &[u8]) {
        let Some(colon) = field.iter().position(|&octet| octet == b':') else { return };
        let (name, value) = field.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let word = value.split(|octet| b"; \t(".contains(octet)).next().unwrap_or_default();
        let word = word.to_ascii_lowercase();
        match &*name.trim_ascii().to_ascii_lowercase() {
            b"to" | b"cc" | b"bcc" | b"resent-to" | b"resent-cc" | b"apparently-to" => {
                self.recipients.push(value.to_ascii_lowercase());
            }
            b"precedence" => self.is_bulk |= [&b"bulk"[..], b"junk", b"list"].contains(&&*word),
            b"auto-submitted" => self.is_bulk |= word != b"no",
            b"subject" => self.subject = kept(value),
            b"message-id" => self.message_id = kept(value),
            b"return-path" => self.is_bulk |= value == b"<>",
            b"x-auto-response-suppress" => self.is_bulk |= word != b"none",
            name => self.is_bulk |= name.starts_with(b"list-"),
        }
    }

    /// Whether a program or a list sent it, as its header says.
    pub(super) fn is_of_a_machine(&self) -> bool {
        self.is_bulk
    }

    /// Whether its sender is a program or a list, or nobody who can be answered.
    pub(super) fn is_from_a_machine(&self) -> bool {
        let sender = self.sender.to_ascii_lowercase();
        let local = match sender.iter().rposition(|&octet| octet == b'@') {
            Some(at) => sender.get(..at).unwrap_or_default(),
            None => &sender,
        };
        local.is_empty()
            || sender == b"<>"
            || sender.starts_with(b"-")
            || sender.iter().any(u8::is_ascii_control)
            || MACHINES.contains(&local)
            || BEGINNINGS.iter().any(|begin| local.starts_with(begin))
            || ENDS.iter().any(|end| local.ends_with(end))
    }

    /// Whether one of these names stands in To or Cc as a word of its own.
    pub(super) fn names(&self, names: &[Vec<u8>]) -> bool {
        let is_in = |field: &[u8], name: &[u8]| {
            let name = name.to_ascii_lowercase();
            !name.is_empty()
                && field.windows(name.len()).enumerate().any(|(at, window)| {
                    let is_open =
                        |octet: Option<&u8>| !octet.is_some_and(u8::is_ascii_alphanumeric);
                    let before = at.checked_sub(1).and_then(|before| field.get(before));
                    window == name && is_open(before) && is_open(field.get(at + name.len()))
                })
        };
        names.iter().any(|name| self.recipients.iter().any(|field| is_in(field, name)))
    }
}

/// The address of a `From ` line: up to the first blank that is not quoted.
fn sender_of(rest: &[u8]) -> Vec<u8> {
    let mut is_quoted = false;
    let mut out = Vec::new();
    let mut octets = rest.iter().copied().take(KEPT_BYTES_MAX);
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => is_quoted = !is_quoted,
            b'\\' => {
                out.push(octet);
                out.extend(octets.next());
                continue;
            }
            b' ' | b'\t' if !is_quoted => break,
            _ => {}
        }
        out.push(octet);
    }
    out
}

fn kept(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|octet| !octet.is_ascii_control()).take(KEPT_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(text: &str) -> Letter {
        Letter::read(&mut text.as_bytes())
    }

    #[test]
    fn a_name_counts_as_a_word_of_its_own() {
        let letter = letter("From a@b x\nTo: Bob <bob@x>,\n Another@x, al@y\n\nTo: carol\n");
        let names = |name: &str| letter.names(&[name.into()]);
        assert!(names("bob") && names("another") && names("AL"));
        assert!(!names("other") && !names("carol") && !names(""));
    }

    #[test]
    fn machines_and_lists_get_no_answer() {
        for field in [
            "Precedence: Junk",
            "precedence:list",
            "Auto-Submitted: auto-replied (vacation)",
            "List-Id: <a.b>",
            "Return-Path: <>",
        ] {
            assert!(letter(&format!("From a@b x\n{field}\n\n")).is_of_a_machine(), "{field}");
        }
        assert!(!letter("From a@b x\nAuto-Submitted: no\n\n").is_of_a_machine());
        for sender in
            ["MAILER-DAEMON", "owner-l@x", "l-request@x", "Postmaster@x", "-C/etc@x", "<>"]
        {
            assert!(letter(&format!("From {sender} x\n\n")).is_from_a_machine(), "{sender}");
        }
        assert!(!letter("From joe@x x\n\n").is_from_a_machine());
    }

    #[test]
    fn a_quoted_blank_does_not_end_the_sender() {
        assert_eq!(letter("From \"a b\"@c Sat\n\n").sender, b"\"a b\"@c");
    }
}
