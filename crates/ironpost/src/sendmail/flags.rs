//! sendmail's own flags, as getopt reads them: `-oi`, `-f ADDR`, `-fADDR`, `-tv`, `--`.

use daemon::edges::Argument;
use queue::run::{Limit, Part};
use queue::{BodyKind, Notify, Return};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `-bm`, the default: take a message from standard input.
    Deliver,
    /// `-bs`: speak SMTP on standard input and output.
    Dialogue,
    /// `-bd`, `-bD`, `-bl`: serve.
    Serve,
    /// `-bp`: print the queue.
    PrintQueue,
    /// `-q`, `-Q`: try the queue now, or mark what is in it.
    RunQueue,
    /// `-q30m` without `-bd`: try the queue again and again.
    KeepRunning,
    /// `-bt`: address test mode of a sendmail.cf.
    AddressTest,
    /// `-bv`: say where addresses go.
    Verify,
    /// `-bC`: read the configuration, and say what is wrong with it.
    CheckConfiguration,
    /// `-bO`: list the options.
    OptionNames,
    /// `-bi`: make the alias database.
    MakeAliases,
    /// `-bh`: what is known of other hosts.
    HostStatus,
    /// `-bH`: what is too old to be used of it is forgotten.
    PurgeHosts,
    /// `-bP`: how many entries queues have, by a memory that sendmail's processes share: nobody keeps it here.
    CountQueue,
}

impl Mode {
    /// Whether it is about a queue, and not about a message.
    pub(crate) const fn is_about_queue(self) -> bool {
        matches!(
            self,
            Self::PrintQueue
                | Self::RunQueue
                | Self::KeepRunning
                | Self::HostStatus
                | Self::PurgeHosts
                | Self::CountQueue
        )
    }
}

/// Which part of a queue is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum About {
    /// What is to be delivered.
    #[default]
    Waiting,
    /// What is kept back.
    Held,
    /// What could not be read: put aside by the spool, and in no list.
    Lost,
}

/// What `-q` and `-Q` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QueueWords {
    /// `-qI`, `-qR`, `-qS`, `-qQ`: parts of ids, recipients, senders, reasons.
    pub(crate) limits: Vec<Limit>,
    /// `-qQ`, `-qL`: about what is kept back, or what could not be read.
    pub(crate) about: About,
    /// `-qG`: a queue group.
    pub(crate) group: Option<Vec<u8>>,
    /// `-q30m`, `-qp30m`: from one run to the next, in seconds; 0: it is run once.
    pub(crate) interval_s: u32,
    /// `-qp`: runners stay.
    pub(crate) is_persistent: bool,
    /// `-qf`: whoever orders a run waits for its end.
    pub(crate) is_foreground: bool,
    /// `-Q`: why it is kept back from now on; empty: it no longer is.
    pub(crate) mark: Option<Vec<u8>>,
    /// Whether there is a `-q`.
    is_named: bool,
}

/// What is wrong with the words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A flag is unknown or lacks its value: said on standard error behind the program's name.
    Flag(String),
    /// A value makes no sense: said on standard output.
    Value(String),
}

/// How a server serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ServeManner {
    /// `-bd`, `-bl`: the caller goes on when it serves.
    pub(crate) is_in_background: bool,
    /// `-bl`: clients of this host only.
    pub(crate) is_local: bool,
}

