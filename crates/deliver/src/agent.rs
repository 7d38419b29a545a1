//! Mailers that are programs (`P=/path`): one run a recipient, the message on standard input, the answer an exit code
//! (sysexits.h) and what was printed.
//!
//! Runs in a cage that is the recipient's, which the program inherits. A program that does not end in time is ended with
//! its whole group; of what it prints a bounded part is kept, for the report; the rest is read and thrown away, so that
//! it does not stop.

mod file;
mod input;
mod lmtp;
mod spool;

use crate::body::{Text, write_delivery_fields};
use crate::mailbox::mbox::write_separator;
use crate::{Job, Moment};
pub use spool::AgentSpool;

use file::NotWritten;
use input::Input;
use policy::{MailerFlags, Program};
use queue::{Outcome, Said, Scope, Status, Trouble, Voice};
use std::ffi::OsStr;
use std::io::{self, PipeReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a program may take where `W=` says nothing, in seconds.
const WAIT_S: u32 = 600;

/// Octets of what a program prints that are kept.
const OUTPUT_BYTES_MAX: usize = 800;

/// How often the end of a program is looked for while it prints nothing, in milliseconds.
const LOOK_MS: u64 = 20;

/// How long the processes of a program that took too long are hunted for.
const ORPHANS_TIME_MAX: Duration = Duration::from_secs(5);

/// `P=` of the mailer that appends to files.
const FILE: &[u8] = b"[FILE]";

/// Octets of an argument, macros expanded.
const ARGUMENT_BYTES_MAX: usize = 2048;

/// A mailer's program, and who runs it.
#[derive(Debug, Clone, Copy)]
pub struct Agent<'a> {
    /// What is run.
    pub program: &'a Program,
    /// The mailer's name.
    pub mailer: &'a [u8],
    /// `F=`.
    pub flags: MailerFlags,
    /// `E=`; empty: LF.
    pub line_end: &'a [u8],
    /// The home of the user it runs as.
    pub home: Option<&'a [u8]>,
    /// `$j`.
    pub our_name: &'a [u8],
    /// How far local time is ahead of UTC, in seconds.
    pub offset_s: i32,
    /// Whether all children of this process are ours: then what a program leaves behind is ours to end.
    pub is_alone: bool,
    /// The mail spool, where the program sees its user's mailbox alone.
    pub spool: Option<&'a AgentSpool>,
}

/// What came of a run.
enum Ran {
    /// It ended, having printed this.
    Ended(ExitStatus, Vec<u8>),
    /// It took too long.
    Late,
}

