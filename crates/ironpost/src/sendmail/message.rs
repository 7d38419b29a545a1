//! A message as a program writes it, made into one that can travel: CR LF line ends, the end at a lone dot,
//! recipients from the header, the fields that must be there.

use super::flags::Flags;
use wire::header::{Field, Fields};

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Login name.
    pub(crate) login: Vec<u8>,
    /// Full name, from the user database.
    pub(crate) full_name: Vec<u8>,
    /// The name of this system.
    pub(crate) host: Vec<u8>,
}

impl Caller {
    /// As the kernel and the user database say.
    pub(crate) fn of_this_process() -> Self {
        let user = sys::user::by_uid(sys::user::real_uid()).ok().flatten();
        let gecos = user.map(|user| user.gecos).unwrap_or_default();
        let full_name = gecos.split(|&octet| octet == b',').next().unwrap_or_default().to_vec();
        Self { login: sys::user::current_name(), full_name, host: sys::host_name() }
    }
}

/// A message that can be handed in.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) login: Box<[u8]>,
    pub(crate) sender: Box<[u8]>,
    pub(crate) recipients: Vec<Box<[u8]>>,
    pub(crate) text: Vec<u8>,
}

/// Fields with recipients.
const RECIPIENT_FIELDS: [&[u8]; 3] = [b"to", b"cc", b"bcc"];

impl Message {
    /// Reads the text of standard input.
    pub(crate) fn read(input: &[u8], flags: &Flags, caller: &Caller) -> Self {
        let text = with_line_ends(input, flags.ignores_dots);
        let head_end = head_end(&text);
        let (head, body) = text.split_at_checked(head_end).unwrap_or((&text, b""));
        let mut recipients: Vec<Box<[u8]>> = Vec::new();
        for words in &flags.recipients {
            add(&mut recipients, words);
        }
        let (mut has_date, mut has_from, mut has_id) = (false, false, false);
        let mut kept = Vec::with_capacity(text.len().saturating_add(256));
        for field in Fields::new(head) {
            let Field { name, value, whole } = field;
            let name = name.to_ascii_lowercase();
            has_date |= name == b"date";
            has_from |= name == b"from";
            has_id |= name == b"message-id";
            if flags.from_header && RECIPIENT_FIELDS.contains(&name.as_slice()) {
                add(&mut recipients, value);
            }
            if name != b"bcc" {
                kept.extend_from_slice(whole);
            }
        }
        if !has_date {
            kept.extend_from_slice(format!("Date: {}\r\n", daemon::now()).as_bytes());
        }
        let sender = sender(flags, caller);
        if !has_from {
            kept.extend_from_slice(&from(flags, caller, &sender));
        }
        if !has_id {
            kept.extend_from_slice(&message_id(caller));
        }
        if !body.starts_with(b"\r\n") {
            kept.extend_from_slice(b"\r\n");
        }
        kept.extend_from_slice(body);
        let login = caller.login.clone().into();
        Self { login, sender: sender.into(), recipients, text: kept }
    }
}

