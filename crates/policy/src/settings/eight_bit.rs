//! What becomes of octets above 127: which messages are made 7-bit text for whom (RFC 6152; sendmail's `EightBitMode`,
//! `DefaultCharSet` and the mailer flags 3, 6, 7, 8, 9).

use crate::Carriage;
use alloc::boxed::Box;
use serde::{Deserialize, Serialize};
use wire::QueueId;
use wire::mime::{Conversion, Findings, Strip, Wish};

/// What becomes of octets above 127.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EightBit {
    /// What becomes of messages that do not call themselves MIME.
    pub mode: EightBitMode,
    /// The character set of text that names none (`DefaultCharSet`).
    pub charset: Box<[u8]>,
    /// Whether text around the parts of a multipart is left with seven bits even where nothing is converted, and a multipart
    /// that was cut off gets its end, as sendmail does it.
    pub tidies_multiparts: bool,
}

/// sendmail's `EightBitMode`: it is about messages that do not call themselves MIME; those that do are converted for a server
/// that takes only seven bits, whatever the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EightBitMode {
    /// `m`: they are made MIME.
    Mimify,
    /// `p`: they go on as they are.
    Pass,
    /// `s`: they are refused.
    Strict,
}

impl Default for EightBit {
    fn default() -> Self {
        Self {
            mode: EightBitMode::Pass,
            charset: b"unknown-8bit"[..].into(),
            tidies_multiparts: false,
        }
    }
}

/// A message, and whom it goes to.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    /// How its mailer wants it.
    pub carriage: &'a Carriage,
    /// Whether the other side takes octets above 127 (8BITMIME, RFC 6152); `None`: it is no server.
    pub takes_eight_bit: Option<bool>,
    /// Whether the sender declared it 8-bit MIME (BODY=8BITMIME).
    pub is_declared: bool,
    /// Our name.
    pub host_name: &'a [u8],
    /// The message's.
    pub id: QueueId,
}

impl EightBit {
    /// Whether a message must be looked at before it is known what becomes of it.
    #[must_use]
    pub fn needs_survey(&self, passage: &Passage<'_>) -> bool {
        let flags = passage.carriage.flags;
        let is_seven = flags.has(b'7') || passage.takes_eight_bit == Some(false);
        !flags.has(b'8') && (is_seven || self.mode == EightBitMode::Mimify) || flags.has(b'7')
    }

    /// The form in which a message is wanted; `findings` are the default where no survey was needed.
    #[must_use]
    pub fn wish(&self, passage: &Passage<'_>, findings: &Findings) -> Wish {
        let carriage = passage.carriage;
        let flags = carriage.flags;
        let is_seven = findings.is_eight_bit && self.becomes_seven(passage, findings);
        let conversion = if is_seven {
            Conversion::ToSeven
        } else if flags.has(b'9') && passage.takes_eight_bit != Some(false) {
            Conversion::ToEight
        } else if self.tidies_multiparts {
            Conversion::Pass
        } else {
            Conversion::None
        };
        let strips = flags.has(b'7') && passage.takes_eight_bit != Some(true);
        Wish {
            conversion,
            is_labelled: self.mode == EightBitMode::Mimify
                && findings.is_eight_bit
                && !is_seven
                && !flags.has(b'8'),
            charset: self.charset.clone(),
            host_name: passage.host_name.into(),
            id: Some(passage.id),
            quotes_more: flags.has(b'3'),
            quotes_from: flags.has(b'E'),
            line_bytes_max: carriage.line_bytes_max,
            drops_nul: flags.has(b'1'),
            strip: match (strips, flags.has(b'6')) {
                (true, _) => Strip::Everywhere,
                (false, true) => Strip::Header,
                (false, false) => Strip::Nowhere,
            },
        }
    }

    /// Whether a message with octets above 127 becomes 7-bit text.
    fn becomes_seven(&self, passage: &Passage<'_>, findings: &Findings) -> bool {
        let flags = passage.carriage.flags;
        if flags.has(b'7') {
            return true;
        }
        passage.takes_eight_bit == Some(false)
            && !flags.has(b'8')
            && (self.mode != EightBitMode::Pass || findings.is_mime || passage.is_declared)
    }
}