impl Agent<'_> {
    /// Gives one message to the program; `host` is `$h`.
    #[must_use]
    pub fn run(&self, now_s: u64, job: &Job<'_>, host: &[u8]) -> Outcome {
        if *self.program.path == *FILE {
            return self.run_file(now_s, job, host);
        }
        let Some(spool) = self.spool else { return self.run_program(now_s, job, host) };
        let moment = Moment { unix_s: now_s, offset_s: self.offset_s };
        spool.locked(moment, sender_of(job), || self.run_program(now_s, job, host))
    }

    fn run_program(&self, now_s: u64, job: &Job<'_>, host: &[u8]) -> Outcome {
        let Some(arguments) = self.arguments(job, host) else {
            return never(Status(5, 1, 3), b"address cannot be given to a program");
        };
        if self.program.is_lmtp {
            return self.run_lmtp(&arguments, job).unwrap_or_else(|error| self.not_run(&error));
        }
        match self.carry_out(&arguments, now_s, job) {
            Ok(Ran::Ended(status, output)) => self.judged(status, &output),
            Ok(Ran::Late) => later(Status(4, 4, 7), b"program took too long and was ended"),
            Err(error) => self.not_run(&error),
        }
    }

    fn not_run(&self, error: &io::Error) -> Outcome {
        let words = sys::error_words(error);
        let path = self.program.path.escape_ascii();
        later(Status(4, 3, 5), format!("{path}: {words}").as_bytes())
    }

    /// `A=FILE path`: no program, but a file.
    fn run_file(&self, now_s: u64, job: &Job<'_>, host: &[u8]) -> Outcome {
        let template = self.program.arguments.get(1).map(|path| &**path).unwrap_or_default();
        let path = self.expand(template, job, host);
        // With another root the same file may be named with it or without.
        let root = self.program.root.strip_suffix(b"/").unwrap_or(&self.program.root);
        let path = match path.strip_prefix(root) {
            Some(rest) if rest.first() == Some(&b'/') => rest.to_vec(),
            _ => path,
        };
        match self.append(&path, now_s, job) {
            Ok(()) => delivered(b""),
            Err(NotWritten::Unsafe) => {
                told_never((73, "550"), Status(5, 0, 0), "Can't create output", b"")
            }
            Err(NotWritten::Later(error)) => {
                let words = sys::error_words(&error.into());
                let path = path.escape_ascii();
                later(Status(4, 2, 0), format!("{path}: {words}").as_bytes())
            }
        }
    }

    /// The arguments, macros expanded. `None`: an address would be taken for an option, or cannot stand in one.
    fn arguments(&self, job: &Job<'_>, host: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        for (number, template) in self.program.arguments.iter().enumerate() {
            let argument = self.expand(template, job, host);
            let is_forged = argument.starts_with(b"-") && !template.starts_with(b"-");
            if is_forged || argument.contains(&0) || argument.len() > ARGUMENT_BYTES_MAX {
                return None;
            }
            out.push(argument);
            let flag: Option<&[u8]> = match number {
                _ if !job.is_sender_named => None,
                0 if self.flags.has(b'f') => Some(b"-f"),
                0 if self.flags.has(b'r') => Some(b"-r"),
                _ => None,
            };
            if let Some(flag) = flag {
                let sender = sender_of(job);
                if sender.contains(&0) || sender.starts_with(b"-") {
                    return None;
                }
                out.push(flag.to_vec());
                out.push(sender.to_vec());
            }
        }
        Some(out)
    }

    /// `$u`, `$h`, `$f`, `$g`, `$i`, `$j`, `$z`; what else a macro may be is empty here.
    fn expand(&self, template: &[u8], job: &Job<'_>, host: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = template;
        while let Some((&octet, after)) = rest.split_first() {
            rest = after;
            if octet != b'$' {
                out.push(octet);
                continue;
            }
            let Some((&name, after)) = rest.split_first() else { break };
            rest = after;
            match name {
                b'u' => out.extend_from_slice(job.user),
                b'h' => out.extend_from_slice(host),
                b'f' | b'g' => out.extend_from_slice(sender_of(job)),
                b'j' => out.extend_from_slice(self.our_name),
                b'i' => {
                    let id = job.form.map(|form| form.passage.id);
                    out.extend_from_slice(
                        id.map(|id| id.to_string()).unwrap_or_default().as_bytes(),
                    );
                }
                b'z' => out.extend_from_slice(self.home.unwrap_or_default()),
                b'$' => out.push(b'$'),
                b'{' => {
                    let end = rest.iter().position(|&octet| octet == b'}');
                    rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
                }
                _ => {}
            }
        }
        out
    }

    fn carry_out(&self, arguments: &[Vec<u8>], now_s: u64, job: &Job<'_>) -> io::Result<Ran> {
        let (output, theirs) = io::pipe()?;
        let errors = theirs.try_clone()?;
        let mut child = self.start(arguments, Stdio::from(theirs), Stdio::from(errors))?;
        let is_over = AtomicBool::new(false);
        let input = child.stdin.take().map(|pipe| Input::new(pipe, &is_over)).transpose()?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Some(mut input) = input {
                    // A program that does not want to read all of it says so by its exit code.
                    self.write(&mut input, now_s, job).ok();
                }
            });
            let seconds = if self.program.wait_s == 0 { WAIT_S } else { self.program.wait_s };
            let until = Instant::now() + Duration::from_secs(seconds.into());
            let ran = watch(&mut child, output, until);
            // What is left of its group must not hold our end of the pipes.
            end_group(&child);
            is_over.store(true, Ordering::Relaxed);
            child.wait()?;
            if self.is_alone {
                if matches!(ran, Ok(Ran::Late)) {
                    // Out of time is all of it, what has left the group too.
                    sys::orphans::end_all(ORPHANS_TIME_MAX);
                }
                sys::orphans::reap();
            }
            ran
        })
    }

    fn start(&self, arguments: &[Vec<u8>], output: Stdio, errors: Stdio) -> io::Result<Child> {
        let mut arguments = arguments.iter().map(|argument| OsStr::from_bytes(argument));
        let mut command = Command::new(OsStr::from_bytes(&self.program.path));
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env_clear().current_dir(self.folder()).process_group(0);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("AGENT", "sendmail");
        if let Some(home) = self.home {
            command.env("HOME", OsStr::from_bytes(home));
        }
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        if let Some(spool) = self.spool {
            spool.hold(&mut command);
        }
        command.spawn()
    }

    /// The first folder of `D=` that is there.
    fn folder(&self) -> std::path::PathBuf {
        let folders = self.program.folders.split(|&octet| octet == b':');
        let folders = folders.map(|folder| match folder.strip_prefix(b"$z") {
            Some(rest) => [self.home.unwrap_or_default(), rest].concat(),
            None => folder.to_vec(),
        });
        let mut paths = folders.map(|folder| std::path::PathBuf::from(OsStr::from_bytes(&folder)));
        paths.find(|path| path.is_absolute() && path.is_dir()).unwrap_or_else(|| "/".into())
    }

    /// The message in the form that the flags want.
    fn write(&self, input: &mut impl io::Write, now_s: u64, job: &Job<'_>) -> io::Result<()> {
        let mut out = Vec::new();
        if !self.flags.has(b'n') && !job.separator.is_empty() {
            out.extend_from_slice(job.separator);
            out.push(b'\n');
        } else if !self.flags.has(b'n') {
            let moment = Moment { unix_s: now_s, offset_s: self.offset_s };
            write_separator(sender_of(job), moment, &mut out);
        }
        if self.flags.has(b'P') {
            write_return_path(sender_of(job), &mut out);
        }
        let mut text = Text::new(job, self.flags.has(b'E'))?;
        job.body.read(|piece| -> io::Result<()> {
            text.push(piece, &mut out);
            self.send(&mut out, input)
        })?;
        text.finish(&mut out);
        if self.flags.has(b'b') {
            out.push(b'\n');
        }
        self.send(&mut out, input)
    }

    fn send(&self, out: &mut Vec<u8>, input: &mut impl io::Write) -> io::Result<()> {
        let octets = std::mem::take(out);
        if self.line_end.is_empty() || self.line_end == b"\n" {
            return input.write_all(&octets);
        }
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    input.write_all(line)?;
                    input.write_all(self.line_end)?;
                }
                None => input.write_all(line)?,
            }
        }
        Ok(())
    }
}

