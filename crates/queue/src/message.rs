//! A message without its text: the envelope, as the spool keeps it.
//!
//! Coded by hand, with a version in the first octet: old versions stay readable for ever, and a new
//! field means a new version. Version 2 tells more of the origin, version 3 the priority. Whatever the octets are, reading them gives an envelope or an error.

use crate::QueueId;
use crate::coding::{Reader, RecordError, put_count, put_number, put_octets, put_optional};
use crate::recipient::Recipient;
use alloc::{boxed::Box, vec::Vec};
use policy::dress::UNNAMED_SENDER;
use policy::{Macros, Mailer, Resolved, Story};
use serde::{Deserialize, Serialize};

/// The most recipients of one envelope.
pub const RECIPIENTS_MAX: usize = 10_000;

/// The most octets of an address, or of the host or user of a route.
pub const ADDRESS_BYTES_MAX: usize = 4096;

/// The most octets of a fact about the origin.
pub const FACT_BYTES_MAX: usize = 1024;

/// The most macros of an origin.
pub const MACROS_MAX: usize = 64;

/// The most others that hear of failures.
pub const ERRORS_TO_MAX: usize = 100;

/// The version that [`Envelope::encode`] writes.
const VERSION: u8 = 4;

/// Bits in the octet of flags: whether a deadline comes behind it, and what it is.
const DEADLINE: u8 = 32;
const RETURNS: u8 = 64;
const TRACES: u8 = 128;

/// The version whose origins tell neither what the reverse look-up came to nor macros.
const VERSION_1: u8 = 1;

/// The version without a priority.
const VERSION_2: u8 = 2;

/// The version without [`Returns`].
const VERSION_3: u8 = 3;

/// The macro that tells who sent the message that a part for the members of a list was made of.
const FIRST_SENDER: &[u8] = b"f";

/// The macro that names the report that a report is about.
const REPORT_ABOUT: &[u8] = b"report_about";

/// What a recipient counts for the priority.
const RECIPIENT_FACTOR: i64 = 30_000;

/// What kind of octets a message has (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyKind {
    /// Seven bits, or nothing said.
    SevenBit,
    /// BODY=8BITMIME.
    EightBit,
    /// It holds octets above 127, and nobody has said so.
    Unlabelled,
    /// Seven bits, and something was said: BODY=7BIT, or BODY=8BITMIME for nothing.
    DeclaredSeven,
}

impl BodyKind {
    const fn bits(self) -> u8 {
        match self {
            Self::SevenBit => 0,
            Self::EightBit => 1,
            Self::Unlabelled => 16,
            Self::DeclaredSeven => 17,
        }
    }

    fn from_bits(bits: u8) -> Result<Self, RecordError> {
        Ok(match bits & Self::DeclaredSeven.bits() {
            0 => Self::SevenBit,
            1 => Self::EightBit,
            16 => Self::Unlabelled,
            17 => Self::DeclaredSeven,
            _ => return Err(RecordError::Value),
        })
    }

    /// Whether there may be octets above 127.
    #[must_use]
    pub const fn is_eight_bit(self) -> bool {
        matches!(self, Self::EightBit | Self::Unlabelled)
    }
}

/// RET of RFC 3461: what comes back with a report of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Return {
    /// The whole message, if it is not large.
    Full,
    /// Its header.
    Headers,
}

/// How long a delivery may take (RFC 2852).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverBy {
    /// Seconds from the time that the message was accepted; negative if it was late then.
    pub seconds: i64,
    /// The message is given back when time is up; otherwise the sender is only told.
    pub returns: bool,
    /// The sender is told of each relaying.
    pub traces: bool,
}

impl DeliverBy {
    fn decode(reader: &mut Reader<'_>, bits: u8) -> Result<Option<Self>, RecordError> {
        Ok(match bits & (DEADLINE | RETURNS | TRACES) {
            0 => None,
            bits if bits & DEADLINE != 0 => Some(Self {
                seconds: reader.number()?.cast_signed(),
                returns: bits & RETURNS != 0,
                traces: bits & TRACES != 0,
            }),
            _ => return Err(RecordError::Value),
        })
    }

