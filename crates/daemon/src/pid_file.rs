//! What sendmail's daemon leaves behind for scripts and for people: the file with its process id, the line on its start.

use policy::settings::{Listener, LogTo, Retry, Settings};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// How a daemon of sendmail's command line differs from `ironpost serve`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AsSendmail {
    /// From one run of the queue to the next, in seconds; 0: it is run by order only.
    pub interval_s: u32,
    /// Whether runners stay (`-qp`).
    pub is_persistent: bool,
    /// Whether only this host may connect, whatever the file says (`-bl`).
    pub is_local: bool,
    /// Whether somebody reads standard output; else the log goes to the system's.
    pub has_terminal: bool,
}

impl AsSendmail {
    /// Makes the settings what the command line says.
    pub(crate) fn adjust(&self, settings: &mut Settings) {
        self.adjust_retry(&mut settings.retry);
        if !self.has_terminal {
            settings.logging.to = LogTo::Syslog;
        }
        if self.is_local {
            settings.listeners.iter_mut().for_each(Listener::stay_here);
        }
    }

    /// When messages are tried again: at each run, or never by themselves.
    fn adjust_retry(&self, retry: &mut Retry) {
        let pause_s = match self.interval_s {
            0 => Retry::BY_ORDER_S,
            interval_s => interval_s.max(retry.young_s),
        };
        (retry.first_s, retry.longest_s) = (pause_s, pause_s);
    }

    /// The line on its start.
    pub(crate) fn line(&self, listens: bool) -> String {
        let time = crate::date::clock(self.interval_s.into());
        let how = if self.is_persistent { "persistent-queueing" } else { "queueing" };
        let what = match (listens, self.interval_s) {
            (true, 0) => "SMTP".to_owned(),
            (true, _) => format!("SMTP+{how}@{time}"),
            (false, _) => format!("{how}@{time}"),
        };
        format!("starting daemon ({}): {what}", crate::RELEASE)
    }
}

/// Writes our process id and our command line, a line each.
///
/// # Errors
/// The file can't be written.
pub fn write(path: &[u8]) -> std::io::Result<()> {
    let mut text = format!("{}\n", std::process::id()).into_bytes();
    let words: Vec<Vec<u8>> = std::env::args_os().map(|word| word.as_bytes().to_vec()).collect();
    text.extend_from_slice(&words.join(&b' '));
    text.push(b'\n');
    open(path)?.write_all(&text)
}

fn open(path: &[u8]) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644).custom_flags(sys::disk::NO_LINK);
    options.open(OsStr::from_bytes(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_on_the_start_says_what_is_served() {
        let line = |interval_s, is_persistent, listens| {
            let daemon = AsSendmail { interval_s, is_persistent, ..AsSendmail::default() };
            daemon.line(listens).split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(line(0, false, true), "SMTP");
        assert_eq!(line(30, false, true), "SMTP+queueing@00:00:30");
        assert_eq!(line(1, true, true), "SMTP+persistent-queueing@00:00:01");
        assert_eq!(line(90_000, false, false), "queueing@1+01:00:00");
    }

    #[test]
    fn without_runs_nothing_is_tried_again_by_itself() {
        let mut retry = Retry { young_s: 1800, ..Retry::default() };
        AsSendmail::default().adjust_retry(&mut retry);
        assert!(retry.is_by_order());
        AsSendmail { interval_s: 60, ..AsSendmail::default() }.adjust_retry(&mut retry);
        assert_eq!((retry.first_s, retry.longest_s), (1800, 1800));
    }
}
