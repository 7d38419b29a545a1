//! Class `socket`: a server that answers netstrings (sendmail manual, 5.7.1): asked `NAME KEY`, it says `OK value`,
//! `NOTFOUND`, `TEMP why`, `TIMEOUT why` or `PERM why`.

use std::time::{Duration, Instant};

use policy_cf::{Answer, MapSpec, OpenFailure};

use crate::door::{Door, Server, Stream};

/// How long a server may take for each step.
const TIME_MAX: Duration = Duration::from_secs(30);
/// The longest answer, in bytes (sendmail's limit).
const ANSWER_BYTES_MAX: usize = 100_000;
/// Digits that can stand for such a size.
const SIZE_DIGITS_MAX: usize = 6;
/// sysexits.h.
const UNAVAILABLE: u8 = 69;
const TEMPORARY: u8 = 75;

/// A map of class socket.
pub(crate) struct Socket {
    name: Box<[u8]>,
    server: Server,
    door: Door,
    connection: Option<Box<dyn Stream>>,
    keeps_case: bool,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Socket {
    /// Reads the address of a K line: `local:/path`, `unix:/path`, `inet:port@host`, `inet6:port@host`.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn open(spec: &MapSpec, door: Door) -> Result<Self, OpenFailure> {
        let server = server(&spec.rest).ok_or_else(|| OpenFailure {
            text: [b"socket map \"", &*spec.name, b"\": bad address ", &*spec.rest].concat(),
            class_unknown: false,
        })?;
        door.announce(&server);
        Ok(Self {
            name: spec.name.clone(),
            server,
            door,
            connection: None,
            keeps_case: spec.keeps_case(),
        })
    }

    /// Asks the server; a connection that was kept may have been closed, so a second try is made.
    pub(crate) fn lookup(&mut self, key: &[u8]) -> Answer {
        let key = if self.keeps_case { key.to_vec() } else { key.to_ascii_lowercase() };
        let was_open = self.connection.is_some();
        let mut answer = self.ask(&key);
        if answer.is_none() && was_open {
            answer = self.ask(&key);
        }
        let Some(answer) = answer else { return Answer::TempFail(TEMPORARY) };
        let (word, rest) = match answer.iter().position(|&octet| octet == b' ') {
            Some(at) => (answer.get(..at), answer.get(at.saturating_add(1)..)),
            None => (Some(&*answer), None),
        };
        match word.unwrap_or_default() {
            b"OK" => Answer::Found(rest.unwrap_or_default().to_vec()),
            b"NOTFOUND" => Answer::NotFound(0),
            b"PERM" => Answer::NotFound(UNAVAILABLE),
            _ => Answer::TempFail(TEMPORARY),
        }
    }

    fn ask(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let deadline = Instant::now().checked_add(TIME_MAX)?;
            let stream = self.door.connect(&self.server, TIME_MAX, deadline).ok()?;
            stream.limit(TIME_MAX).ok()?;
            stream
        };
        let size = self.name.len().saturating_add(key.len()).saturating_add(1);
        let question = [size.to_string().as_bytes(), b":", &*self.name, b" ", key, b","].concat();
        connection.write_all(&question).ok()?;
        let answer = read_netstring(&mut |octets| connection.read_exact(octets).ok())?;
        self.connection = Some(connection);
        Some(answer)
    }
}

fn server(address: &[u8]) -> Option<Server> {
    let address = str::from_utf8(address).ok()?;
    let (kind, place) = address.split_once(':')?;
    match kind {
        "local" | "unix" => Some(Server::Local(place.into())),
        "inet" | "inet6" => {
            let (port, host) = place.split_once('@')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some(Server::Inet(host.to_owned(), port.parse().ok()?))
        }
        _ => None,
    }
}

/// Reads `size:octets,`; `None` if it is none.
fn read_netstring(read: &mut dyn FnMut(&mut [u8]) -> Option<()>) -> Option<Vec<u8>> {
    let mut size = 0_usize;
    for _ in 0..=SIZE_DIGITS_MAX {
        let mut octet = [0];
        read(&mut octet)?;
        match octet {
            [b':'] => {
                let mut octets = vec![0; size];
                read(&mut octets)?;
                read(&mut octet)?;
                return (octet == *b",").then_some(octets);
            }
            [digit @ b'0'..=b'9'] => {
                size = size.checked_mul(10)?.checked_add(usize::from(digit.wrapping_sub(b'0')))?;
            }
            _ => return None,
        }
        if size > ANSWER_BYTES_MAX {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::read_netstring;

    fn reading(text: &[u8]) -> Option<Vec<u8>> {
        let mut rest = text;
        read_netstring(&mut |octets| {
            let (now, later) = rest.split_at_checked(octets.len())?;
            octets.copy_from_slice(now);
            rest = later;
            Some(())
        })
    }

    #[test]
    fn an_answer_is_taken_only_whole() {
        assert_eq!(reading(b"4:OK a,"), Some(b"OK a".to_vec()));
        assert_eq!(reading(b"4:OK a"), None);
        assert_eq!(reading(b"4:OK a;"), None);
        assert_eq!(reading(b"99999999:"), None);
        assert_eq!(reading(b"-1:"), None);
    }
}