/// CR LF ends; without `-i`, the text ends at a line with one dot.
fn with_line_ends(input: &[u8], ignores_dots: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(input.len().saturating_add(input.len() / 32));
    let mut lines = input.split(|&octet| octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && lines.peek().is_none() {
            break;
        }
        if line == b"." && !ignores_dots {
            break;
        }
        // A CR inside a line would be a line end to somebody else.
        text.extend(line.iter().filter(|&&octet| octet != b'\r'));
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// Where the header ends: before the empty line, or before the first line that is no field.
fn head_end(text: &[u8]) -> usize {
    let mut end = 0_usize;
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        let is_continuation = line.starts_with(b" ") || line.starts_with(b"\t");
        let colon = line.iter().position(|&octet| octet == b':').unwrap_or(0);
        let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
        let is_field = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        if line == b"\r\n" || !(is_field || (is_continuation && end > 0)) {
            break;
        }
        end = end.saturating_add(line.len());
    }
    end
}

/// Adds the addresses of a list, each once.
fn add(recipients: &mut Vec<Box<[u8]>>, list: &[u8]) {
    for address in addresses(list) {
        if !address.is_empty() && !recipients.iter().any(|known| **known == *address) {
            recipients.push(address);
        }
    }
}

/// The addresses of a list; one that can't be read as a list is taken as one address, and refused by name.
fn addresses(list: &[u8]) -> Vec<Box<[u8]>> {
    wire::address::list(list).unwrap_or_else(|_| vec![list.trim_ascii().into()])
}

/// `-f`, or who calls, at this system.
fn sender(flags: &Flags, caller: &Caller) -> Vec<u8> {
    match &flags.sender {
        Some(sender) if sender.as_slice() == b"<>" || sender.is_empty() => Vec::new(),
        Some(sender) => addresses(sender).into_iter().next().unwrap_or_default().into_vec(),
        None => [caller.login.as_slice(), b"@", &caller.host].concat(),
    }
}

fn from(flags: &Flags, caller: &Caller, sender: &[u8]) -> Vec<u8> {
    let name = flags.full_name.as_deref().unwrap_or(&caller.full_name);
    let own = [caller.login.as_slice(), b"@", &caller.host].concat();
    let address = if sender.is_empty() { own.as_slice() } else { sender };
    let mut field = b"From: ".to_vec();
    let name: Vec<u8> = name.iter().copied().filter(|octet| !octet.is_ascii_control()).collect();
    if name.is_empty() {
        field.extend_from_slice(address);
    } else {
        field.push(b'"');
        for &octet in &name {
            if octet == b'"' || octet == b'\\' {
                field.push(b'\\');
            }
            field.push(octet);
        }
        field.extend_from_slice(b"\" <");
        field.extend_from_slice(address);
        field.push(b'>');
    }
    field.extend_from_slice(b"\r\n");
    field
}

fn message_id(caller: &Caller) -> Vec<u8> {
    let number = sys::random_u128().unwrap_or_else(|_| u128::from(sys::clock::realtime_us()));
    let mut field = format!("Message-ID: <{number:032x}@").into_bytes();
    field.extend_from_slice(&caller.host);
    field.extend_from_slice(b">\r\n");
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn message(text: &str, words: &[&str]) -> Message {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let caller = Caller {
            login: b"anna".to_vec(),
            full_name: b"Anna \"A\"".to_vec(),
            host: b"host.example".to_vec(),
        };
        Message::read(text.as_bytes(), &Flags::read(&words).unwrap(), &caller)
    }

    #[test]
    fn bcc_is_a_recipient_and_not_a_field() {
        let message =
            message("To: a@x\nBcc: b@x\nDate: d\nFrom: f\nMessage-ID: i\n\nhi\n", &["-t"]);
        assert_eq!(message.recipients, [b"a@x"[..].into(), b"b@x"[..].into()]);
        assert_eq!(
            message.text,
            b"To: a@x\r\nDate: d\r\nFrom: f\r\nMessage-ID: i\r\n\r\nhi\r\n".to_vec()
        );
    }

    #[test]
    fn a_lone_dot_ends_the_text_unless_dots_are_ignored() {
        let head = "Date: d\nFrom: f\nMessage-ID: i\n\n";
        let text = format!("{head}a\n.\nb\n");
        assert!(message(&text, &["x@y"]).text.ends_with(b"\r\n\r\na\r\n"));
        assert!(message(&text, &["-i", "x@y"]).text.ends_with(b"a\r\n.\r\nb\r\n"));
    }

    #[test]
    fn a_text_without_header_gets_one() {
        let message = message("just text\n", &["x@y"]);
        let text = String::from_utf8(message.text).unwrap();
        assert!(text.contains("From: \"Anna \\\"A\\\"\" <anna@host.example>\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\njust text\r\n"), "{text}");
        assert_eq!(*message.sender, *b"anna@host.example");
    }

    #[test]
    fn the_null_sender_is_kept() {
        assert_eq!(*message("x\n", &["-f", "<>", "a@b"]).sender, *b"");
    }
}
