//! A command that works by sendmail.cf: its flags, the configuration, the log.
//!
//! What sendmail does at its start, in its order: debugging output, options of the command line, the file, the identity
//! of the host, warnings about who calls, the queue folder. What is said on the way goes to standard output and to the log.

use daemon::client::Client;
use maps::syslog::{CRITICAL, INFO, NOTICE, send};
use policy_cf::load::{self, Setting};
use policy_cf::machine::{Machine, Spoken, exit};
use policy_cf::read::equates;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The configuration that is read if no other is named, and the one for submission (`-Ac`).
const CONFIGURATION: &[u8] = b"/etc/mail/sendmail.cf";
const CONFIGURATION_OF_SUBMISSION: &[u8] = b"/etc/mail/submit.cf";
/// The letters of `-b` with which mail is handed in: they read the configuration for submission where there is one.
const HANDS_IN: [u8; 3] = [b'm', b'a', b's'];
/// What `-C` without a value means.
const CONFIGURATION_HERE: &[u8] = b"sendmail.cf";
/// The queue of a system that says nothing else.
const QUEUE: &[u8] = b"/var/spool/mqueue";
/// Option `LogLevel`, where it is not set.
const LOG_LEVEL: u32 = 9;
/// What the followed release was built with.
const BUILT_WITH: &str = " Compiled with: DNSMAP IPV6_FULL LDAPMAP LDAP_NETWORK_TIMEOUT
\t\tLDAP_REFERRALS LOG MAP_REGEX MATCHGECOS MAXDAEMONS=64 MILTER
\t\tMIME7TO8 MIME8TO7 NAMED_BIND NETINET NETINET6 NETUNIX NEWDB=5.3
\t\tNIS NISPLUS PIPELINING SASLv2 SCANF SOCKETMAP STARTTLS
\t\tTCPWRAPPERS TLS_EC TLS_VRFY_PER_CTX USERDB USE_LDAP_INIT XDEBUG
";

/// Digits of a date up to the minute (`202611210736`).
pub(crate) const MINUTE_LEN: usize = 12;
/// The system's number for what is not there.
const ENOENT: i32 = 2;
/// sysexits.h: a file of the system is wrong.
const OSFILE: u8 = 72;

/// What the words of the command line ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The configuration.
    pub(crate) file: Vec<u8>,
    /// It was named.
    pub(crate) is_file_named: bool,
    /// `-A`: whose configuration.
    whose: Option<u8>,
    /// `-d`.
    pub(crate) debug: Vec<Vec<u8>>,
    /// `-O`, `-o`, `-M`.
    pub(crate) settings: Vec<Setting>,
    /// `-v`.
    pub(crate) is_verbose: bool,
    /// `-n`.
    pub(crate) ignores_aliases: bool,
    /// `-f`.
    pub(crate) sender: Option<Vec<u8>>,
    /// The letter that it was given with: `f` or `r`.
    pub(crate) sender_letter: u8,
    /// What is no flag.
    pub(crate) operands: Vec<Vec<u8>>,
}

impl Asked {
    /// Reads the words; wrong ones were refused before. `mode` is the letter of `-b`.
    pub(crate) fn read(words: &[OsString], mode: u8) -> Self {
        let mut asked = Self::default();
        let operands = crate::sendmail::each_flag(words, &mut |flag, value| {
            asked.take(flag, value);
            Ok(())
        });
        asked.operands = operands.unwrap_or_default();
        if !asked.is_file_named {
            asked.file = file_for(mode, asked.whose).to_vec();
        }
        asked
    }

    fn take(&mut self, flag: u8, value: &[u8]) {
        match flag {
            b'C' => {
                let file = if value.is_empty() { CONFIGURATION_HERE } else { value };
                self.file = file.to_vec();
                self.is_file_named = true;
            }
            b'A' => self.whose = value.first().copied(),
            b'd' => self.debug.push(value.to_vec()),
            b'O' => self.settings.push(Setting::Option([b" ", value].concat())),
            b'o' => self.settings.push(Setting::Option(value.to_vec())),
            b'M' => self.settings.push(Setting::Macro(value.to_vec())),
            b'e' => self.settings.push(Setting::Option([b"e", value].concat())),
            b'i' | b'm' | b's' | b'c' => self.settings.push(Setting::Option(vec![flag, b'T'])),
            b'v' => self.is_verbose = true,
            b'n' => self.ignores_aliases = true,
            b'f' | b'r' => {
                self.sender = Some(value.to_vec());
                self.sender_letter = flag;
            }
            _ => {}
        }
    }
}