    /// When time is up for a message of this age, both in seconds since 1970.
    #[must_use]
    pub fn due_s(&self, created_s: u64) -> u64 {
        created_s.saturating_add_signed(self.seconds)
    }

    /// Seconds that are left, or since when there is none left, as a negative number.
    #[must_use]
    pub fn left_s(&self, created_s: u64, now_s: u64) -> i64 {
        let age_s = i64::try_from(now_s.saturating_sub(created_s)).unwrap_or(i64::MAX);
        self.seconds.saturating_sub(age_s)
    }
}

/// Why a message exists. It is what makes report loops impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Somebody sent it.
    Mail,
    /// We made it to report on mail; if it fails, the postmaster hears of it.
    Report,
    /// We made it because a report failed; if it fails too, it is dropped.
    DoubleBounce,
}

/// Where a message came from: for the log and for reports, never for decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The client's name by reverse look-up, or empty.
    pub client_name: Box<[u8]>,
    /// The client's address as text (`192.0.2.1`, `IPv6:2001:db8::1`); empty: not by network.
    pub client_address: Box<[u8]>,
    /// What HELO or EHLO said.
    pub hello: Box<[u8]>,
    /// The protocol, as in a Received field (`ESMTPSA`).
    pub protocol: Box<[u8]>,
    /// Who logged in, or the local user's name; empty: nobody.
    pub user: Box<[u8]>,
    /// The local user's number.
    pub uid: Option<u32>,
    /// The listener's place in `Settings::listeners`.
    pub daemon: u8,
    /// What the client's reverse look-up came to.
    pub resolved: Resolved,
    /// Macros that its trace fields may show (`x`: the full name of the sender), names without braces; at most
    /// [`MACROS_MAX`].
    pub macros: Macros,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            client_name: Box::default(),
            client_address: Box::default(),
            hello: Box::default(),
            protocol: Box::default(),
            user: Box::default(),
            uid: None,
            daemon: 0,
            resolved: Resolved::Ok,
            macros: Macros::new(),
        }
    }
}

/// A message without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Its queue id.
    pub id: QueueId,
    /// When it was accepted, in seconds since 1970.
    pub created_s: u64,
    /// Why it exists.
    pub purpose: Purpose,
    /// The reverse-path without angle brackets; empty: `<>`.
    pub sender: Box<[u8]>,
    /// Whom it is for, at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<Recipient>,
    /// Octets of the message.
    pub size_bytes: u64,
    /// What kind of octets it has.
    pub body: BodyKind,
    /// Whether SMTPUTF8 is needed.
    pub is_utf8: bool,
    /// RET of RFC 3461.
    pub ret: Option<Return>,
    /// ENVID of RFC 3461, in xtext as it came.
    pub envelope_id: Option<Box<[u8]>>,
    /// BY of RFC 2852.
    pub by: Option<DeliverBy>,
    /// Where it came from.
    pub origin: Origin,
    /// Why it is kept back (quarantined), if it is.
    pub quarantine: Option<Box<[u8]>>,
    /// [`mailers_mark`] of the mailers that its routes name.
    pub mailers_mark: u32,
    /// What a run of the queue goes by and the log tells (`pri=`), before its tries: the smaller, the sooner.
    pub priority: i64,
    /// What its header says of reports about it.
    pub returns: Returns,
}

/// What the header of a message says of reports about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returns {
    /// Its class (`Precedence`) is below zero: its text never comes back.
    pub without_text: bool,
    /// Who hears of failures and delays beside its sender (`Errors-To`), at most [`ERRORS_TO_MAX`].
    pub also_to: Vec<Recipient>,
}

