//! The answer (RFC 3834, 3): to the envelope sender, marked as automatic, `$SUBJECT` filled in.

use super::letter::Letter;
use crate::sendmail_child;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

/// Octets of the answer's text.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// What stands in the text for the subject.
const SUBJECT: &[u8] = b"$SUBJECT";

/// An answer that is to be sent.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    /// What is answered.
    pub(super) letter: &'a Letter,
    /// `~/.vacation.msg`, open.
    pub(super) text: File,
    /// `-C`.
    pub(super) cf: Option<&'a OsStr>,
    /// The answer's envelope sender.
    pub(super) from: Vec<u8>,
    /// Where sendmail is started.
    pub(super) home: &'a Path,
}

impl Reply<'_> {
    /// Gives it to sendmail.
    ///
    /// # Errors
    /// It can't be started or ended badly.
    pub(super) fn send(self) -> io::Result<()> {
        let mut words: Vec<OsString> = vec!["-oi".into()];
        if let Some(cf) = self.cf {
            words.extend(["-C".into(), cf.to_owned()]);
        }
        words.extend(["-f".into(), OsString::from_vec(self.from.clone())]);
        words.extend(["--".into(), OsString::from_vec(self.letter.sender.clone())]);
        let message = self.message()?;
        sendmail_child::run(&words, self.home, |input| input.write_all(&message)).map(drop)
    }

    fn message(&self) -> io::Result<Vec<u8>> {
        let mut out = [b"To: ", &*self.letter.sender, b"\nAuto-Submitted: auto-replied\n"].concat();
        if !self.letter.message_id.is_empty() {
            out.extend([b"In-Reply-To: ", &*self.letter.message_id, b"\n"].concat());
            out.extend([b"References: ", &*self.letter.message_id, b"\n"].concat());
        }
        let mut text = BufReader::new((&self.text).take(TEXT_BYTES_MAX));
        let mut line = Vec::new();
        while text.read_until(b'\n', &mut line)? > 0 {
            let at = line.windows(SUBJECT.len()).position(|window| window == SUBJECT);
            match at.and_then(|at| line.split_at_checked(at)) {
                Some((before, rest)) => {
                    out.extend_from_slice(before);
                    out.extend_from_slice(&self.letter.subject);
                    out.extend_from_slice(rest.get(SUBJECT.len()..).unwrap_or_default());
                }
                None => out.extend_from_slice(&line),
            }
            line.clear();
        }
        Ok(out)
    }
}