/// The configuration of a command that names none: `whose` is what `-A` says.
fn file_for(mode: u8, whose: Option<u8>) -> &'static [u8] {
    let is_there = || Path::new(OsStr::from_bytes(CONFIGURATION_OF_SUBMISSION)).exists();
    match whose {
        Some(b'c') => CONFIGURATION_OF_SUBMISSION,
        Some(b'm') => CONFIGURATION,
        Some(_) | None if HANDS_IN.contains(&mode) && is_there() => CONFIGURATION_OF_SUBMISSION,
        Some(_) | None => CONFIGURATION,
    }
}

/// The same, if this system is one of sendmail's files: it has that file, and none of our own that says otherwise.
pub(crate) fn of_this_system(mode: u8, whose: Option<u8>) -> Option<&'static [u8]> {
    let file = file_for(mode, whose);
    let is_there = Path::new(OsStr::from_bytes(file)).exists();
    (is_there && !crate::place::Place::is_our_own()).then_some(file)
}

/// A configuration at work for one command.
pub(crate) struct Run<'w> {
    /// The machine.
    pub(crate) machine: Machine<'w>,
    /// What was asked for.
    pub(crate) asked: Asked,
    /// What log lines are about: `NOQUEUE`, or an identifier.
    pub(crate) id: Vec<u8>,
    /// What is wrong with addresses goes to the log too.
    pub(crate) logs_addresses: bool,
    /// What is wrong is said in replies of SMTP (`-bs`): a client reads standard output.
    pub(crate) says_replies: bool,
    /// How much was wrong with what the user gave.
    pub(crate) user_errors: usize,
    /// Warnings about who calls, as the header has them: the host, a colon, the text.
    pub(crate) warnings: Vec<Vec<u8>>,
}

