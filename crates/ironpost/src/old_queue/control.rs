//! A control file (`qf…`) of sendmail's queue: one line a fact, the first letter says which (installation and operation guide,
//! appendix on the queue).
//!
//! Letters that say nothing of what is still to be done are passed over. A letter that is unknown, a version from the future,
//! a file without its last line: the file is not taken, because what is not understood would be lost.

use queue::Notify;

/// The newest version that is understood: that of sendmail 8.18.
const VERSION_MAX: u64 = 8;

/// Recipients of one message; what is more is not taken.
const RECIPIENTS_MAX: usize = queue::RECIPIENTS_MAX;

/// What a control file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// `T`: when it came, in seconds since 1970.
    pub(super) created_s: u64,
    /// `P`.
    pub(super) priority: i64,
    /// `S`, as it stands there.
    pub(super) sender: Vec<u8>,
    /// `R`, with what stands before each.
    pub(super) recipients: Vec<Addressee>,
    /// `q`: why it is kept back.
    pub(super) quarantine: Option<Vec<u8>>,
    /// `B`.
    pub(super) body: Vec<u8>,
    /// `Z`.
    pub(super) envelope_id: Option<Vec<u8>>,
    /// `M`, if it stands before the sender: why it waited, for the list.
    pub(super) message: Vec<u8>,
    /// `F`: one letter each.
    pub(super) flags: Vec<u8>,
    /// `d`: the folder of its data, where that is another one.
    pub(super) data_folder: Option<Vec<u8>>,
    /// `$_`, `$r`, `$s`.
    pub(super) peer: Vec<u8>,
    pub(super) protocol: Vec<u8>,
    pub(super) hello: Vec<u8>,
    /// `H`: the fields, with CR LF.
    pub(super) header: Vec<u8>,
}

/// Somebody it is still to be delivered to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Addressee {
    /// As it stands there.
    pub(super) address: Vec<u8>,
    /// What reports are wanted.
    pub(super) notify: Notify,
    /// `Q`: whom the sender named (ORCPT).
    pub(super) original: Option<Vec<u8>>,
    /// `C`: login name, numbers of user and group, the name that led here.
    pub(super) user: Option<(Vec<u8>, u32, u32, Vec<u8>)>,
}

/// Why a control file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// There is nothing in it, or its end is missing: it is being written, or was never finished.
    Unfinished,
    /// A version that is not known.
    Version(Vec<u8>),
    /// A line, by its number from 1 on, that is not understood.
    Line(usize, Vec<u8>),
}

/// What the lines before an `R` say of it.
#[derive(Default)]
struct Said {
    original: Option<Vec<u8>>,
    user: Option<(Vec<u8>, u32, u32, Vec<u8>)>,
    version: u64,
}

impl Control {
    /// Reads a file. Line ends are LF; a line that begins with a blank belongs to the one before.
    ///
    /// # Errors
    /// [`Flaw`].
    pub(super) fn read(octets: &[u8]) -> Result<Self, Flaw> {
        let mut control = Self::default();
        control.read_from(octets, false)?;
        Ok(control)
    }

    /// What can be read of a file, for a list.
    pub(super) fn read_loosely(octets: &[u8]) -> Self {
        let mut control = Self::default();
        control.read_from(octets, true).ok();
        control
    }

    fn read_from(&mut self, octets: &[u8], is_loose: bool) -> Result<(), Flaw> {
        let mut said = Said::default();
        for (number, line) in folded(octets) {
            let Some((&letter, rest)) = line.split_first() else { continue };
            match letter {
                b'.' => return Ok(()),
                b'V' => {
                    said.version = digits(rest).unwrap_or(0);
                    if said.version > VERSION_MAX && !is_loose {
                        return Err(Flaw::Version(rest.to_vec()));
                    }
                }
                b'R' => self.addressee(rest, &mut said),
                b'C' => said.user = user(rest),
                b'Q' => said.original = Some(rest.to_vec()),
                _ => {
                    if self.fact(letter, rest).is_none() && !is_loose {
                        return Err(Flaw::Line(number, line));
                    }
                }
            }
        }
        Err(Flaw::Unfinished)
    }

    fn addressee(&mut self, rest: &[u8], said: &mut Said) {
        // Before version 3 there were no flags.
        let (flags, address) = match rest.iter().position(|&octet| octet == b':') {
            Some(colon) if said.version >= 3 => {
                (rest.get(..colon), rest.get(colon.saturating_add(1)..))
            }
            None if said.version >= 3 => (Some(rest), None),
            Some(_) | None => (None, Some(rest)),
        };
        let original = said.original.take();
        let Some(address) = address.filter(|address| !address.is_empty()) else { return };
        if self.recipients.len() < RECIPIENTS_MAX {
            let mut notify = notify(flags.unwrap_or_default());
            if notify == Notify::UNSET && self.flags.contains(&b'w') {
                // The sender was warned.
                notify = Notify::FAILURE;
            }
            let (address, user) = (address.to_vec(), said.user.clone());
            self.recipients.push(Addressee { address, notify, original, user });
        }
    }

    /// Any other line. `None`: it is not understood.
    fn fact(&mut self, letter: u8, rest: &[u8]) -> Option<()> {
        let number = || digits(rest).unwrap_or(0);
        match letter {
            b'T' => self.created_s = number(),
            b'P' => self.priority = str::from_utf8(rest).ok()?.trim().parse().unwrap_or(0),
            b'S' => self.sender = rest.to_vec(),
            b'q' => self.quarantine = Some(rest.to_vec()),
            b'B' => self.body = rest.to_vec(),
            b'Z' => self.envelope_id = Some(rest.to_vec()),
            b'M' if self.sender.is_empty() => self.message = rest.to_vec(),
            b'F' => self.flags.extend_from_slice(rest),
            b'd' => self.data_folder = Some(rest.to_vec()),
            b'H' => self.field(rest),
            b'$' => match rest.split_first() {
                Some((b'_', value)) => self.peer = value.to_vec(),
                Some((b'r', value)) => self.protocol = value.to_vec(),
                Some((b's', value)) => self.hello = value.to_vec(),
                _ => {}
            },
            // Tries, their time, the data's name and number, who is authenticated, deadlines, final recipients, errors of old.
            b'M' | b'N' | b'K' | b'D' | b'I' | b'A' | b'!' | b'r' | b'E' | b'L' | b'G' => {}
            _ => return None,
        }
        Some(())
    }