/// The flags of one call.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) mode: Mode,
    pub(crate) manner: ServeManner,
    /// `-t`: recipients from the header.
    pub(crate) from_header: bool,
    /// `-i`, `-oi`: a line with one dot is text.
    pub(crate) ignores_dots: bool,
    /// `-v`: show what is done.
    pub(crate) is_verbose: bool,
    /// `-f`, `-r`: the envelope sender.
    pub(crate) sender: Option<Vec<u8>>,
    /// `-F`: the sender's full name.
    pub(crate) full_name: Option<Vec<u8>>,
    /// `-N`: which reports are wanted.
    pub(crate) notify: Notify,
    /// `-R`: what comes back with a report.
    pub(crate) ret: Option<Return>,
    /// `-V`: the envelope's id for reports.
    pub(crate) envelope_id: Option<Vec<u8>>,
    /// `-B`: what kind of octets the body has.
    pub(crate) body: Option<BodyKind>,
    /// The same, as it was written.
    pub(crate) body_word: Option<Vec<u8>>,
    /// `-h`: how many servers the message has passed.
    pub(crate) hops: u32,
    /// `-p`: the protocol, and the host behind a colon, that the message came by.
    pub(crate) protocol: Option<Vec<u8>>,
    /// `-q…`: which messages a run of the queue, or its list, is about.
    pub(crate) queue: QueueWords,
    /// What is wrong with the words and does not keep the message back; said first.
    pub(crate) complaints: Vec<String>,
    /// `-C`: the configuration.
    pub(crate) config: Option<Vec<u8>>,
    /// `-A`: whose configuration is read where none is named, the server's (`m`) or that of submission (`c`).
    whose: Option<u8>,
    /// `-O`, `-o`, `-M`: options and macros for the configuration.
    pub(crate) arguments: Vec<Argument>,
    /// A sendmail.cf is named, or this system's is meant; it must be a good one.
    pub(crate) names_configuration: bool,
    /// A mode of sendmail that is another command here.
    mode_elsewhere: Option<Wrong>,
    /// Recipients on the command line.
    pub(crate) recipients: Vec<Vec<u8>>,
}

/// Flags that take a value, here or in the next word (sendmail 8.17's getopt string).
const WITH_VALUE: &[u8] = b"ABbCDdeFfhLMNOopQqRrVX";

/// Those of them whose value must be in the same word, if there is one.
const VALUE_IN_WORD: &[u8] = b"dqQ";

/// Modes of sendmail that this command does not have: daemons, host status, old protocols.
const MODES_ELSEWHERE: &[u8] = b"dDlCq";

/// Flags without a value.
const PLAIN: &[u8] = b"cGIimnsTtUv";

impl Flags {
    /// Reads the words.
    ///
    /// # Errors
    /// An unknown flag, one without its value, or a value that makes no sense; in sendmail's words.
    pub(crate) fn read(words: &[OsString]) -> Result<Self, Wrong> {
        let mut flags = Self {
            mode: Mode::Deliver,
            manner: ServeManner::default(),
            from_header: false,
            ignores_dots: false,
            is_verbose: false,
            sender: None,
            full_name: None,
            notify: Notify::UNSET,
            ret: None,
            envelope_id: None,
            body: None,
            body_word: None,
            hops: 0,
            protocol: None,
            queue: QueueWords::default(),
            complaints: Vec::new(),
            config: None,
            arguments: Vec::new(),
            names_configuration: false,
            whose: None,
            mode_elsewhere: None,
            recipients: Vec::new(),
        };
        let operands = each_flag(words, &mut |letter, value| {
            if PLAIN.contains(&letter) {
                flags.plain(letter);
                Ok(())
            } else {
                flags.valued(letter, value)
            }
        })?;
        flags.recipients = operands;
        flags.settle_queue();
        match flags.mode_elsewhere.take() {
            Some(wrong) => Err(wrong),
            None => Ok(flags),
        }
    }

    /// Takes the configuration of this system where none is named, if it has one of sendmail's.
    pub(super) fn find_configuration(&mut self) {
        let mode = if self.mode == Mode::Deliver {
            b'm'
        } else if self.mode == Mode::Dialogue {
            b's'
        } else if self.mode.is_about_queue() {
            b'p'
        } else {
            // They find it themselves.
            return;
        };
        if self.config.is_none()
            && let Some(file) = crate::configured::of_this_system(mode, self.whose)
        {
            (self.config, self.names_configuration) = (Some(file.to_vec()), true);
        }
    }

