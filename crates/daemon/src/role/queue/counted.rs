//! What the queue counts for `mailstats`: messages by the mailer that they came from, and by those that they went to.
//!
//! A transaction counts once, however many recipients it has, and a report counts where it goes, not where it came from, as
//! sendmail counts. Connections are not counted: this process sees none.

use super::House;
use crate::log::Severity;
use crate::statistics::{Counts, kib};
use ::queue::{Envelope, Purpose, Stat, To};

/// The macro that names the mailer of a sender.
const SENDER_MAILER: &[u8] = b"mail_mailer";

impl House {
    /// Counts a new message.
    pub(super) fn count_arrival(&mut self, envelope: &Envelope) {
        if envelope.purpose != Purpose::Mail {
            return;
        }
        let macros = &envelope.origin.macros;
        let named = macros.iter().find(|(name, _)| {
            let name =
                name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
            name == SENDER_MAILER
        });
        let Some((_, name)) = named else { return };
        let mailers = &self.settings.mailers;
        let Some(number) = mailers.iter().position(|mailer| mailer.name == *name) else { return };
        let from_kib = kib(envelope.size_bytes);
        self.tally.add(number, Counts { from: 1, from_kib, ..Counts::default() });
    }

    /// Counts what came of a try.
    pub(super) fn count_outcome(&mut self, to: &To) {
        let counts = match to.stat {
            Stat::Sent => Counts { to: 1, to_kib: kib(to.size_bytes), ..Counts::default() },
            Stat::Discarded => Counts { discarded: 1, ..Counts::default() },
            Stat::Quarantined => Counts { quarantined: 1, ..Counts::default() },
            Stat::Deferred | Stat::Failed | Stat::Removed => return,
        };
        self.tally.add(usize::from(to.mailer.0), counts);
    }

    /// Adds what was counted to the file.
    pub(super) fn save_statistics(&mut self) {
        if let Err(error) = self.tally.save() {
            let text = format!("the file of statistics: {error}");
            self.log.line(Severity::Warning, None, text.as_bytes());
        }
    }
}