/// Reads flags and configuration, then has `work` done; gives the exit status. `mode` is the letter of `-b`.
pub(crate) fn with(words: &[OsString], mode: u8, work: impl FnOnce(&mut Run<'_>) -> u8) -> u8 {
    let asked = Asked::read(words, mode);
    let mut outside = maps::Outside::new(maps::Places::default());
    let machine = Machine::new(policy_cf::Config::default(), &mut outside);
    let id = b"NOQUEUE".to_vec();
    let warnings = Vec::new();
    let mut run = Run {
        machine,
        asked,
        id,
        logs_addresses: false,
        says_replies: mode == b's',
        user_errors: 0,
        warnings,
    };
    match run.begin(mode) {
        Ok(()) => {
            let status = work(&mut run);
            run.tell();
            status
        }
        Err(status) => {
            run.tell();
            status
        }
    }
}

impl Run<'_> {
    fn begin(&mut self, mode: u8) -> Result<(), u8> {
        let facts = daemon::host_facts(&[mode]);
        let machine = &mut self.machine;
        machine.journal = Some(Vec::new());
        machine.is_test = mode == b't';
        for levels in &self.asked.debug {
            machine.debug.set(levels);
        }
        show_version(machine, &facts);
        load::prepare(machine, &facts);
        for setting in &self.asked.settings {
            load::apply(machine, setting);
        }
        let file = self.asked.file.clone();
        match read_configuration(machine, &file) {
            Ok(text) => load::read(machine, &file, &text),
            Err(why) => {
                machine.place = Some((file, 0));
                machine.system_error(&why, None);
                machine.place = None;
                return Err(OSFILE);
            }
        }
        if machine.is_over {
            return Err(machine.status);
        }
        load::finish(machine);
        show_identity(machine, &facts.host);
        Ok(())
    }

    /// What sendmail looks at before it does more than show rules: errors so far, who calls, the queue folder.
    ///
    /// # Errors
    /// The exit status it ends with.
    pub(crate) fn settle(&mut self) -> Result<(), u8> {
        let queue = self.machine.config.options.values.get("QueueDirectory").cloned();
        let Some(queue) = queue.filter(|queue| !queue.is_empty()) else {
            self.machine.system_error(b"QueueDirectory (Q) option must be set", None);
            return Err(exit::CONFIG);
        };
        if self.machine.status != exit::OK {
            return Err(self.machine.status);
        }
        self.warn_of_caller(&queue);
        Ok(())
    }

    /// Goes to the queue folder, as sendmail does before it works on mail. A user who may not, and whose mail a running server
    /// takes, stays where he is.
    ///
    /// # Errors
    /// The exit status it ends with.
    pub(crate) fn enter_queue(&mut self) -> Result<(), u8> {
        let queue = self.machine.config.options.values.get("QueueDirectory").cloned();
        let queue = queue.unwrap_or_default();
        // A pattern means the folder it is in.
        let folder = match queue.iter().position(|octet| *octet == b'*') {
            Some(star) => {
                let before = queue.get(..star).unwrap_or_default();
                let slash = before.iter().rposition(|octet| *octet == b'/').unwrap_or(0);
                before.get(..slash).unwrap_or_default().to_vec()
            }
            None => queue,
        };
        let folder = [folder.as_slice(), b"/"].concat();
        let Err(error) = std::env::set_current_dir(OsStr::from_bytes(&folder)) else {
            return self.check_queue_paths(&folder);
        };
        // Who may not go there needs not where a server does the work.
        if error.kind() == ErrorKind::PermissionDenied
            && Client::connect(&crate::submit::place(self).run).is_ok()
        {
            return Ok(());
        }
        let text = [b"can not chdir(", folder.as_slice(), b")"].concat();
        self.machine.system_error(&text, Some(load::error_text(error.raw_os_error().unwrap_or(2))));
        self.tell();
        if sys::user::real_uid() != 0 {
            let text = b"Program mode requires special privileges, e.g., root or TrustedUser.\n";
            drop(std::io::stderr().write_all(text));
        }
        Err(exit::CONFIG)
    }

    /// Queue groups have their folders below the queue folder.
    fn check_queue_paths(&mut self, folder: &[u8]) -> Result<(), u8> {
        let lines = self.machine.config.queue_groups.clone();
        let paths = lines.iter().flat_map(|line| equates::split(line).1);
        let mut why = Some(load::error_text(ENOENT));
        let mut result = Ok(());
        for path in paths.filter_map(|(letter, path)| path.filter(|_| letter == b'P')) {
            let is_below = [path.as_slice(), b"/"].concat().starts_with(folder);
            if path.starts_with(b"/") && !is_below {
                let text =
                    [b"QueuePath ", path.as_slice(), b" not subpath of QueueDirectory ", folder];
                self.machine.system_error(&text.concat(), why.take());
                result = Err(exit::CONFIG);
            }
        }
        result
    }

    /// Whether the caller wants to see what is done (`-v`, option `Verbose`).
    pub(crate) fn is_verbose(&self) -> bool {
        self.asked.is_verbose || self.machine.config.options.truth("Verbose")
    }

    /// Whether the caller is root or one of those who may be anybody (class t).
    pub(crate) fn is_caller_trusted(&self) -> bool {
        sys::user::real_uid() == 0
            || self.machine.config.classes.contains(b't', &sys::user::current_name())
    }

    fn warn_of_caller(&mut self, queue: &[u8]) {
        if self.is_caller_trusted() {
            return;
        }
        let user = sys::user::current_name();
        if self.asked.is_file_named {
            let file = self.asked.file.clone();
            self.warn(&[b"Processed by ", user.as_slice(), b" with -C ", &file].concat());
        }
        // This system's own configuration may have its queue where it likes.
        if self.asked.is_file_named && queue != QUEUE {
            self.warn(&[b"Processed from queue ", queue].concat());
        }
    }

    /// Warns of who calls, if `PrivacyOptions` say so: in the log and in the header.
    pub(crate) fn warn(&mut self, text: &[u8]) {
        if !self.machine.config.options.is_private("authwarnings") {
            return;
        }
        let host = self.machine.expand(b"\x81j");
        let warning = [host.as_slice(), b": ", text].concat();
        if self.log_level() > 3 {
            send(INFO, &[&self.id, b": Authentication-Warning: ".as_slice(), &warning].concat());
        }
        self.warnings.push(warning);
    }

    /// Writes a line to the log.
    pub(crate) fn note(&self, text: &[u8]) {
        send(INFO, &[&self.id, b": ".as_slice(), text].concat());
    }

    /// Option `LogLevel`; what is no number is 0.
    pub(crate) fn log_level(&self) -> u32 {
        let options = &self.machine.config.options;
        match options.values.get("LogLevel") {
            Some(_) => options.number("LogLevel").unwrap_or(0),
            None => LOG_LEVEL,
        }
    }

    /// Makes replies of what is wrong with us. Warnings stay as they are.
    fn put_into_replies(&mut self) {
        let mut replies = Vec::new();
        for said in self.machine.journal.iter().flatten().filter(|said| said.is_system) {
            let (code, enhanced) =
                if said.is_transient { (b"451", b"4.0.0") } else { (b"554", b"5.0.0") };
            replies.extend_from_slice(&said.reply(code, enhanced));
            replies.extend_from_slice(b"\r\n");
            let line = [said.text.as_slice(), b"\n"].concat();
            let out = &mut self.machine.out;
            if let Some(at) = out.windows(line.len()).position(|window| window == line) {
                out.drain(at..at.saturating_add(line.len()));
            }
        }
        self.machine.out.append(&mut replies);
    }

    /// Writes out what was said, to standard output and to the log.
    pub(crate) fn tell(&mut self) {
        if self.says_replies {
            self.put_into_replies();
        }
        let mut output = std::io::stdout().lock();
        drop(output.write_all(&self.machine.out).and_then(|()| output.flush()));
        self.machine.out.clear();
        self.machine.replies.clear();
        let level = self.log_level();
        let user = sys::user::current_name();
        for said in self.machine.journal.as_mut().map(std::mem::take).unwrap_or_default() {
            if !said.is_system {
                self.user_errors = self.user_errors.saturating_add(1);
            }
            if said.is_system || self.logs_addresses {
                log(&self.id, &user, &said, level);
            }
        }
    }
}

