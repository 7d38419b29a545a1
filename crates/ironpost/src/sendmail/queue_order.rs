//! What an operator orders of a queue by a sendmail.cf: `-q`, `-Q`, `-q30m`. The server that has the queue does it, or one of our
//! own that lasts as long as the run.

use super::background;
use crate::exit;
use crate::printer::Printer;
use crate::verify::QueueLook;
use daemon::client::{Client, ClientError};
use daemon::edges::{Argument, Errand};
use daemon::job::{Job, Seen};
use daemon::request::Request;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// An order, and the queue that it is about.
pub(crate) struct Order<'a> {
    /// The configuration.
    pub(crate) config: &'a Path,
    /// Options and macros of the command line.
    pub(crate) arguments: &'a [Argument],
    /// The queue.
    pub(crate) queue: QueueLook,
    /// `-v`.
    pub(crate) is_verbose: bool,
    /// Whether a run is waited for: only then its exit status tells of failures.
    pub(crate) is_awaited: bool,
}

impl Order<'_> {
    /// A server that has this queue.
    pub(crate) fn server(&self) -> Option<Client> {
        self.queue.place.as_ref().and_then(|place| Client::connect(&place.run).ok())
    }

    /// `-q`, `-Q`: once.
    pub(crate) fn run(&self, printer: &mut Printer) -> ExitCode {
        if self.queue.is_of_lost {
            return ExitCode::SUCCESS;
        }
        if self.is_awaited || self.server().is_some() {
            return self.run_awaited(printer);
        }
        self.take_in(None);
        match Job::start_in_background(self.config, self.arguments, self.errand()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => printer.fail("sendmail", &error.to_string(), exit::TEMPFAIL),
        }
    }

    /// Takes in what sendmail left in the queue; the exit status tells of what could not be read.
    pub(crate) fn take_in(&self, printer: Option<&mut Printer>) -> u8 {
        // Where the spool is not to be had, all stays where it is until the next run.
        self.queue.old.take_in(self.config, self.arguments, printer).unwrap_or(exit::TEMPFAIL)
    }

    fn errand(&self) -> Errand {
        Errand::Run(Box::new(self.queue.run.clone()))
    }

    fn run_awaited(&self, printer: &mut Printer) -> ExitCode {
        if let Some(mut server) = self.server() {
            return match server.order(&Request::Run(Box::new(self.queue.run.clone()))) {
                Ok(_) => ExitCode::SUCCESS,
                Err(ClientError::NotPermitted) => {
                    let why = "You do not have permission to process the queue";
                    printer.fail("sendmail", why, exit::NOPERM)
                }
                Err(error) => printer.fail("sendmail", &error.to_string(), exit::TEMPFAIL),
            };
        }
        let folder = String::from_utf8_lossy(&self.queue.folder).into_owned();
        let taken = self.take_in(self.is_verbose.then_some(&mut *printer));
        let finish = |job: Job| {
            if !self.is_verbose {
                return job.finish();
            }
            job.finish_watched(&mut |seen| match seen {
                Seen::Text(text) => printer.octets(text),
                Seen::Running { id, number, total } => {
                    printer
                        .line(&format!("\nRunning {folder}/{id} (sequence {number} of {total})"));
                }
            })
        };
        match Job::start(self.config, self.arguments, self.errand()).and_then(finish) {
            Ok(outcomes) => {
                let status = crate::submit::status_of(&outcomes);
                ExitCode::from(if status == 0 { taken } else { status })
            }
            Err(error) => printer.fail("sendmail", &error.to_string(), exit::TEMPFAIL),
        }
    }

    /// `-q30m`: again and again in the background, until a signal ends us.
    pub(crate) fn keep_running(
        &self,
        interval_s: u32,
        words: &[OsString],
        printer: &mut Printer,
    ) -> ExitCode {
        if !background::is_here() {
            return match background::leave(words) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => printer.fail("sendmail", &error.to_string(), exit::TEMPFAIL),
            };
        }
        background::settle();
        let pid_file = &self.queue.pid_file;
        if !pid_file.is_empty() {
            daemon::write_pid_file(pid_file).ok();
        }
        if self.queue.log_level > 8 {
            let time = daemon::clock(interval_s.into());
            let line = format!("starting daemon ({}): queueing@{time}", daemon::RELEASE);
            maps::syslog::send(maps::syslog::INFO, line.as_bytes());
        }
        loop {
            // What goes wrong once may go right the next time; it is in the log.
            let _status = self.run_awaited(printer);
            std::thread::sleep(Duration::from_secs(interval_s.into()));
        }
    }
}
