//! What has become of a message so far: the state of every recipient, written over the last note
//! each time something changes. A message and its last note are all that recovery needs.
//!
//! Coded by hand, like the envelope: a version first, every length bounded, any octets give a note
//! or an error.

use crate::coding::{Reader, RecordError, put_count, put_number, put_octets, put_optional};
use crate::message::{Envelope, FACT_BYTES_MAX, RECIPIENTS_MAX};
use crate::outcome::TEXT_BYTES_MAX;
use crate::recipient::{Recipient, State};
use alloc::{boxed::Box, vec::Vec};

/// The most recipients that expansions may add to a message.
pub const ADDED_MAX: usize = 20_000;

/// The version that [`Note::encode`] writes.
const VERSION: u8 = 3;

/// The version that does not tell what the last round came to.
const VERSION_2: u8 = 2;

/// The version that does not tell when the last round was.
const VERSION_1: u8 = 1;

/// A recipient that an expansion brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The number of the recipient that it stands for.
    pub parent: u32,
    /// `message::mailers_mark` of the mailers that its route names.
    pub mailers_mark: u32,
    /// Who it is.
    pub recipient: Recipient,
}

/// Whether a message is kept back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hold {
    /// The envelope says it.
    #[default]
    AsAccepted,
    /// Kept back since, and why.
    Held(Box<[u8]>),
    /// Let go by the operator.
    Released,
}

/// What has become of a message so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// A state a recipient: first those of the envelope, then those in `added`, in order.
    pub states: Vec<State>,
    /// Recipients that expansions brought.
    pub added: Vec<Added>,
    /// Rounds of trying that ended without an end for all.
    pub tries: u32,
    /// When the last round ended, in seconds since 1970; 0: there was none.
    pub tried_s: u64,
    /// When the next round may begin, in seconds since 1970; 0: at once.
    pub next_try_s: u64,
    /// Whether the sender was warned of the delay.
    pub is_warned: bool,
    /// Delivery processes that died while they had this message.
    pub crashes: u8,
    /// Whether it is kept back.
    pub hold: Hold,
    /// What its last round came to, for the listing of the queue, at most [`TEXT_BYTES_MAX`] octets; empty: nothing but what
    /// is known of those that wait.
    pub said: Box<[u8]>,
}

impl Note {
    /// The note of a message that just arrived.
    #[must_use]
    pub fn new(envelope: &Envelope) -> Self {
        Self {
            states: envelope.recipients.iter().map(Recipient::first_state).collect(),
            ..Self::default()
        }
    }

    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_number(out, self.tries.into());
        put_number(out, self.tried_s);
        put_number(out, self.next_try_s);
        out.push(u8::from(self.is_warned));
        out.push(self.crashes);
        match &self.hold {
            Hold::AsAccepted => out.push(0),
            Hold::Released => out.push(1),
            Hold::Held(reason) => {
                out.push(2);
                put_optional(out, reason.get(..reason.len().min(FACT_BYTES_MAX)));
            }
        }
        put_count(out, self.added.len());
        for added in &self.added {
            put_number(out, added.parent.into());
            put_number(out, added.mailers_mark.into());
            added.recipient.encode(out);
        }
        put_count(out, self.states.len());
        for state in &self.states {
            state.encode(out);
        }
        put_octets(out, self.said.get(..TEXT_BYTES_MAX).unwrap_or(&self.said));
    }

    /// Reads a record of any version.
    ///
    /// # Errors
    /// [`RecordError`]: the octets are not a note.
    pub fn decode(octets: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(octets);
        match reader.octet()? {
            version @ (VERSION_1 | VERSION_2 | VERSION) => {
                let note = Self::decode_from(&mut reader, version)?;
                reader.end()?;
                Ok(note)
            }
            other => Err(RecordError::Version(other)),
        }
    }

    fn decode_from(reader: &mut Reader<'_>, version: u8) -> Result<Self, RecordError> {
        let tries = reader.number_32()?;
        let tried_s = if version == VERSION_1 { 0 } else { reader.number()? };
        let next_try_s = reader.number()?;
        let is_warned = match reader.octet()? {
            0 => false,
            1 => true,
            _ => return Err(RecordError::Value),
        };
        let crashes = reader.octet()?;
        let hold = match reader.octet()? {
            0 => Hold::AsAccepted,
            1 => Hold::Released,
            2 => Hold::Held(reader.optional(FACT_BYTES_MAX)?.ok_or(RecordError::Value)?),
            _ => return Err(RecordError::Value),
        };
        let count = reader.count(ADDED_MAX)?;
        let mut added = Vec::with_capacity(count.min(1000));
        for _ in 0..count {
            added.push(Added {
                parent: reader.number_32()?,
                mailers_mark: reader.number_32()?,
                recipient: Recipient::decode(reader)?,
            });
        }
        let count = reader.count(RECIPIENTS_MAX.saturating_add(ADDED_MAX))?;
        let mut states = Vec::with_capacity(count.min(1000));
        for _ in 0..count {
            states.push(State::decode(reader)?);
        }
        let said = if version == VERSION { reader.octets(TEXT_BYTES_MAX)? } else { Box::default() };
        Ok(Self { states, added, tries, tried_s, next_try_s, is_warned, crashes, hold, said })
    }

    /// Lets the message go: what is lost is tried to be told once more.
    pub fn release(&mut self) {
        self.hold = Hold::Released;
        self.crashes = 0;
        for state in &mut self.states {
            if let State::Lost(trouble) = state {
                *state = State::Failed(trouble.clone());
            }
        }
    }

    /// Makes the note agree with its envelope if it does not: bit rot and foreign hands must not
    /// lose a recipient. One without a state is `Waiting`, a state without a recipient goes.
    pub(crate) fn fitted(mut self, envelope: &Envelope) -> Self {
        let total = envelope.recipients.len().saturating_add(self.added.len());
        self.states.resize(total, State::Waiting);
        self
    }
}