fn log(id: &[u8], user: &[u8], said: &Spoken, level: u32) {
    if said.is_system && level > 0 {
        send(CRITICAL, &[id, b": SYSERR(", user, b"): ", &said.text].concat());
    } else if !said.is_system && level > 3 {
        send(NOTICE, &[id, b": ", said.text.as_slice()].concat());
    }
}

fn read_configuration(machine: &mut Machine<'_>, file: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let path = Path::new(OsStr::from_bytes(file));
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(b"not a plain file".to_vec());
    }
    machine
        .world
        .read_file(file, load::FILE_OCTETS_MAX)
        .map_err(|error| [b"cannot open: ", load::error_text(error)].concat())
}

fn show_version(machine: &mut Machine<'_>, facts: &load::Facts) {
    if !machine.debug.is(0, 1) {
        return;
    }
    machine.say(&[b"Version ", &facts.version]);
    machine.out.extend_from_slice(BUILT_WITH.as_bytes());
    if machine.debug.is(0, 4) {
        machine.say(&[b"Canonical name: ", &facts.host]);
        machine.say(&[b" UUCP nodename: ", &facts.host]);
        for alias in facts.aliases.iter().filter(|alias| **alias != facts.host) {
            machine.say(&[b"\ta.k.a.: ", alias]);
        }
    }
}

fn show_identity(machine: &mut Machine<'_>, host: &[u8]) {
    if !machine.debug.is(0, 1) {
        return;
    }
    let short = host.split(|octet| *octet == b'.').next().unwrap_or_default().to_vec();
    let [full, domain, node] = [b"\x81j", b"\x81m", b"\x81k"].map(|name| machine.expand(name));
    machine.say(&[b"\n============ SYSTEM IDENTITY (after readcf) ============"]);
    for (text, value) in [
        (b"      (short domain name) $w = ".as_slice(), &short),
        (b"  (canonical domain name) $j = ", &full),
        (b"         (subdomain name) $m = ", &domain),
        (b"              (node name) $k = ", &node),
    ] {
        machine.say(&[text, value]);
    }
    machine.say(&[b"========================================================\n"]);
}

/// `-bO`: the names of all options.
pub(crate) fn option_names() -> &'static str {
    include_str!("option_names.txt")
}