    /// Words about the queue without another mode make a run of it.
    fn settle_queue(&mut self) {
        let is_about_queue = self.queue.is_named || self.queue.mark.is_some();
        if self.mode == Mode::Deliver && is_about_queue {
            let again = self.queue.interval_s > 0 && self.queue.mark.is_none();
            self.mode = if again { Mode::KeepRunning } else { Mode::RunQueue };
        }
    }

    fn plain(&mut self, letter: u8) {
        match letter {
            b't' => self.from_header = true,
            b'i' => self.ignores_dots = true,
            b'v' => self.is_verbose = true,
            // Old, or about how a monolith did its work: taken and without effect.
            _ => {}
        }
    }

    fn valued(&mut self, letter: u8, value: &[u8]) -> Result<(), Wrong> {
        match letter {
            b'C' => self.config = Some(value.to_vec()),
            b'A' => self.whose = value.first().copied(),
            b'o' => self.arguments.push(Argument::Option(value.into())),
            b'O' => self.arguments.push(Argument::Option([b" ", value].concat().into())),
            b'M' => self.arguments.push(Argument::Macro(value.into())),
            _ => {}
        }
        match (letter, value) {
            (b'b', [b'v', ..]) => self.mode = Mode::Verify,
            (b'b', [b'C', ..]) => self.mode = Mode::CheckConfiguration,
            (b'b', [b'O', ..]) => self.mode = Mode::OptionNames,
            (b'b', [b'z', ..]) => {
                return Err(Wrong::Value("Frozen configurations unsupported".into()));
            }
            (b'b', b"m" | b"a") => self.mode = Mode::Deliver,
            (b'b', b"s") => self.mode = Mode::Dialogue,
            (b'b', b"d" | b"D" | b"l") => {
                self.mode = Mode::Serve;
                let (is_in_background, is_local) = (value != b"D", value == b"l");
                self.manner = ServeManner { is_in_background, is_local };
            }
            (b'b', b"p") => self.mode = Mode::PrintQueue,
            (b'b', b"t") => self.mode = Mode::AddressTest,
            (b'b', b"i") => self.mode = Mode::MakeAliases,
            (b'b', b"P") => self.mode = Mode::CountQueue,
            (b'b', b"h") => self.mode = Mode::HostStatus,
            (b'b', b"H") => self.mode = Mode::PurgeHosts,
            (b'b', other) => {
                let letter = other.get(..1).unwrap_or_default();
                let text = format!("Invalid operation mode {}", wire::escape::text(letter));
                let wrong = Wrong::Value(text);
                if !letter.first().is_some_and(|letter| MODES_ELSEWHERE.contains(letter)) {
                    return Err(wrong);
                }
                // What else is wrong with the words is said first.
                self.mode_elsewhere = Some(wrong);
            }
            (b'q', value) => self.queue.read(value)?,
            (b'Q', reason) => self.queue.mark = Some(reason.to_vec()),
            (b'f' | b'r', _) if self.sender.is_some() => {
                return Err(Wrong::Value("More than one \"from\" person".into()));
            }
            (b'f' | b'r', address) => self.sender = Some(address.to_vec()),
            (b'C', _) => self.names_configuration = true,
            (b'F', name) => self.full_name = Some(name.to_vec()),
            (b'o', [b'i', ..]) => self.ignores_dots = true,
            (b'O', option) if option.eq_ignore_ascii_case(b"IgnoreDots") => {
                self.ignores_dots = true;
            }
            _ => self.about_message(letter, value)?,
        }
        Ok(())
    }

