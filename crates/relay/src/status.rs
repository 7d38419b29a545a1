//! What is known of hosts from earlier tries (`HostStatusDirectory`, sendmail's persistent host status).
//!
//! A host that did not let an errand in is left alone for `Timeout.hoststatus`: its trouble is the answer to the next job, too.
//! The relay keeps this in memory and reports each change; who may write files keeps it for the next command.

use queue::{Outcome, Trouble, printable};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Hosts that are remembered; when there are more, the one that was heard of first is forgotten.
pub const HOSTS_MAX: usize = 4096;

/// Octets of what is shown of a host.
const WORDS_BYTES_MAX: usize = 78;

/// Changes that one report carries.
const NEWS_MAX: usize = 200;

/// What came of the last try of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its name, without a dot at its end.
    pub host: Box<[u8]>,
    /// When, in ms since 1970.
    pub at_ms: u64,
    /// What `hoststat` shows.
    pub words: Box<[u8]>,
    /// Why it did not let us in, if it did not.
    pub trouble: Option<Trouble>,
}

impl HostStatus {
    /// The same within its bounds, and with nothing that a terminal could misread.
    #[must_use]
    pub fn cleaned(self) -> Self {
        Self {
            host: printable(&self.host, crate::resolve::NAME_BYTES_MAX),
            words: printable(&self.words, WORDS_BYTES_MAX),
            trouble: self.trouble.map(Trouble::cleaned),
            ..self
        }
    }
}

/// What an errand knows of hosts.
#[derive(Debug, Default)]
pub(crate) struct Register {
    known: HashMap<Box<[u8]>, HostStatus>,
    news: Vec<HostStatus>,
    /// The moment of the last change: no two have the same, so that their order is known.
    last_ms: u64,
    /// Names of hosts that offer BDAT and do not know it.
    without_chunks: HashSet<Box<[u8]>>,
}

impl Register {
    /// What was known before.
    pub(crate) fn learn(&mut self, before: Vec<HostStatus>) {
        for status in before {
            self.put(status);
        }
    }

    /// Why a host is left alone, if its last trouble is no older than this.
    pub(crate) fn trouble(&self, name: &[u8], memory_ms: u64) -> Option<Trouble> {
        let status = self.known.get(undotted(name))?;
        let is_fresh = status.at_ms.saturating_add(memory_ms) > sys::clock::realtime_ms();
        status.trouble.as_ref().filter(|_| is_fresh).cloned()
    }

    /// A host did not let us in.
    pub(crate) fn refused(&mut self, name: &[u8], trouble: &Trouble) {
        let words = match &trouble.said {
            Some(said) => said.lines().next().unwrap_or_default().to_vec(),
            None => [b"Deferred: ", short(&trouble.text, name)].concat(),
        };
        self.note(name, &words, Some(trouble.clone()));
    }

    /// A host let us in.
    pub(crate) fn opened(&mut self, name: &[u8]) {
        self.note(name, b"OK", None);
    }

    /// A host does not know BDAT although it said so: until we end it gets DATA.
    pub(crate) fn refused_chunks(&mut self, name: &[u8]) {
        if self.without_chunks.len() >= HOSTS_MAX {
            self.without_chunks.clear();
        }
        self.without_chunks.insert(undotted(name).into());
    }

    /// Whether a host may be sent BDAT, as far as is known.
    pub(crate) fn takes_chunks(&self, name: &[u8]) -> bool {
        !self.without_chunks.contains(undotted(name))
    }

    /// What a host said to a message, if it was about the message.
    pub(crate) fn answered(&mut self, name: &[u8], outcomes: &[(u32, Outcome)]) {
        let words = outcomes.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Relayed { text, .. } => Some([b"250 ", &**text].concat()),
            Outcome::Delivered { .. } => Some(b"250 2.0.0 Accepted".to_vec()),
            Outcome::Later { trouble, .. } | Outcome::Never(trouble) => {
                let said =
                    trouble.said.as_ref().filter(|said| !said.command.starts_with(b"RCPT"))?;
                said.lines().next().filter(|line| !line.is_empty()).map(<[u8]>::to_vec)
            }
        });
        if let Some(words) = words {
            self.note(name, &words, None);
        }
    }

    /// The changes since the last call.
    pub(crate) fn take_news(&mut self) -> Vec<HostStatus> {
        std::mem::take(&mut self.news)
    }

    fn note(&mut self, name: &[u8], words: &[u8], trouble: Option<Trouble>) {
        self.last_ms = sys::clock::realtime_ms().max(self.last_ms.saturating_add(1));
        let status = HostStatus {
            host: undotted(name).into(),
            at_ms: self.last_ms,
            words: words.into(),
            trouble,
        };
        let status = status.cleaned();
        self.news.retain(|old| old.host != status.host);
        if self.news.len() < NEWS_MAX {
            self.news.push(status.clone());
        }
        self.put(status);
    }

    fn put(&mut self, status: HostStatus) {
        if self.known.len() >= HOSTS_MAX && !self.known.contains_key(&status.host) {
            self.known.clear();
        }
        self.known.insert(status.host.clone(), status);
    }
}

/// Trouble with the network without the host that it was with.
fn short<'t>(text: &'t [u8], name: &[u8]) -> &'t [u8] {
    let bare = text.strip_suffix(name).unwrap_or(text);
    let bare = bare.strip_suffix(b" by ").or_else(|| bare.strip_suffix(b" with "));
    bare.unwrap_or(text)
}

fn undotted(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::Status;

    #[test]
    fn a_host_that_is_down_is_left_alone_for_a_while_and_shown_without_its_name() {
        let mut register = Register::default();
        let text = b"Connection refused by mx.a.test.";
        let trouble = Trouble::ours(Status(4, 4, 1), text);
        register.refused(b"mx.a.test.", &trouble);
        assert_eq!(register.trouble(b"mx.a.test.", 60_000), Some(trouble.clone()));
        assert_eq!(register.trouble(b"mx.a.test.", 0), None);
        register.opened(b"mx.a.test.");
        assert_eq!(register.trouble(b"mx.a.test.", 60_000), None);
        register.refused(b"b.test.", &trouble);
        let news = register.take_news();
        let shown: Vec<(&[u8], &[u8])> = news.iter().map(|one| (&*one.host, &*one.words)).collect();
        let other: &[u8] = b"Deferred: Connection refused by mx.a.test.";
        assert_eq!(shown, [(&b"mx.a.test"[..], &b"OK"[..]), (b"b.test", other)]);
        assert!(register.take_news().is_empty());
    }

    #[test]
    fn what_is_known_stays_bounded_whatever_names_come() {
        let mut register = Register::default();
        for number in 0..HOSTS_MAX * 2 + 7 {
            register.opened(format!("h{number}.test.").as_bytes());
        }
        assert!(register.known.len() <= HOSTS_MAX && register.take_news().len() <= NEWS_MAX);
    }
}