impl Returns {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.without_text));
        put_count(out, self.also_to.len());
        for recipient in &self.also_to {
            recipient.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let without_text = match reader.octet()? {
            0 => false,
            1 => true,
            _ => return Err(RecordError::Value),
        };
        let count = reader.count(ERRORS_TO_MAX)?;
        let mut also_to = Vec::with_capacity(count);
        for _ in 0..count {
            also_to.push(Recipient::decode(reader)?);
        }
        Ok(Self { without_text, also_to })
    }
}

impl Envelope {
    /// Appends the record to `out`.
    ///
    /// # Errors
    /// [`RecordError::TooMuch`] if a part is above its limit and could not be read back; `out` is
    /// then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        if !self.is_within_limits() {
            return Err(RecordError::TooMuch);
        }
        out.push(VERSION);
        put_number(out, self.id.as_u64());
        put_number(out, self.created_s);
        out.push(match self.purpose {
            Purpose::Mail => 0,
            Purpose::Report => 1,
            Purpose::DoubleBounce => 2,
        });
        put_octets(out, &self.sender);
        put_number(out, self.size_bytes);
        let eight = self.body.bits();
        let ret = match self.ret {
            None => 0_u8,
            Some(Return::Full) => 4,
            Some(Return::Headers) => 8,
        };
        let by = self.by.map_or(0, |by| {
            DEADLINE | if by.returns { RETURNS } else { 0 } | if by.traces { TRACES } else { 0 }
        });
        out.push(eight | (u8::from(self.is_utf8) << 1) | ret | by);
        if let Some(by) = &self.by {
            put_number(out, by.seconds.cast_unsigned());
        }
        put_optional(out, self.envelope_id.as_deref());
        self.origin.encode(out);
        put_optional(out, self.quarantine.as_deref());
        put_number(out, self.mailers_mark.into());
        put_number(out, self.priority.cast_unsigned());
        self.returns.encode(out);
        put_count(out, self.recipients.len());
        for recipient in &self.recipients {
            recipient.encode(out);
        }
        Ok(())
    }

    /// Reads a record of any version.
    ///
    /// # Errors
    /// [`RecordError`]: the octets are not an envelope.
    pub fn decode(octets: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(octets);
        match reader.octet()? {
            version @ (VERSION_1 | VERSION_2 | VERSION_3 | VERSION) => {
                let envelope = Self::decode_from(&mut reader, version)?;
                reader.end()?;
                Ok(envelope)
            }
            other => Err(RecordError::Version(other)),
        }
    }

    fn decode_from(reader: &mut Reader<'_>, version: u8) -> Result<Self, RecordError> {
        let id = QueueId::from_u64(reader.number()?);
        let created_s = reader.number()?;
        let purpose = match reader.octet()? {
            0 => Purpose::Mail,
            1 => Purpose::Report,
            2 => Purpose::DoubleBounce,
            _ => return Err(RecordError::Value),
        };
        let sender = reader.octets(ADDRESS_BYTES_MAX)?;
        let size_bytes = reader.number()?;
        let bits = reader.octet()?;
        let ret = match bits & 0b1100 {
            0 => None,
            0b0100 => Some(Return::Full),
            0b1000 => Some(Return::Headers),
            _ => return Err(RecordError::Value),
        };
        let body = BodyKind::from_bits(bits)?;
        let by = DeliverBy::decode(reader, bits)?;
        let envelope_id = reader.optional(FACT_BYTES_MAX)?;
        let origin = Origin::decode(reader, version)?;
        let quarantine = reader.optional(FACT_BYTES_MAX)?;
        let mailers_mark = reader.number_32()?;
        let told = match version {
            VERSION_1 | VERSION_2 => None,
            _ => Some(reader.number()?.cast_signed()),
        };
        let returns = match version {
            VERSION => Returns::decode(reader)?,
            _ => Returns::default(),
        };
        let count = reader.count(RECIPIENTS_MAX)?;
        let mut recipients = Vec::with_capacity(count);
        for _ in 0..count {
            recipients.push(Recipient::decode(reader)?);
        }
        let priority = told.unwrap_or_else(|| usual_priority(size_bytes, count));
        Ok(Self {
            id,
            created_s,
            purpose,
            sender,
            recipients,
            size_bytes,
            body,
            is_utf8: bits & 2 != 0,
            ret,
            envelope_id,
            by,
            origin,
            quarantine,
            mailers_mark,
            priority,
            returns,
        })
    }

    /// Whether we made it, to report on another.
    #[must_use]
    pub fn is_report(&self) -> bool {
        self.purpose != Purpose::Mail
    }

    /// What trace fields tell of it; the zone of its dates is UTC.
    #[must_use]
    pub fn story(&self) -> Story {
        let origin = self.origin.clone();
        let first = origin.macros.iter().find(|(name, _)| **name == *FIRST_SENDER);
        let sender = first.map_or_else(|| self.sender.clone(), |(_, sender)| sender.clone());
        let named = self.recipients.iter().take(policy::dress::NAMED_RECIPIENTS_MAX);
        Story {
            id: self.id,
            created_s: self.created_s,
            offset_s: 0,
            is_report: self.purpose != Purpose::Mail,
            sender,
            recipients: named.map(|recipient| recipient.address.clone()).collect(),
            size_bytes: self.size_bytes,
            client_name: origin.client_name,
            client_address: origin.client_address,
            resolved: origin.resolved,
            hello: origin.hello,
            protocol: origin.protocol,
            user: origin.user,
            daemon: origin.daemon,
            macros: origin.macros,
        }
    }

    /// A part of it under another id, from the owner of a list: its header stays as that of the whole.
    #[must_use]
    pub fn part_of_owner(&self, id: QueueId, owner: &[u8]) -> Self {
        // Who hears of failures is the owner, and nobody else.
        let returns = Returns { also_to: Vec::new(), ..self.returns };
        let (sender, recipients) = (owner.into(), Vec::new());
        let mut part = Self { id, sender, recipients, returns, ..self.clone() };
        part.origin = part.origin.after_waiting();
        let of_whole: [(&[u8], Vec<u8>); 2] =
            [(b"i", self.id.to_ascii().to_vec()), (FIRST_SENDER, self.sender.to_vec())];
        for (name, value) in of_whole {
            if part.origin.macros.len() < MACROS_MAX && value.len() <= FACT_BYTES_MAX {
                part.origin.macros.push((name.into(), value.into()));
            }
        }
        part
    }

    /// Whether it is the part of another one that goes to a list in the name of its owner.
    pub(crate) fn is_part_of_owner(&self) -> bool {
        self.origin.macros.iter().any(|(name, _)| **name == *FIRST_SENDER)
    }

    fn is_within_limits(&self) -> bool {
        let is_fact = |octets: &[u8]| octets.len() <= FACT_BYTES_MAX;
        self.sender.len() <= ADDRESS_BYTES_MAX
            && self.envelope_id.as_deref().is_none_or(is_fact)
            && self.quarantine.as_deref().is_none_or(is_fact)
            && self.origin.facts().into_iter().all(is_fact)
            && self.origin.macros.len() <= MACROS_MAX
            && self.origin.macros.iter().all(|(name, value)| is_fact(name) && is_fact(value))
            && self.recipients.len() <= RECIPIENTS_MAX
            && self.recipients.iter().all(Recipient::is_within_limits)
            && self.returns.also_to.len() <= ERRORS_TO_MAX
            && self.returns.also_to.iter().all(Recipient::is_within_limits)
    }
}