    /// Flags that say something of the message.
    fn about_message(&mut self, letter: u8, value: &[u8]) -> Result<(), Wrong> {
        match letter {
            b'N' => self.notify = notify(value)?,
            b'R' if self.ret.is_some() => return Err(Wrong::Value("Duplicate -R flag".into())),
            b'R' if value.eq_ignore_ascii_case(b"hdrs") => self.ret = Some(Return::Headers),
            b'R' if value.eq_ignore_ascii_case(b"full") => self.ret = Some(Return::Full),
            b'R' => return Err(Wrong::Value("Invalid -R value".into())),
            b'V' if wire::dsn::decode_xtext(value).is_some() => {
                self.envelope_id = Some(value.to_vec());
            }
            b'V' => return Err(Wrong::Value("Invalid syntax in -V flag".into())),
            b'B' if value.eq_ignore_ascii_case(b"8bitmime") => {
                (self.body, self.body_word) = (Some(BodyKind::EightBit), Some(value.to_vec()));
            }
            b'B' if value.eq_ignore_ascii_case(b"7bit") => {
                (self.body, self.body_word) = (Some(BodyKind::SevenBit), Some(value.to_vec()));
            }
            b'B' => {
                self.complaints.push(format!("Illegal body type {}", wire::escape::text(value)));
            }
            b'h' => {
                let number = str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
                let bad = || Wrong::Value(format!("Bad hop count ({})", wire::escape::text(value)));
                self.hops = number.ok_or_else(bad)?;
            }
            b'p' => self.protocol = Some(value.to_vec()),
            _ => {}
        }
        Ok(())
    }
}

/// Takes a flag with its value.
pub(crate) type Take<'a> = dyn FnMut(u8, &[u8]) -> Result<(), Wrong> + 'a;

/// Goes through the words as getopt(3) does, giving each flag with its value; what is no flag comes back.
///
/// # Errors
/// An unknown flag, one without its value, or what `take` gives.
pub(crate) fn each_flag(words: &[OsString], take: &mut Take<'_>) -> Result<Vec<Vec<u8>>, Wrong> {
    let mut operands = Vec::new();
    let mut words = words.iter().map(|word| word.as_bytes());
    let mut last: &[u8] = b"";
    while let Some(word) = words.next() {
        let mut letters = match word {
            b"--" => {
                operands.extend(words.by_ref().map(<[u8]>::to_vec));
                break;
            }
            [b'-', letters @ ..] if !letters.is_empty() => letters,
            operand => {
                // Behind the first of them nothing is a flag any more.
                operands.push(operand.to_vec());
                operands.extend(words.by_ref().map(<[u8]>::to_vec));
                break;
            }
        };
        while let Some((&letter, rest)) = letters.split_first() {
            letters = rest;
            let shown = char::from(letter).escape_default();
            if PLAIN.contains(&letter) {
                take(letter, b"")?;
                continue;
            }
            if !WITH_VALUE.contains(&letter) {
                return Err(Wrong::Flag(format!("illegal option -- {shown}")));
            }
            let value = if !rest.is_empty() || VALUE_IN_WORD.contains(&letter) {
                rest
            } else if let Some(next) = words.next() {
                next
            } else {
                match letter {
                    // Looked at before the others, with what the flag before it left.
                    b'b' => last,
                    b'C' => b"",
                    _ => {
                        let text = format!("option requires an argument -- {shown}");
                        return Err(Wrong::Flag(text));
                    }
                }
            };
            last = value;
            take(letter, value)?;
            break;
        }
    }
    Ok(operands)
}

impl Flags {
    /// Whether the caller waits for the end of a run of the queue: `-qf`, `-qG`, `-v`, and what only marks.
    pub(crate) fn is_run_awaited(&self) -> bool {
        let queue = &self.queue;
        self.is_verbose || queue.is_foreground || queue.group.is_some() || queue.mark.is_some()
    }
}

impl QueueWords {
    /// Takes what stands behind `-q`.
    fn read(&mut self, value: &[u8]) -> Result<(), Wrong> {
        self.is_named = true;
        let (excludes, what) = match value.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let mut limit = |part, text: &[u8]| {
            self.limits.push(Limit { part, text: text.into(), excludes });
        };
        match what {
            [b'I', text @ ..] => limit(Part::Id, text),
            [b'R', text @ ..] => limit(Part::Recipient, text),
            [b'S', text @ ..] => limit(Part::Sender, text),
            [b'Q', text @ ..] => {
                if !text.is_empty() {
                    limit(Part::Reason, text);
                }
                self.about = About::Held;
            }
            [b'L', ..] => self.about = About::Lost,
            [b'G', group @ ..] => self.group = Some(group.to_vec()),
            [b'f', ..] => self.is_foreground = true,
            [b'p', interval @ ..] => {
                self.interval_s = interval_s(interval)?.max(1);
                self.is_persistent = true;
            }
            interval => self.interval_s = interval_s(interval)?,
        }
        Ok(())
    }
}

