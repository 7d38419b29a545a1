//! What all sessions of one configuration share.

use policy::Settings;

/// Settings, and which questions are worth asking. Made once, shared by all sessions (`Arc`).
#[derive(Debug)]
pub struct Terms {
    /// The owner's settings.
    pub settings: Settings,
    /// Which questions the policy wants to be asked.
    pub questions: Questions,
}

/// A set of questions. MAIL and RCPT are always asked, VRFY and EXPN as the settings say; the others cost a round trip a
/// message each and are asked only of policies that have an opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Questions(u8);

impl Questions {
    /// None of the optional ones.
    pub const ENVELOPE: Self = Self(0);
    /// [`policy::Ask::Connect`].
    pub const CONNECT: Self = Self(1);
    /// [`policy::Ask::Hello`].
    pub const HELLO: Self = Self(2);
    /// [`policy::Ask::Data`].
    pub const DATA: Self = Self(4);
    /// [`policy::Ask::EndOfHeader`].
    pub const END_OF_HEADER: Self = Self(8);
    /// [`policy::Ask::EndOfMessage`].
    pub const END_OF_MESSAGE: Self = Self(16);
    /// All.
    pub const ALL: Self = Self(31);

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
