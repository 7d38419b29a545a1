//! `mailstats`: what the file of statistics (`StatusFile`) has counted, by mailers, in sendmail's columns.

use crate::configured;
use crate::exit;
use daemon::statistics::{Counts, Statistics};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;

/// Signs of the line above the sums.
const RULE_LEN: usize = 69;

/// sysexits.h: a file can't be opened.
const NOINPUT: u8 = 66;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    /// `-C`: the configuration.
    config: Option<OsString>,
    /// `-f`: the file, instead of that of the configuration.
    file: Option<OsString>,
    /// `-P`, `-p`: for programs.
    for_programs: bool,
    /// `-p`: the file is begun anew afterwards.
    resets: bool,
    /// `-o`: without the names of mailers.
    without_names: bool,
}

/// Carries it out.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let Some(flags) = Flags::read(words) else {
        complain("usage: mailstats [-C cffile] [-P] [-f stfile] [-o] [-p]");
        return ExitCode::from(exit::USAGE);
    };
    let config = flags.config.iter().flat_map(|file| ["-C".into(), file.clone()]);
    let config: Vec<OsString> = config.collect();
    ExitCode::from(configured::with(&config, b't', |run| {
        let config = &run.machine.config;
        let configured =
            config.options.values.get("StatusFile").map(|path| OsStr::from_bytes(path));
        let Some(path) = flags.file.as_deref().or(configured) else {
            complain("mailstats: no statistics file located");
            return NOINPUT;
        };
        let names: Vec<&[u8]> = config.mailers.iter().map(|mailer| &*mailer.name).collect();
        match show(path, &flags, &names) {
            Ok(()) => 0,
            Err(error) => {
                let text = sys::error_words(&error);
                complain(&format!("mailstats: {}: {text}", path.display()));
                NOINPUT
            }
        }
    }))
}

impl Flags {
    /// `None`: there is a word that says nothing.
    fn read(words: &[OsString]) -> Option<Self> {
        let mut flags = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut letters = word.as_bytes().strip_prefix(b"-")?;
            while let Some((&letter, rest)) = letters.split_first() {
                letters = rest;
                match letter {
                    b'P' => flags.for_programs = true,
                    b'p' => (flags.for_programs, flags.resets) = (true, true),
                    b'o' => flags.without_names = true,
                    b'C' | b'f' => {
                        let value = if rest.is_empty() {
                            words.next()?.clone()
                        } else {
                            OsStr::from_bytes(rest).to_owned()
                        };
                        let place =
                            if letter == b'C' { &mut flags.config } else { &mut flags.file };
                        *place = Some(value);
                        letters = b"";
                    }
                    _ => return None,
                }
            }
        }
        Some(flags)
    }
}

