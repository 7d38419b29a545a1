//! How the server behaves towards those who talk to it: what it demands, offers, counts and asks.
//!
//! Each is a small set of flags or a number, so that a session decides with one comparison and keeps nothing of its own.

use serde::{Deserialize, Serialize};

/// How the server behaves. The defaults are those of a configuration that says nothing: the safe side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manners {
    /// What a client must do first, and what it may not do (sendmail's `PrivacyOptions`).
    pub privacy: Privacy,
    /// What EHLO offers beside what is always there.
    pub offers: Offers,
    /// What the policy wants to be asked.
    pub questions: Questions,
    /// Quirks of an older server that the owner's configuration counts on.
    pub quirks: Quirks,
    /// NOOP, HELP and the like of a session before each costs time (sendmail's `MaxNOOPCommands`); 0: no limit.
    pub idles_max: u32,
    /// Refused recipients of a message before each further one costs a second (`BadRcptThrottle`); 0: never.
    pub bad_recipients_free: u32,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            privacy: Privacy::NO_ETRN.and(Privacy::NO_VERB),
            offers: Offers::CHUNKING.and(Offers::SMTPUTF8),
            questions: Questions::ENVELOPE,
            quirks: Quirks::NONE,
            idles_max: 20,
            bad_recipients_free: 0,
        }
    }
}

/// Makes a set of flags: `NONE`, the named ones, `and`, `has`.
macro_rules! flags {
    ($(#[$doc:meta])* $name:ident: $word:ty { $($(#[$flag_doc:meta])* $flag:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name($word);

        impl $name {
            /// None of them.
            pub const NONE: Self = Self(0);
            $($(#[$flag_doc])* pub const $flag: Self = Self($value);)*

            /// Both together.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Without those of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// Whether all of `other` are in it.
            #[must_use]
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }
    };
}

flags! {
    /// What a client must do first, and what it may not do.
    Privacy: u16 {
        /// MAIL only after HELO or EHLO.
        NEED_MAIL_HELLO = 1,
        /// EXPN only after HELO or EHLO.
        NEED_EXPN_HELLO = 2,
        /// VRFY only after HELO or EHLO.
        NEED_VRFY_HELLO = 4,
        /// ETRN is refused and not offered.
        NO_ETRN = 8,
        /// VERB is refused, also to users of this machine, and not offered.
        NO_VERB = 16,
        /// What looks forged is noted in the log and the header.
        AUTH_WARNINGS = 32,
    }
}

flags! {
    /// What EHLO offers beside what is always there.
    Offers: u16 {
        /// CHUNKING, and BDAT is understood (RFC 3030).
        CHUNKING = 1,
        /// SMTPUTF8 (RFC 6531).
        SMTPUTF8 = 2,
        /// DELIVERBY (RFC 2852).
        DELIVERBY = 4,
        /// SIZE without a number: the owner set no limit, ours is not told.
        SIZE_BARE = 8,
    }
}

flags! {
    /// Quirks of an older server.
    Quirks: u16 {
        /// A HELO argument that is no host's name is taken (`AllowBogusHELO`).
        BOGUS_HELLO = 1,
        /// A recipient that leads where an earlier one leads is the earlier one, in replies and in number.
        MERGED_RECIPIENTS = 2,
        /// Date, From and Message-Id are added to all mail that lacks them, not to submissions alone.
        FIELDS_ADDED = 4,
        /// Addresses are judged by the policy even where their grammar is wrong, for its words.
        ADDRESSES_JUDGED = 8,
        /// Spaces before a verb are overlooked, and so is a missing CR behind a command.
        LOOSE_COMMANDS = 16,
        /// A lone CR or LF in a message ends the session with 421, not the message with 550.
        BARE_ENDS_CLOSE = 32,
        /// What looks like an attack costs the client 1, 2, 4 … seconds, not a line in the log alone.
        DOUBLING_PAUSES = 64,
        /// A client that says nothing for too long is left without a word, not with 421.
        SILENT_TIMEOUTS = 128,
        /// Who says more behind HELO or EHLO than that, before it was answered, gets nothing: 554.
        LONE_HELLO = 256,
        /// A message with an octet 0 is refused (`RejectNUL`).
        NO_NUL = 512,
        /// The log writes all parts of IPv6 addresses, as rule sets see them (without `UseCompressedIPv6Addresses`).
        WHOLE_IPV6 = 2048,
        /// A dialogue of a command (`-bs`) logs of each recipient that he waits, if nothing is tried at once (`UseMSP`).
        QUEUED_LOGGED = 1024,
    }
}

flags! {
    /// A set of questions. MAIL and RCPT are always asked, VRFY and EXPN as the settings say; the others cost a round trip
    /// each and are asked only of policies that have an opinion.
    Questions: u16 {
        /// [`crate::Ask::Connect`].
        CONNECT = 1,
        /// [`crate::Ask::Hello`].
        HELLO = 2,
        /// [`crate::Ask::Data`].
        DATA = 4,
        /// [`crate::Ask::EndOfHeader`].
        END_OF_HEADER = 8,
        /// [`crate::Ask::EndOfMessage`].
        END_OF_MESSAGE = 16,
        /// [`crate::Ask::Help`].
        HELP = 32,
        /// [`crate::Ask::Turn`].
        TURN = 64,
        /// [`crate::Ask::Other`].
        OTHER = 128,
    }
}

impl Questions {
    /// None of the optional ones.
    pub const ENVELOPE: Self = Self::NONE;
    /// All.
    pub const ALL: Self = Self(255);
}

flags! {
    /// What one listener does otherwise (the modifiers of sendmail's `DaemonPortOptions`).
    Modifiers: u8 {
        /// Mail only after AUTH (`a`).
        NEED_AUTH = 1,
        /// No ETRN (`E`).
        NO_ETRN = 2,
        /// No STARTTLS (`S`).
        NO_STARTTLS = 4,
        /// TLS from the first octet (`s`).
        TLS = 8,
    }
}