/// The envelope sender as programs are told: reports are from MAILER-DAEMON.
fn sender_of<'a>(job: &Job<'a>) -> &'a [u8] {
    if job.sender.is_empty() { b"MAILER-DAEMON" } else { job.sender }
}

fn write_return_path(sender: &[u8], out: &mut Vec<u8>) {
    let mut fields = Vec::new();
    write_delivery_fields(sender, b"", &mut fields);
    // Programs add what they want of the rest.
    out.extend(fields.split_inclusive(|&octet| octet == b'\n').next().unwrap_or_default());
}

/// Reads what a program prints until it has ended.
fn watch(child: &mut Child, mut output: PipeReader, until: Instant) -> io::Result<Ran> {
    let mut printed = Vec::new();
    let mut is_open = true;
    // However much is printed, the time is looked at between any two pieces.
    while Instant::now() < until {
        if is_open && sys::poll::readable(&output, Some(LOOK_MS))? {
            is_open = take_output(&mut output, &mut printed)?;
            continue;
        }
        if let Some(status) = child.try_wait()? {
            return Ok(Ran::Ended(status, printed));
        }
        if !is_open {
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
    }
    Ok(Ran::Late)
}

/// Takes a piece of what was printed; false: there is no more.
fn take_output(output: &mut PipeReader, printed: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 4096];
    let count = output.read(&mut piece)?;
    let room = OUTPUT_BYTES_MAX.saturating_sub(printed.len()).min(count);
    printed.extend_from_slice(piece.get(..room).unwrap_or_default());
    Ok(count > 0)
}