impl Origin {
    /// Whether a command handed it in that named no sender.
    #[must_use]
    pub fn has_unnamed_sender(&self) -> bool {
        self.macros.iter().any(|(name, _)| **name == *UNNAMED_SENDER)
    }

    /// The same for a message that waited: a run of the queue names each sender.
    pub(crate) fn after_waiting(&self) -> Self {
        let mut origin = self.clone();
        origin.macros.retain(|(name, _)| **name != *UNNAMED_SENDER);
        origin
    }

    /// The report that this one is about, if it is about one and was made on the same errand.
    #[must_use]
    pub fn report_about(&self) -> Option<QueueId> {
        let (_, id) = self.macros.iter().find(|(name, _)| **name == *REPORT_ABOUT)?;
        core::str::from_utf8(id).ok()?.parse().ok()
    }

    /// The same with the report that it is about.
    pub(crate) fn about_report(mut self, id: QueueId) -> Self {
        self.macros.push((REPORT_ABOUT.into(), id.to_ascii().to_vec().into()));
        self
    }

    /// That of a report about it, which is made on the same errand.
    pub(crate) fn of_report(&self) -> Self {
        let macros = self.macros.iter().filter(|(name, _)| **name == *UNNAMED_SENDER);
        Self { macros: macros.cloned().collect(), ..Self::default() }
    }

