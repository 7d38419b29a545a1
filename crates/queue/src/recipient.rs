//! One recipient: who it is, and how far its mail has come.

use crate::coding::{Reader, RecordError, put_number, put_octets, put_optional};
use crate::message::ADDRESS_BYTES_MAX;
use crate::outcome::{HOST_BYTES_MAX, TEXT_BYTES_MAX, Trouble};
use alloc::{boxed::Box, vec::Vec};
use policy::{Controller, MailerId, Route};
use serde::{Deserialize, Serialize};

/// NOTIFY of RFC 3461: which reports the sender wants about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify(u8);

impl Notify {
    /// Nothing was said: failures are reported, and delays (RFC 3461, 4.1).
    pub const UNSET: Self = Self(0);
    /// NEVER.
    pub const NEVER: Self = Self(1);
    /// SUCCESS.
    pub const SUCCESS: Self = Self(2);
    /// FAILURE.
    pub const FAILURE: Self = Self(4);
    /// DELAY.
    pub const DELAY: Self = Self(8);

    /// Both together. NEVER goes with nothing else, and stays alone.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::NEVER || other == Self::NEVER {
            Self::NEVER
        } else {
            Self(self.0 | other.0)
        }
    }

    /// Whether success is to be reported.
    #[must_use]
    pub fn wants_success(self) -> bool {
        self.0 & Self::SUCCESS.0 != 0
    }

    /// Whether failure is to be reported.
    #[must_use]
    pub fn wants_failure(self) -> bool {
        self == Self::UNSET || self.0 & Self::FAILURE.0 != 0
    }

    /// Whether delay is to be reported.
    #[must_use]
    pub fn wants_delay(self) -> bool {
        self == Self::UNSET || self.0 & Self::DELAY.0 != 0
    }

    /// What is left for the members of a list after its own success was reported (RFC 3461, 5.2.7).
    pub(crate) fn without_success(self) -> Self {
        match self {
            Self::SUCCESS => Self::NEVER,
            Self(bits) => Self(bits & !Self::SUCCESS.0),
        }
    }

    fn from_octet(octet: u8) -> Result<Self, RecordError> {
        if octet == 1 || octet & !0b1110 == 0 { Ok(Self(octet)) } else { Err(RecordError::Value) }
    }
}

/// What is known of a recipient whose names and lists were followed to their end before it was queued.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// In whose name it is, if an alias, a list or a `.forward` led to it.
    pub controller: Option<Controller>,
    /// The user that the log names (`ctladdr=`).
    pub logged: Option<Controller>,
    /// Why it can't be delivered: nothing is tried, and only the report is still to be made; or, with a status of class 4,
    /// why it waits before it is tried for the first time.
    pub refused: Option<Trouble>,
    /// The address is as it was written in RCPT, a list or an alias, with the brackets that it had there.
    pub is_as_written: bool,
    /// He is tried at once, although his mailer works in runs of the queue (`-v`).
    pub goes_at_once: bool,
    /// Which names led to it; `None`: it is what was asked for, or nobody knows.
    pub way: Option<Way>,
    /// Whether others stand behind the same name.
    pub share: Share,
}

/// Whether a recipient is all that a name stands for: where several are, the name answers for them, and no next server is
/// asked to report on one of them (RFC 3461, 5.2.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// It is alone.
    #[default]
    Sole,
    /// It is one of several.
    One,
    /// The same, and the sender is told that the name stood for several.
    OneTold,
}

/// The names that led to a recipient, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The nearest one: an alias, a list, a user with a `.forward`.
    pub from: Box<[u8]>,
    /// The one that was asked for; empty: the queue knows it.
    pub first: Box<[u8]>,
}

/// A recipient whose mail was accepted, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Its address, without angle brackets; that of a message of our own user, as it was written.
    pub address: Box<[u8]>,
    /// Where its mail goes; the mailer is [`Recipient::UNROUTED`] for a recipient of our reports.
    pub route: Route,
    /// Which reports the sender wants.
    pub notify: Notify,
    /// ORCPT of RFC 3461, as it came: type, semicolon, xtext.
    pub original: Option<Box<[u8]>>,
    /// Set if names and lists were followed to their end before it was queued.
    pub followed: Option<Box<Followed>>,
}

/// Set in the octet of flags if [`Recipient::followed`] comes behind.
const FOLLOWED: u8 = 0x80;

impl Recipient {
    /// The mailer of a route that is still to be asked for.
    pub const UNROUTED: MailerId = MailerId(u8::MAX);

    /// A recipient for whom nobody was asked yet: the scheduler asks, with `Action::Inquire`.
    #[must_use]
    pub fn unrouted(address: &[u8]) -> Self {
        let route = Route {
            mailer: Self::UNROUTED,
            host: Box::default(),
            user: address.into(),
            expands: true,
        };
        Self {
            address: address.into(),
            route,
            notify: Notify::UNSET,
            original: None,
            followed: None,
        }
    }