/// A time between queue runs: digits with units, minutes where there is none.
fn interval_s(value: &[u8]) -> Result<u32, Wrong> {
    if value.first() == Some(&b'-') {
        return Err(Wrong::Value("Invalid -q value".into()));
    }
    let is_known = |octet: &u8| octet.is_ascii_digit() || b"smhdw".contains(octet);
    if let Some(other) = value.iter().find(|octet| !is_known(octet)) {
        let unit = wire::escape::text(std::slice::from_ref(other)).to_string();
        return Err(Wrong::Value(format!("Invalid time unit `{unit}'")));
    }
    let (mut total, mut count) = (0_u32, 0_u32);
    let unit = |octet: u8| match octet {
        b's' => 1_u32,
        b'h' => 3600,
        b'd' => 86_400,
        b'w' => 604_800,
        _ => 60,
    };
    for &octet in value {
        if octet.is_ascii_digit() {
            count = count.saturating_mul(10).saturating_add(u32::from(octet - b'0'));
        } else {
            total = total.saturating_add(count.saturating_mul(unit(octet)));
            count = 0;
        }
    }
    Ok(total.saturating_add(count.saturating_mul(60)))
}

/// `never`, or some of `success,failure,delay` (RFC 3461).
fn notify(list: &[u8]) -> Result<Notify, Wrong> {
    if list.eq_ignore_ascii_case(b"never") {
        return Ok(Notify::NEVER);
    }
    let mut wanted = Notify::UNSET;
    for word in list.split(|&octet| octet == b',') {
        wanted = wanted.and(match word.to_ascii_lowercase().as_slice() {
            b"success" => Notify::SUCCESS,
            b"failure" => Notify::FAILURE,
            b"delay" => Notify::DELAY,
            _ => {
                return Err(Wrong::Value("Invalid -N argument".into()));
            }
        });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Flags, Wrong> {
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
    fn words_about_the_queue_name_messages_and_make_a_run_of_it() {
        let flags = read(&["-qRremote", "-q!Sbob", "-v"]).unwrap();
        assert_eq!(flags.mode, Mode::RunQueue);
        assert!(flags.is_verbose && flags.queue.about == About::Waiting);
        let limit = |part, text: &[u8], excludes| Limit { part, text: text.into(), excludes };
        let wanted = [limit(Part::Recipient, b"remote", false), limit(Part::Sender, b"bob", true)];
        assert_eq!(flags.queue.limits, wanted);
        assert_eq!(read(&["-q1h30m"]).unwrap().mode, Mode::KeepRunning);
        assert_eq!(read(&["-q1h30m"]).unwrap().queue.interval_s, 5400);
        assert_eq!(read(&["-qp5"]).unwrap().queue.interval_s, 300);
        let daemon = read(&["-bD", "-q30s"]).unwrap();
        assert_eq!((daemon.mode, daemon.queue.interval_s), (Mode::Serve, 30));
        assert_eq!(read(&["-bp", "-qQ"]).unwrap().mode, Mode::PrintQueue);
        let marks = read(&["-qQ", "-Q"]).unwrap();
        assert_eq!((marks.mode, marks.queue.mark), (Mode::RunQueue, Some(Vec::new())));
        assert_eq!(read(&["-q1z"]).unwrap_err(), Wrong::Value("Invalid time unit `z'".into()));
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
        assert_eq!(read(&["-Z"]).unwrap_err(), Wrong::Flag("illegal option -- Z".into()));
        assert_eq!(
            read(&["-f"]).unwrap_err(),
            Wrong::Flag("option requires an argument -- f".into())
        );
        assert_eq!(read(&["-bx"]).unwrap_err(), Wrong::Value("Invalid operation mode x".into()));
    }
}