    /// A field, without the flags of its `H` line. The way back is written anew for each mailer.
    fn field(&mut self, rest: &[u8]) {
        let text = match rest.strip_prefix(b"?") {
            Some(flagged) => {
                let end = flagged.iter().position(|&octet| octet == b'?').unwrap_or(0);
                flagged.get(end.saturating_add(1)..).unwrap_or_default()
            }
            None => rest,
        };
        let name = text.split(|&octet| octet == b':').next().unwrap_or_default();
        if name.trim_ascii().eq_ignore_ascii_case(b"return-path") {
            return;
        }
        for line in text.split(|&octet| octet == b'\n') {
            self.header.extend(line.iter().filter(|&&octet| octet != b'\r' && octet != 0));
            self.header.extend_from_slice(b"\r\n");
        }
    }
}

/// Lines with those that go on from them, and the numbers of their last lines.
fn folded(octets: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    let mut lines = (1_usize..).zip(octets.split(|&octet| octet == b'\n')).peekable();
    core::iter::from_fn(move || {
        let (mut number, first) = lines.next()?;
        let mut whole = first.to_vec();
        while let Some((last, more)) = lines.next_if(|(_, line)| matches!(line, [b' ' | b'\t', ..]))
        {
            number = last;
            whole.push(b'\n');
            whole.extend_from_slice(more);
        }
        Some((number, whole))
    })
}

fn digits(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.trim().parse().ok()
}

/// NOTIFY, if it was given (`N`): success, failure, delay, or never.
fn notify(flags: &[u8]) -> Notify {
    if !flags.contains(&b'N') {
        return Notify::UNSET;
    }
    [(b'S', Notify::SUCCESS), (b'F', Notify::FAILURE), (b'D', Notify::DELAY)]
        .into_iter()
        .filter(|(letter, _)| flags.contains(letter))
        .map(|(_, notify)| notify)
        .reduce(Notify::and)
        .unwrap_or(Notify::NEVER)
}

/// `login:uid:gid:name`; without a login: nobody.
fn user(text: &[u8]) -> Option<(Vec<u8>, u32, u32, Vec<u8>)> {
    let mut parts = text.splitn(4, |&octet| octet == b':');
    let login = parts.next().filter(|login| !login.is_empty())?.to_vec();
    let mut id = || u32::try_from(digits(parts.next()?)?).ok();
    let (uid, gid) = (id()?, id()?);
    let name = parts.next().filter(|name| !name.is_empty()).unwrap_or(&login).to_vec();
    Some((login, uid, gid, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "V8\nT1700000000\nK0\nN0\nP30021\nMDeferred: later\nFs8\n$_root@localhost\n$rESMTP\n\
        ${daemon_flags}c u\nSsender@remote.test\nCcarol:2003:2003:carol\nrRFC822; c@x\n\
        RPFD:\"|/bin/x carol\"\nC\nQrfc822;u@y\nRNS:u@remote.test\nH?P?Return-Path: <\u{81}g>\n\
        H??Received: (from root)\n\tby here\nH?D?Date: now\n.\n";

    #[test]
    fn a_control_file_is_read() {
        let control = Control::read(FILE.as_bytes()).unwrap();
        assert_eq!((control.created_s, control.priority), (1_700_000_000, 30_021));
        assert_eq!(control.header, b"Received: (from root)\r\n\tby here\r\nDate: now\r\n");
        assert_eq!(control.message, b"Deferred: later");
        let [carol, other] = &*control.recipients else { panic!("two recipients") };
        assert_eq!(carol.address, b"\"|/bin/x carol\"");
        let user = (b"carol".to_vec(), 2003, 2003, b"carol".to_vec());
        assert_eq!((&carol.user, carol.notify), (&Some(user), Notify::UNSET));
        assert_eq!((&other.user, other.notify), (&None, Notify::SUCCESS));
        assert_eq!(other.original.as_deref(), Some(&b"rfc822;u@y"[..]));
    }

    #[test]
    fn what_is_not_understood_is_not_taken() {
        let read = |text: &str| Control::read(text.as_bytes()).unwrap_err();
        assert_eq!(read(""), Flaw::Unfinished);
        assert_eq!(read(FILE.strip_suffix(".\n").unwrap()), Flaw::Unfinished);
        assert_eq!(read("V99\n.\n"), Flaw::Version(b"99".to_vec()));
        assert_eq!(read("V8\nT1\nY?\n.\n"), Flaw::Line(3, b"Y?".to_vec()));
    }

    #[test]
    fn a_recipient_without_flags_is_one_of_old_versions_only() {
        let count = |text: &str| Control::read(text.as_bytes()).unwrap().recipients.len();
        assert_eq!(count("V8\nRbob\n.\n"), 0);
        assert_eq!(count("V2\nRbob\n.\n"), 1);
    }

    proptest! {
        #[test]
        fn any_octets_are_a_file_or_a_flaw(octets: Vec<u8>) {
            drop(Control::read(&octets));
            drop(Control::read(&[b"V8\n", &*octets, b"\n.\n"].concat()));
        }
    }
}