    /// Whether a user of this machine handed it in, or we made it; else it came by SMTP.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.protocol.is_empty() && self.client_address.is_empty()
    }

    fn facts(&self) -> [&[u8]; 5] {
        [&self.client_name, &self.client_address, &self.hello, &self.protocol, &self.user]
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for fact in self.facts() {
            put_octets(out, fact);
        }
        put_number(out, self.uid.map_or(0, |uid| u64::from(uid).saturating_add(1)));
        out.push(self.daemon);
        out.push(match self.resolved {
            Resolved::Ok => 0,
            Resolved::Fail => 1,
            Resolved::Temporary => 2,
            Resolved::Forged => 3,
        });
        put_count(out, self.macros.len());
        for (name, value) in &self.macros {
            put_octets(out, name);
            put_octets(out, value);
        }
    }

    fn decode(reader: &mut Reader<'_>, version: u8) -> Result<Self, RecordError> {
        let origin = Self::decode_1(reader)?;
        if version == VERSION_1 {
            return Ok(origin);
        }
        let resolved = match reader.octet()? {
            0 => Resolved::Ok,
            1 => Resolved::Fail,
            2 => Resolved::Temporary,
            3 => Resolved::Forged,
            _ => return Err(RecordError::Value),
        };
        let count = reader.count(MACROS_MAX)?;
        let mut macros = Macros::with_capacity(count);
        for _ in 0..count {
            macros.push((reader.octets(FACT_BYTES_MAX)?, reader.octets(FACT_BYTES_MAX)?));
        }
        Ok(Self { resolved, macros, ..origin })
    }

    fn decode_1(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            client_name: reader.octets(FACT_BYTES_MAX)?,
            client_address: reader.octets(FACT_BYTES_MAX)?,
            hello: reader.octets(FACT_BYTES_MAX)?,
            protocol: reader.octets(FACT_BYTES_MAX)?,
            user: reader.octets(FACT_BYTES_MAX)?,
            uid: match reader.number()?.checked_sub(1) {
                None => None,
                Some(uid) => Some(u32::try_from(uid).map_err(|_| RecordError::Value)?),
            },
            daemon: reader.octet()?,
            ..Self::default()
        })
    }
}

/// The priority of a message of no class: its size, and what the recipients count (sendmail's `RecipientFactor`).
#[must_use]
pub fn usual_priority(size_bytes: u64, recipients: usize) -> i64 {
    let recipients = i64::try_from(recipients).unwrap_or(i64::MAX);
    let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    recipients.saturating_mul(RECIPIENT_FACTOR).saturating_add(size)
}

/// A number that changes when the list of mailers does (FNV-1a over their names), and with it the
/// meaning of the routes that were stored before: such recipients are routed again.
#[must_use]
pub fn mailers_mark(mailers: &[Mailer]) -> u32 {
    mailer_names_mark(mailers.iter().map(|mailer| &*mailer.name))
}

/// [`mailers_mark`], for those who know the names only.
#[must_use]
pub fn mailer_names_mark(names: impl Iterator<Item: AsRef<[u8]>>) -> u32 {
    let mut mark = 0x811c_9dc5_u32;
    for name in names {
        for &octet in name.as_ref().iter().chain(&[0]) {
            mark = (mark ^ u32::from(octet)).wrapping_mul(0x0100_0193);
        }
    }
    mark
}