    /// How far it is when it comes.
    pub(crate) fn first_state(&self) -> State {
        match self.followed.as_ref().and_then(|followed| followed.refused.as_ref()) {
            Some(trouble) if trouble.status.0 == 4 => State::Later(trouble.clone().cleaned()),
            Some(trouble) => State::Failed(trouble.clone().cleaned()),
            None => State::Waiting,
        }
    }

    /// Whether it is one of several that a name stands for.
    #[must_use]
    pub fn is_of_several(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.share != Share::Sole)
    }

    pub(crate) fn is_within_limits(&self) -> bool {
        let users = self.followed.iter().flat_map(|one| one.controller.iter().chain(&one.logged));
        let names = users.flat_map(|user| [&user.address, &user.login]);
        let way = self.followed.iter().filter_map(|one| one.way.as_ref());
        [&self.address, &self.route.host, &self.route.user]
            .into_iter()
            .chain(&self.original)
            .chain(names)
            .chain(way.flat_map(|way| [&way.from, &way.first]))
            .all(|part| part.len() <= ADDRESS_BYTES_MAX)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_octets(out, &self.address);
        out.push(self.route.mailer.0);
        put_octets(out, &self.route.host);
        put_octets(out, &self.route.user);
        let followed = if self.followed.is_some() { FOLLOWED } else { 0 };
        out.push(u8::from(self.route.expands) | (self.notify.0 << 1) | followed);
        put_optional(out, self.original.as_deref());
        if let Some(followed) = &self.followed {
            followed.encode(out);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let address = reader.octets(ADDRESS_BYTES_MAX)?;
        let mailer = MailerId(reader.octet()?);
        let host = reader.octets(ADDRESS_BYTES_MAX)?;
        let user = reader.octets(ADDRESS_BYTES_MAX)?;
        let bits = reader.octet()?;
        let route = Route { mailer, host, user, expands: bits & 1 != 0 };
        let notify = Notify::from_octet((bits & !FOLLOWED) >> 1)?;
        let original = reader.optional(ADDRESS_BYTES_MAX)?;
        let followed = match bits & FOLLOWED {
            0 => None,
            _ => Some(Box::new(Followed::decode(reader)?)),
        };
        Ok(Self { address, route, notify, original, followed })
    }
}

/// Set in the octet of marks of [`Followed`] if its way comes behind.
const WAY: u8 = 4;

/// Set there if [`Followed::goes_at_once`].
const AT_ONCE: u8 = 8;

/// Set there for [`Share::One`] and [`Share::OneTold`].
const SHARE: u8 = 16;
const SHARE_TOLD: u8 = 32;

impl Followed {
    fn encode(&self, out: &mut Vec<u8>) {
        for user in [&self.controller, &self.logged] {
            put_optional(out, user.as_ref().map(|user| &*user.address));
            if let Some(user) = user {
                put_octets(out, &user.login);
                put_number(out, user.uid.into());
                put_number(out, user.gid.into());
            }
        }
        let way = if self.way.is_some() { WAY } else { 0 };
        let written = u8::from(self.is_as_written) << 1;
        let at_once = if self.goes_at_once { AT_ONCE } else { 0 };
        let share = match self.share {
            Share::Sole => 0,
            Share::One => SHARE,
            Share::OneTold => SHARE_TOLD,
        };
        out.push(u8::from(self.refused.is_some()) | written | way | at_once | share);
        if let Some(refused) = &self.refused {
            refused.clone().cleaned().encode(out);
        }
        if let Some(way) = &self.way {
            put_octets(out, &way.from);
            put_octets(out, &way.first);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let controller = decode_controller(reader)?;
        let logged = decode_controller(reader)?;
        let bits = reader.octet()?;
        let share = match bits & (SHARE | SHARE_TOLD) {
            0 => Share::Sole,
            SHARE => Share::One,
            SHARE_TOLD => Share::OneTold,
            _ => return Err(RecordError::Value),
        };
        let refused = match bits & !(WAY | AT_ONCE | SHARE | SHARE_TOLD) {
            0 | 2 => None,
            1 | 3 => Some(Trouble::decode(reader)?),
            _ => return Err(RecordError::Value),
        };
        let way = match bits & WAY {
            0 => None,
            _ => Some(Way {
                from: reader.octets(ADDRESS_BYTES_MAX)?,
                first: reader.octets(ADDRESS_BYTES_MAX)?,
            }),
        };
        Ok(Self {
            controller,
            logged,
            refused,
            is_as_written: bits & 2 != 0,
            goes_at_once: bits & AT_ONCE != 0,
            way,
            share,
        })
    }
}

fn decode_controller(reader: &mut Reader<'_>) -> Result<Option<Controller>, RecordError> {
    let Some(address) = reader.optional(ADDRESS_BYTES_MAX)? else { return Ok(None) };
    let login = reader.octets(ADDRESS_BYTES_MAX)?;
    let (uid, gid) = (reader.number_32()?, reader.number_32()?);
    Ok(Some(Controller { address, login, uid, gid }))
}

/// A success that the sender wants to hear of and has not heard of yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The host that took it; empty: ourselves.
    pub host: Box<[u8]>,
    /// What it said.
    pub text: Box<[u8]>,
}

