//! The fields that we add: Received (RFC 5321, 4.4) in sendmail's form, Return-Path, Message-Id.
//!
//! What others said stands in them only as printable ASCII without what could end a comment or a line.

use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;

use super::Date;
use crate::QueueId;
use crate::domain;
use crate::escape;

/// What a Received field tells.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// What HELO or EHLO said; empty: nothing.
    pub hello: &'a [u8],
    /// The client's name by reverse look-up; empty: none.
    pub client_name: &'a [u8],
    /// The client's address.
    pub client_address: IpAddr,
    /// Whether the name does not lead back to the address.
    pub is_forged: bool,
    /// Our own name.
    pub by: &'a [u8],
    /// SMTP, ESMTP, ESMTPS, LMTP….
    pub protocol: &'a str,
    /// The message's name.
    pub id: QueueId,
    /// The recipient, if there is only one.
    pub recipient: Option<&'a [u8]>,
    /// When the message began.
    pub date: Date,
}

impl Received<'_> {
    /// Appends the field with its line end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Received: ");
        out.extend_from_slice(b"from ");
        if self.hello.is_empty() {
            self.write_client(out);
        } else {
            word(self.hello, out);
            out.extend_from_slice(b" (");
            self.write_client(out);
            out.push(b')');
        }
        out.extend_from_slice(b"\r\n\tby ");
        word(self.by, out);
        let mut text = Text(out);
        // Writing into memory does not fail.
        let _written = write!(text, " (Ironpost) with {} id {}", self.protocol, self.id);
        // An address of odd octets is left out: what is not printable has no place here.
        match self.recipient.filter(|address| address.iter().copied().all(escape::is_printable)) {
            Some(address) => {
                out.extend_from_slice(b"\r\n\tfor <");
                out.extend_from_slice(address);
                out.extend_from_slice(b">; ");
            }
            None => out.extend_from_slice(b";\r\n\t"),
        }
        let _written = write!(Text(out), "{}\r\n", self.date);
    }

    fn write_client(&self, out: &mut Vec<u8>) {
        if !self.client_name.is_empty() {
            word(self.client_name, out);
            out.push(b' ');
        }
        let _written = write!(Text(out), "[{}]", domain::tagged(self.client_address));
        if self.is_forged {
            out.extend_from_slice(b" (may be forged)");
        }
    }
}

/// Appends `Return-Path: <…>` with its line end.
pub fn write_return_path(address: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Return-Path: <");
    out.extend(address.iter().copied().filter(|octet| !octet.is_ascii_control()));
    out.extend_from_slice(b">\r\n");
}

/// Appends a Message-Id as sendmail makes it: `<202611210736.QID@host>`, with its line end.
pub fn write_message_id(unix_s: u64, id: QueueId, host: &[u8], out: &mut Vec<u8>) {
    let _written = write!(Text(out), "Message-Id: <{}.{id}@", crate::date::compact(unix_s));
    word(host, out);
    out.extend_from_slice(b">\r\n");
}

/// Appends a name: letters, digits and the marks of names and literals; anything else becomes `?`.
fn word(text: &[u8], out: &mut Vec<u8>) {
    let shown = |&octet: &u8| {
        if octet.is_ascii_alphanumeric() || b"-_.:[]".contains(&octet) { octet } else { b'?' }
    };
    out.extend(text.iter().take(domain::DOMAIN_BYTES_MAX).map(shown));
}

/// Lets `write!` append to a vector.
struct Text<'a>(&'a mut Vec<u8>);

impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    const PLAIN: Received<'_> = Received {
        hello: b"client.good.test",
        client_name: b"client.good.test",
        client_address: IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 10)),
        is_forged: false,
        by: b"mail.example.test",
        protocol: "ESMTP",
        id: QueueId::new(1_790_000_000, 42),
        recipient: Some(b"alice@example.test"),
        date: Date { unix_s: 1_795_246_593, offset_s: 0 },
    };

    fn written(received: Received<'_>) -> String {
        let mut out = Vec::new();
        received.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_reads_like_sendmails() {
        assert_eq!(
            written(PLAIN),
            "Received: from client.good.test (client.good.test [192.0.2.10])\r\n\
             \tby mail.example.test (Ironpost) with ESMTP id 05O9EDK0000042\r\n\
             \tfor <alice@example.test>; Sat, 21 Nov 2026 07:36:33 +0000\r\n"
        );
        let forged = Received { is_forged: true, recipient: None, hello: b"", ..PLAIN };
        assert_eq!(
            written(forged),
            "Received: from client.good.test [192.0.2.10] (may be forged)\r\n\
             \tby mail.example.test (Ironpost) with ESMTP id 05O9EDK0000042;\r\n\
             \tSat, 21 Nov 2026 07:36:33 +0000\r\n"
        );
    }

    #[test]
    fn nobody_can_end_its_line() {
        let evil = Received {
            hello: b"a\r\nX: y(",
            client_name: b"b)\n",
            recipient: Some(b"c\r\n@d"),
            ..PLAIN
        };
        let text = written(evil);
        assert_eq!(text.lines().count(), 3);
        assert!(text.starts_with("Received: from a??X:?y? (b?? ["), "{text}");
        let mut out = Vec::new();
        write_return_path(b"a\r\nb", &mut out);
        assert_eq!(out, b"Return-Path: <ab>\r\n");
    }

    #[test]
    fn a_message_id_names_second_message_and_host() {
        let mut out = Vec::new();
        write_message_id(1_795_246_593, PLAIN.id, b"mail.example.test", &mut out);
        assert_eq!(out, b"Message-Id: <202611210736.05O9EDK0000042@mail.example.test>\r\n");
    }
}
