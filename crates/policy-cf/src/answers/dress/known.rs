//! What is known of fields by their names: whose addresses they hold, which of them are trace, which are resent.

/// What a field is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kind(u16);

impl Kind {
    /// Addresses of senders.
    pub(super) const FROM: Self = Self(1);
    /// Addresses of recipients.
    pub(super) const TO: Self = Self(2);
    /// Of somebody who sent the message once more: an H line of it counts only where the message was resent.
    pub(super) const RESENT: Self = Self(4);
    /// The message's own field does not replace the H line's.
    pub(super) const BESIDE: Self = Self(8);
    /// Left out where the mailer's flags do not ask for it, even if it is the message's own.
    pub(super) const CHECKED: Self = Self(16);
    /// Its template is expanded when the mailer is known.
    pub(super) const LATE: Self = Self(32);
    /// Recipients that others must not see.
    pub(super) const BLIND: Self = Self(64);
    /// Asks for a receipt.
    pub(super) const RECEIPT: Self = Self(128);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is in it.
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What a field of this name is.
    pub(super) fn of(name: &[u8]) -> Self {
        let found = TABLE.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map_or(Self::default(), |(_, kind)| *kind)
    }
}

const TABLE: [(&str, Kind); 27] = [
    ("from", Kind::FROM),
    ("sender", Kind::FROM),
    ("reply-to", Kind::FROM),
    ("errors-to", Kind::FROM),
    ("disposition-notification-to", Kind::FROM),
    ("resent-from", Kind::FROM.and(Kind::RESENT)),
    ("resent-sender", Kind::FROM.and(Kind::RESENT)),
    ("resent-reply-to", Kind::FROM.and(Kind::RESENT)),
    ("to", Kind::TO),
    ("cc", Kind::TO),
    ("bcc", Kind::TO.and(Kind::BLIND)),
    ("apparently-to", Kind::TO),
    ("resent-to", Kind::TO.and(Kind::RESENT)),
    ("resent-cc", Kind::TO.and(Kind::RESENT)),
    ("resent-bcc", Kind::TO.and(Kind::RESENT).and(Kind::BLIND)),
    ("resent-date", Kind::RESENT),
    ("resent-message-id", Kind::RESENT),
    ("received", Kind::BESIDE),
    ("x400-received", Kind::BESIDE),
    ("via", Kind::BESIDE),
    ("mail-from", Kind::BESIDE),
    ("comments", Kind::BESIDE),
    ("x-authentication-warning", Kind::BESIDE),
    ("return-path", Kind::BESIDE.and(Kind::CHECKED).and(Kind::LATE)),
    ("full-name", Kind::CHECKED),
    ("content-length", Kind::CHECKED),
    ("return-receipt-to", Kind::RECEIPT),
];