/// Why nobody was told of a failure: the named policies of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DropReason {
    /// The report of a report's failure failed itself.
    DoubleBounce,
    /// A message from `<>` failed and there is no postmaster.
    NoPostmaster,
    /// The sender asked not to be told (NOTIFY without FAILURE).
    NotWanted,
    /// Its sender, whom a stranger named, had too many reports hour after hour until it was too old.
    Storm,
    /// Nobody can be told: the message is in the owner's file for such (`DeadLetterDrop`).
    Saved,
}

/// How far one recipient's mail has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not tried yet.
    Waiting,
    /// Tried, to be tried again.
    Later(Trouble),
    /// Failed, and the report is still to be made.
    Failed(Trouble),
    /// Failed, and nobody can be told: kept for the operator.
    Lost(Trouble),
    /// The end: in a mailbox.
    Delivered(Option<Receipt>),
    /// The end: the next server has it.
    Relayed(Option<Receipt>),
    /// The end: others stand in its place.
    Expanded {
        /// The `owner-` address that is the sender for those others.
        owner: Option<Box<[u8]>>,
        /// Set if the sender wants to hear of it.
        receipt: Option<Receipt>,
    },
    /// The end: failed, and the sender (or postmaster) was written to.
    Bounced,
    /// The end: failed, and nobody is to be told.
    Dropped(DropReason),
    /// The end: thrown away by a mailer whose purpose that is, or by the operator.
    Discarded,
}

impl State {
    /// Whether something is still to be tried.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Later(_))
    }

    /// Whether this is one of the ends.
    #[must_use]
    pub fn is_end(&self) -> bool {
        !self.is_open() && !matches!(self, Self::Failed(_) | Self::Lost(_))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Waiting => out.push(0),
            Self::Later(trouble) => {
                out.push(1);
                trouble.encode(out);
            }
            Self::Failed(trouble) => {
                out.push(2);
                trouble.encode(out);
            }
            Self::Delivered(receipt) => {
                out.push(3);
                put_receipt(out, receipt.as_ref());
            }
            Self::Relayed(receipt) => {
                out.push(4);
                put_receipt(out, receipt.as_ref());
            }
            Self::Expanded { owner, receipt } => {
                out.push(5);
                put_optional(out, owner.as_deref());
                put_receipt(out, receipt.as_ref());
            }
            Self::Bounced => out.push(6),
            Self::Dropped(DropReason::DoubleBounce) => out.push(7),
            Self::Dropped(DropReason::NoPostmaster) => out.push(8),
            Self::Dropped(DropReason::NotWanted) => out.push(9),
            Self::Dropped(DropReason::Saved) => out.push(12),
            Self::Dropped(DropReason::Storm) => out.push(13),
            Self::Discarded => out.push(10),
            Self::Lost(trouble) => {
                out.push(11);
                trouble.encode(out);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(match reader.octet()? {
            0 => Self::Waiting,
            1 => Self::Later(Trouble::decode(reader)?),
            2 => Self::Failed(Trouble::decode(reader)?),
            3 => Self::Delivered(read_receipt(reader)?),
            4 => Self::Relayed(read_receipt(reader)?),
            5 => Self::Expanded {
                owner: reader.optional(ADDRESS_BYTES_MAX)?,
                receipt: read_receipt(reader)?,
            },
            6 => Self::Bounced,
            7 => Self::Dropped(DropReason::DoubleBounce),
            8 => Self::Dropped(DropReason::NoPostmaster),
            9 => Self::Dropped(DropReason::NotWanted),
            10 => Self::Discarded,
            11 => Self::Lost(Trouble::decode(reader)?),
            12 => Self::Dropped(DropReason::Saved),
            13 => Self::Dropped(DropReason::Storm),
            _ => return Err(RecordError::Value),
        })
    }
}

fn put_receipt(out: &mut Vec<u8>, receipt: Option<&Receipt>) {
    put_optional(out, receipt.map(|receipt| &*receipt.host));
    if let Some(receipt) = receipt {
        put_octets(out, &receipt.text);
    }
}

fn read_receipt(reader: &mut Reader<'_>) -> Result<Option<Receipt>, RecordError> {
    Ok(match reader.optional(HOST_BYTES_MAX)? {
        None => None,
        Some(host) => Some(Receipt { host, text: reader.octets(TEXT_BYTES_MAX)? }),
    })
}
