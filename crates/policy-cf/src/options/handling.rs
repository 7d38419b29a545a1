//! Options of sendmail that mean something else here, or nothing: what happens instead.
//!
//! They are read and checked like all others, so that no file has to be changed; `ironpost check` names them.

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// There is nothing left for it to do.
    NotNeeded,
    /// What it asks for is not done.
    Refused,
}

/// An option's name, what becomes of it, and what happens instead.
pub type Handled = (&'static str, Handling, &'static str);

use Handling::{NotNeeded, Refused};

/// All of them, by name.
pub const HANDLED: &[Handled] = &[
    ("AliasWait", NotNeeded, "aliases are read as they are; nobody waits for another's newaliases"),
    ("CheckpointInterval", NotNeeded, "what came of each recipient is on the disk at once"),
    ("DataFileBufferSize", NotNeeded, "messages go to the spool's log, not to files of their own"),
    ("DontBlameSendmail", Refused, "maps in unsafe folders stay closed, whatever it lists"),
    ("DontInitGroups", NotNeeded, "a delivery has its user's own groups and no others"),
    ("FastSplit", NotNeeded, "envelopes are split in memory, at no cost; 0 orders recipients"),
    ("ForkEachJob", NotNeeded, "no message has a process of its own"),
    ("MailboxDatabase", NotNeeded, "users are those of the system"),
    ("MaxQueueChildren", NotNeeded, "one scheduler serves the queue; there are no queue runners"),
    ("MaxRunnersPerQueue", NotNeeded, "one scheduler serves the queue; there are no queue runners"),
    ("NiceQueueRun", NotNeeded, "one scheduler serves the queue; there are no queue runners"),
    ("ProcessTitlePrefix", NotNeeded, "each process has the name of its role"),
    ("QueueFileMode", NotNeeded, "only the queue's own process can read the spool"),
    ("RandFile", NotNeeded, "random numbers are the kernel's"),
    ("RebuildAliases", Refused, "aliases are rebuilt by newaliases only"),
    ("RequiresDirfsync", NotNeeded, "the spool syncs what it needs on every file system"),
    ("RunAsUser", NotNeeded, "each role has a user of its own; see `ironpost privileges`"),
    ("SSLEngine", Refused, "no code is loaded into a running process"),
    ("SSLEnginePath", Refused, "no code is loaded into a running process"),
    ("SharedMemoryKey", NotNeeded, "processes share no memory"),
    ("SharedMemoryKeyFile", NotNeeded, "processes share no memory"),
    ("TempFileMode", NotNeeded, "there are no temporary files"),
    ("UnsafeGroupWrites", Refused, "files that a group may write are unsafe, whatever it says"),
    ("XscriptFileBufferSize", NotNeeded, "there are no transcript files"),
];

/// What becomes of an option that is not simply used.
#[must_use]
pub fn of(name: &str) -> Option<&'static Handled> {
    HANDLED.iter().find(|(own, _, _)| *own == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::OPTIONS;

    #[test]
    fn every_name_is_in_the_one_table_of_options() {
        for (name, _, _) in HANDLED {
            assert!(OPTIONS.iter().any(|spec| spec.name == *name), "{name}");
        }
    }
}
