//! The questions that a mail server asks of its owner, and the answers.
//!
//! Sessions, the queue and the commands know only this face. Which language the owner wrote in
//! (`ironpost.toml` or `sendmail.cf`) is known by the crates that implement [`Policy`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]

extern crate alloc;

pub mod dress;
mod file;
pub mod host_access;
mod question;
mod route;
pub mod settings;
mod verdict;

pub use dress::{Dress, Dressed, Story};
pub use file::{FileFacts, FileSeen, FileTrouble, FileWanted};
pub use question::{Ask, Facts, Macros, Origin, Parameters, Question, Resolved};
pub use route::{
    Carriage, Controller, Expansion, Led, LmtpPlace, MailboxPlace, Mailer, MailerFlags, MailerId,
    Member, Program, Recipient, RefusedMember, Route, Transport, with_host,
};
pub use settings::Settings;
pub use verdict::{Acceptance, Note, Refusal, Verdict};

/// What the owner of a mail server decides. Implemented once a configuration language.
///
/// Every method is a pure function of its argument and of the maps behind the policy: no session
/// state is kept, so a policy can be replaced between any two questions, and a recorded question
/// can be asked again.
pub trait Policy {
    /// What the roles need to know before any question: limits, timeouts, mailers, listeners.
    fn settings(&self) -> &Settings;

    /// May this go on?
    fn judge(&self, question: &Question) -> Verdict;

    /// Where does mail for this address go? For addresses that no session has judged: recipients
    /// of reports and of expansions.
    ///
    /// `address` is without angle brackets.
    fn route(&self, address: &[u8]) -> Result<Route, Refusal>;

    /// Who stands behind this name? Asked by the queue for a [`Route`] that `expands`.
    fn expand(&self, address: &[u8], route: &Route) -> Expansion;

    /// The same for a message of this sender (empty: nobody's), whom a policy may leave out of lists, with what was read of
    /// the files that an earlier answer wanted ([`Expansion::wanted`]). A policy without such lists and files needs neither.
    fn expand_with(
        &self,
        address: &[u8],
        route: &Route,
        _sender: &[u8],
        _files: &[FileSeen],
    ) -> Expansion {
        self.expand(address, route)
    }

    /// A batch in the form that its mailer wants: its header, its addresses (masquerading, generic names, missing domains).
    /// Asked only if [`Settings::dresses_mail`]; a policy without such rules gives it back as it is.
    ///
    /// # Errors
    /// The maps can't say now: a temporary refusal.
    fn dress(&self, dress: Dress) -> Result<Dressed, Refusal> {
        Ok(dress.into())
    }
}
