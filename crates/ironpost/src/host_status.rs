//! `hoststat` and `purgestat` (`sendmail -bh`, `-bH`): what is known of other hosts (`HostStatusDirectory`).

use crate::exit;
use crate::printer::Printer;
use crate::sendmail::queue_order::Order;
use daemon::edges::{Errand, HostStatus};
use daemon::job::Job;
use daemon::request::{HostsOrder, Request};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Octets of a result that fit into a line; more with `-v`.
const RESULT_LEN: usize = 25;

/// Lists the hosts, or forgets what is too old to be used: the server that has the queue does it, or one is started for it.
pub(crate) fn run(order: &Order<'_>, purges: bool, printer: &mut Printer) -> ExitCode {
    if !order.queue.keeps_host_status {
        return ExitCode::SUCCESS;
    }
    let mut hosts: Vec<HostStatus> = Vec::new();
    let mut each = |status: HostStatus| hosts.push(status);
    let errand = if purges { Errand::Keep } else { Errand::Look };
    let done = match order.server() {
        Some(mut server) if purges => server
            .order(&Request::Hosts(HostsOrder::Purge))
            .map(drop)
            .map_err(|why| why.to_string()),
        Some(mut server) => server.hosts(&mut each).map_err(|why| why.to_string()),
        None => Job::start(order.config, order.arguments, errand)
            .and_then(|mut job| {
                job.hosts(purges, &mut each)?;
                job.finish()
            })
            .map(drop)
            .map_err(|error| error.to_string()),
    };
    if let Err(why) = done {
        let name = if purges { "purgestat" } else { "hoststat" };
        return printer.fail(name, &why, exit::TEMPFAIL);
    }
    if !purges && !hosts.is_empty() {
        let text = listing(&hosts, sys::clock::realtime_ms(), order.is_verbose);
        printer.octets(text.as_bytes());
    }
    ExitCode::SUCCESS
}

/// The hosts in sendmail's columns.
fn listing(hosts: &[HostStatus], now_ms: u64, is_verbose: bool) -> String {
    let mut out =
        format!(" -------------- Hostname --------------- How long ago {:-^25}\n", "Results");
    for status in hosts {
        let age = age(now_ms.saturating_sub(status.at_ms) / 1000);
        let words = String::from_utf8_lossy(&status.words);
        let limit = if is_verbose { usize::MAX } else { RESULT_LEN };
        let words: String = words.chars().take(limit).collect();
        let host = String::from_utf8_lossy(&status.host);
        // Writing into a string does not fail.
        writeln!(out, " {host:<39} {age:>12} {words}").ok();
    }
    out
}

/// A time as `hoststat` writes it: days, a plus, and the clock.
fn age(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = if days > 0 { format!("{days}+") } else { String::new() };
    format!("{days}{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_the_columns_of_sendmail() {
        let status = HostStatus {
            host: b"mx1.remote.test"[..].into(),
            at_ms: 1_000,
            words: b"Deferred: Connection refused"[..].into(),
            trouble: None,
        };
        let short = listing(std::slice::from_ref(&status), 92_000_000, false);
        let expected = " -------------- Hostname --------------- How long ago ---------Results---------\n \
            mx1.remote.test                           1+01:33:19 Deferred: Connection refu\n";
        assert_eq!(short, expected);
        assert!(
            listing(&[status], 2_000, true).ends_with("00:00:01 Deferred: Connection refused\n")
        );
    }
}