fn complain(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Shows the file, and begins it anew if that is wanted.
fn show(path: &OsStr, flags: &Flags, names: &[&[u8]]) -> io::Result<()> {
    let file = open(path, flags.resets)?;
    let statistics = Statistics::read(&file)?;
    let now_s = i64::try_from(sys::clock::realtime_s()).unwrap_or(i64::MAX);
    let text = if flags.for_programs {
        for_programs(&statistics, now_s, flags, names)
    } else {
        for_people(&statistics, flags, names)
    };
    io::stdout().write_all(text.as_bytes())?;
    if flags.resets {
        file.set_len(0)?;
        Statistics::since(now_s).write(&file)?;
    }
    Ok(())
}

fn open(path: &OsStr, writes: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(writes).custom_flags(sys::disk::NO_LINK).open(path)
}

/// The mailers that counted something, with their numbers, and the sum of all.
fn counted(statistics: &Statistics) -> (Vec<(usize, Counts)>, Counts) {
    let mut sum = Counts::default();
    let all = statistics.mailers.iter().copied().enumerate();
    let counted: Vec<(usize, Counts)> = all.filter(|(_, counts)| !counts.is_zero()).collect();
    for (_, counts) in &counted {
        sum.add(*counts);
    }
    (counted, sum)
}

/// The name of a mailer, two blanks before it; nothing, if names are not wanted.
fn name(number: usize, flags: &Flags, names: &[&[u8]]) -> String {
    let name = names.get(number).filter(|_| !flags.without_names);
    name.map(|name| format!("  {}", name.escape_ascii())).unwrap_or_default()
}

fn for_people(statistics: &Statistics, flags: &Flags, names: &[&[u8]]) -> String {
    let since_s = u64::try_from(statistics.since_s).unwrap_or(0);
    let mut out = format!("Statistics from {}\n", daemon::statistics_time(since_s));
    let heading = if flags.without_names { "" } else { "  Mailer" };
    let columns = " M   msgsfr  bytes_from   msgsto    bytes_to  msgsrej msgsdis msgsqur";
    // Writing into a string does not fail.
    writeln!(out, "{columns}{heading}").ok();
    let (counted, sum) = counted(statistics);
    for (number, counts) in &counted {
        out.push_str(&row(&number.to_string(), counts, "K", &name(*number, flags, names)));
    }
    writeln!(out, "{}", "=".repeat(RULE_LEN)).ok();
    out.push_str(&row("T", &sum, "K", ""));
    let [from, to, refused] = statistics.connections;
    writeln!(out, " C {from:>8}             {to:>8}             {refused:>8}").ok();
    out
}

fn for_programs(statistics: &Statistics, now_s: i64, flags: &Flags, names: &[&[u8]]) -> String {
    let mut out = format!("{} {now_s}\n", statistics.since_s);
    let (counted, sum) = counted(statistics);
    let lines = counted
        .iter()
        .map(|(number, counts)| (number.to_string(), counts, name(*number, flags, names)));
    for (mark, counts, name) in lines.chain([("T".to_owned(), &sum, String::new())]) {
        out.push_str(&row(&mark, counts, "", &name));
    }
    let [from, to, refused] = statistics.connections;
    // Writing into a string does not fail.
    writeln!(out, " C {from:>8} {to:>8} {refused:>6}").ok();
    out
}

/// The counts of a mailer, sizes with their unit.
fn row(mark: &str, counts: &Counts, unit: &str, name: &str) -> String {
    let Counts { from, from_kib, to, to_kib, rejected, discarded, quarantined } = counts;
    format!(
        "{mark:>2} {from:>8} {from_kib:>10}{unit} {to:>8} {to_kib:>10}{unit} {rejected:>8} {discarded:>7} {quarantined:>7}{name}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Option<Flags> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Flags::read(&words)
    }

    #[test]
    fn columns_are_those_of_sendmail() {
        let mut statistics = Statistics::since(0);
        if let Some(local) = statistics.mailers.get_mut(3) {
            *local = Counts { from: 2, from_kib: 2, to: 2, to_kib: 2, ..Counts::default() };
        }
        let names: [&[u8]; 4] = [b"prog", b"*file*", b"*include*", b"local"];
        let text = for_people(&statistics, &flags(&[]).unwrap(), &names);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        let wanted = [
            " 3        2          2K        2          2K        0       0       0  local",
            "=====================================================================",
            " T        2          2K        2          2K        0       0       0",
            " C        0                    0                    0",
        ];
        assert_eq!(rows, wanted);
        let text = for_programs(&statistics, 7, &flags(&["-po"]).unwrap(), &names);
        assert!(text.starts_with(
            "0 7\n 3        2          2        2          2        0       0       0\n T "
        ));
    }

    #[test]
    fn flags_stand_together_and_values_behind_them_or_alone() {
        let read = flags(&["-po", "-Ca.cf", "-f", "st"]).unwrap();
        assert!(read.resets && read.for_programs && read.without_names);
        assert_eq!((read.config, read.file), (Some("a.cf".into()), Some("st".into())));
        assert!(flags(&["-x"]).is_none() && flags(&["st"]).is_none() && flags(&["-f"]).is_none());
    }
}
