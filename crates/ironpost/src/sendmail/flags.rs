//! sendmail's own flags, as getopt reads them: `-oi`, `-f ADDR`, `-fADDR`, `-tv`, `--`.

use daemon::edges::Argument;
use queue::Notify;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `-bm`, the default: take a message from standard input.
    Deliver,
    /// `-bs`: speak SMTP on standard input and output.
    Dialogue,
    /// `-bd`, `-bD`: serve. sendmail's `-bd` leaves the foreground; service managers want it there, so both stay.
    Serve,
    /// `-bp`: print the queue.
    PrintQueue,
    /// `-q`: try the queue now.
    RunQueue,
    /// `-bt`: address test mode of a sendmail.cf.
    AddressTest,
    /// `-bi`: make the alias database.
    MakeAliases,
}

/// The flags of one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) mode: Mode,
    /// `-t`: recipients from the header.
    pub(crate) from_header: bool,
    /// `-i`, `-oi`: a line with one dot is text.
    pub(crate) ignores_dots: bool,
    /// `-f`, `-r`: the envelope sender.
    pub(crate) sender: Option<Vec<u8>>,
    /// `-F`: the sender's full name.
    pub(crate) full_name: Option<Vec<u8>>,
    /// `-N`: which reports are wanted.
    pub(crate) notify: Notify,
    /// `-C`: the configuration.
    pub(crate) config: Option<Vec<u8>>,
    /// `-O`, `-o`, `-M`: options and macros for the configuration.
    pub(crate) arguments: Vec<Argument>,
    /// Recipients on the command line.
    pub(crate) recipients: Vec<Vec<u8>>,
}

/// Flags that take a value, here or in the next word (sendmail 8.17's getopt string).
const WITH_VALUE: &[u8] = b"ABbCDdeFfhLMNOopQqRrVX";

/// Those of them whose value must be in the same word, if there is one.
const VALUE_IN_WORD: &[u8] = b"dq";

/// Flags without a value.
const PLAIN: &[u8] = b"cGIimnsTtUv";

impl Flags {
    /// Reads the words.
    ///
    /// # Errors
    /// An unknown flag, or one without its value; in sendmail's words.
    pub(crate) fn read(words: &[OsString]) -> Result<Self, String> {
        let mut flags = Self {
            mode: Mode::Deliver,
            from_header: false,
            ignores_dots: false,
            sender: None,
            full_name: None,
            notify: Notify::UNSET,
            config: None,
            arguments: Vec::new(),
            recipients: Vec::new(),
        };
        let mut words = words.iter().map(|word| word.as_bytes());
        while let Some(word) = words.next() {
            match word {
                b"--" => {
                    flags.recipients.extend(words.by_ref().map(<[u8]>::to_vec));
                }
                [b'-', letters @ ..] if !letters.is_empty() => {
                    flags.letters(letters, &mut words)?;
                }
                recipient => flags.recipients.push(recipient.to_vec()),
            }
        }
        Ok(flags)
    }

    /// One word of flags; the last one may take its value from the next word.
    fn letters<'a>(
        &mut self,
        mut letters: &'a [u8],
        words: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), String> {
        while let Some((&letter, rest)) = letters.split_first() {
            let shown = char::from(letter).escape_default();
            if PLAIN.contains(&letter) {
                self.plain(letter);
                letters = rest;
                continue;
            }
            if !WITH_VALUE.contains(&letter) {
                return Err(format!("illegal option -- {shown}"));
            }
            let value = if !rest.is_empty() || VALUE_IN_WORD.contains(&letter) {
                rest
            } else {
                words.next().ok_or_else(|| format!("option requires an argument -- {shown}"))?
            };
            return self.valued(letter, value);
        }
        Ok(())
    }

    fn plain(&mut self, letter: u8) {
        match letter {
            b't' => self.from_header = true,
            b'i' => self.ignores_dots = true,
            // Old, or about how a monolith did its work: taken and without effect.
            _ => {}
        }
    }

    fn valued(&mut self, letter: u8, value: &[u8]) -> Result<(), String> {
        match letter {
            b'C' => self.config = Some(value.to_vec()),
            b'o' => self.arguments.push(Argument::Option(value.into())),
            b'O' => self.arguments.push(Argument::Option([b" ", value].concat().into())),
            b'M' => self.arguments.push(Argument::Macro(value.into())),
            _ => {}
        }
        match (letter, value) {
            (b'b', b"m") => self.mode = Mode::Deliver,
            (b'b', b"s") => self.mode = Mode::Dialogue,
            (b'b', b"d" | b"D") => self.mode = Mode::Serve,
            (b'b', b"p") => self.mode = Mode::PrintQueue,
            (b'b', b"t") => self.mode = Mode::AddressTest,
            (b'b', b"i") => self.mode = Mode::MakeAliases,
            (b'b', other) => {
                return Err(format!("Invalid operation mode {}", wire::escape::text(other)));
            }
            (b'q', _) => self.mode = Mode::RunQueue,
            (b'f' | b'r', address) => self.sender = Some(address.to_vec()),
            (b'F', name) => self.full_name = Some(name.to_vec()),
            (b'o', [b'i', ..]) => self.ignores_dots = true,
            (b'O', option) if option.eq_ignore_ascii_case(b"IgnoreDots") => {
                self.ignores_dots = true;
            }
            (b'N', list) => self.notify = notify(list)?,
            _ => {}
        }
        Ok(())
    }
}

/// `never`, or some of `success,failure,delay` (RFC 3461).
fn notify(list: &[u8]) -> Result<Notify, String> {
    if list.eq_ignore_ascii_case(b"never") {
        return Ok(Notify::NEVER);
    }
    let mut wanted = Notify::UNSET;
    for word in list.split(|&octet| octet == b',') {
        wanted = wanted.and(match word.to_ascii_lowercase().as_slice() {
            b"success" => Notify::SUCCESS,
            b"failure" => Notify::FAILURE,
            b"delay" => Notify::DELAY,
            _ => return Err(format!("Invalid -N argument {}", wire::escape::text(word))),
        });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Flags, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Flags::read(&words)
    }

    #[test]
    fn cron_and_php_are_understood() {
        let flags =
            read(&["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "a@b"]).unwrap();
        assert!(flags.from_header && flags.ignores_dots);
        assert_eq!(flags.sender.as_deref(), Some(&b"a@b"[..]));
        assert_eq!(flags.full_name.as_deref(), Some(&b"CronDaemon"[..]));
        assert_eq!(flags.recipients, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn behind_two_dashes_everything_is_a_recipient() {
        assert_eq!(read(&["--", "-bd"]).unwrap().recipients, [b"-bd".to_vec()]);
    }

    #[test]
    fn flags_can_be_joined() {
        let flags = read(&["-tif", "x"]).unwrap();
        assert!(flags.from_header && flags.ignores_dots);
        assert_eq!(flags.sender.as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn an_unknown_flag_and_a_missing_value_are_named() {
        assert_eq!(read(&["-z"]).unwrap_err(), "illegal option -- z");
        assert_eq!(read(&["-f"]).unwrap_err(), "option requires an argument -- f");
        assert_eq!(read(&["-bz"]).unwrap_err(), "Invalid operation mode z");
    }
}
