//! What the programs that we start leave behind: processes that went out of their group (setsid) and whose parents ended.

use rustix::process::{Pid, Signal, WaitOptions};
use std::io;
use std::time::{Duration, Instant};

/// The pause between two rounds: who was killed hands his children over.
const PAUSE: Duration = Duration::from_millis(2);

/// From now on processes below us whose parents end become our children, not those of the system's first process.
///
/// # Errors
/// The kernel has no such thing.
pub fn adopt() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Takes note of those who have ended, so that they do not stay as names. Not while one of our own is waited for.
pub fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Ends everything below us, however often it forks, for so long at most. Without /proc that is nothing.
pub fn end_all(within: Duration) {
    let until = Instant::now().checked_add(within);
    while until.is_some_and(|until| Instant::now() < until) {
        let children = children();
        if children.is_empty() {
            return;
        }
        for child in children {
            // Gone meanwhile is as good.
            rustix::process::kill_process(child, Signal::KILL).ok();
        }
        std::thread::sleep(PAUSE);
        reap();
    }
}

/// Our children, by whichever of our threads they are.
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read(thread.path().join("children")).ok());
    let numbers = lists.flat_map(|list| {
        let words = list.split(|&octet| octet == b' ');
        let numbers = words.filter_map(|word| str::from_utf8(word).ok()?.parse().ok());
        numbers.collect::<Vec<i32>>()
    });
    numbers.filter_map(Pid::from_raw).collect()
}