/// Ends a program and all it started that stayed in its group.
fn end_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Nobody is left: as good as ended.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
}

impl Agent<'_> {
    /// What the log says of a program that wants another try and has no words for it.
    fn not_now(&self) -> String {
        let (mailer, path) = (self.mailer.escape_ascii(), self.program.path.escape_ascii());
        format!("{mailer} mailer ({path}) exited with EX_TEMPFAIL")
    }

    /// What came of a program that ended.
    fn judged(&self, status: ExitStatus, output: &[u8]) -> Outcome {
        if status.code() == Some(75) {
            return told_later(Status(4, 0, 0), &self.not_now(), output);
        }
        judged(status, output)
    }
}

/// What an exit code means (sysexits.h, in sendmail's words).
fn judged(status: ExitStatus, output: &[u8]) -> Outcome {
    let Some(code) = status.code() else {
        let text = format!("died with signal {}", status.signal().unwrap_or(0));
        return later(Status(4, 3, 0), text.as_bytes());
    };
    let (reply, status, text) = match code {
        0 => return delivered(output),
        64 => ("550", Status(5, 0, 0), "Command line usage error"),
        65 => ("501", Status(5, 6, 0), "Data format error"),
        66 => ("550", Status(5, 3, 0), "Cannot open input"),
        67 => ("550", Status(5, 1, 1), "User unknown"),
        68 => ("550", Status(5, 1, 2), "Host unknown"),
        69 => ("554", Status(5, 0, 0), "Service unavailable"),
        70 => ("554", Status(5, 3, 0), "Internal error"),
        71 => return told_later(Status(4, 5, 0), "Operating system error", output),
        72 => ("554", Status(5, 3, 5), "System file missing"),
        73 => ("550", Status(5, 0, 0), "Can't create output"),
        74 => return told_later(Status(4, 5, 0), "I/O error", output),
        76 => ("554", Status(5, 5, 0), "Remote protocol error"),
        77 => ("550", Status(5, 0, 0), "Insufficient permission"),
        78 => ("554", Status(5, 3, 5), "Local configuration error"),
        other => {
            let text = format!("unknown mailer error {other}");
            return told_never((other, "554"), Status(5, 3, 0), &text, output);
        }
    };
    told_never((code, reply), status, text, output)
}

fn delivered(output: &[u8]) -> Outcome {
    let (host, text) = Default::default();
    Outcome::Delivered { host, text, answer: output.trim_ascii().into() }
}

/// For good; with the number that the program ended with, and the reply that stands for it.
fn told_never((exit, code): (i32, &str), status: Status, text: &str, output: &[u8]) -> Outcome {
    let reply = [format!("{code} {status} {text}").as_bytes(), b"\n", output].concat();
    let reply = reply.trim_ascii_end().into();
    let command = [queue::EXIT, exit.to_string().as_bytes()].concat().into();
    let said = Some(Box::new(Said { command, reply }));
    Outcome::Never(Trouble { said, voice: Voice::Local, ..Trouble::ours(status, text.as_bytes()) })
}

/// For now; in the program's own words, if it has any.
fn told_later(status: Status, text: &str, output: &[u8]) -> Outcome {
    let first = output.split(|&octet| octet == b'\n').next().unwrap_or_default();
    later(status, if first.is_empty() { text.as_bytes() } else { first })
}

fn later(status: Status, text: &[u8]) -> Outcome {
    let trouble = Trouble::ours(status, text).cleaned();
    Outcome::Later { trouble, scope: Scope::Recipient }
}

fn never(status: Status, text: &[u8]) -> Outcome {
    Outcome::Never(Trouble::ours(status, text).cleaned())
}

#[cfg(test)]
mod tests;
