//! MAIL FROM and its parameters.

use super::{Fault, Parameter};
use crate::dsn::{self, Ret};
use crate::path::Path;

/// The argument of MAIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mail<'a> {
    /// The reverse-path.
    pub path: Path<'a>,
    /// SIZE, in octets.
    pub size_bytes: Option<u64>,
    /// BODY.
    pub body: Option<BodyKind>,
    /// SMTPUTF8.
    pub is_utf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID, in xtext, checked.
    pub envelope_id: Option<&'a [u8]>,
    /// AUTH, in xtext, decodable; `<>` for nobody.
    pub auth: Option<&'a [u8]>,
    /// BY.
    pub by: Option<DeliverBy>,
}

/// BODY (RFC 6152). BINARYMIME is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// 7BIT.
    SevenBit,
    /// 8BITMIME.
    EightBit,
}

/// BY (RFC 2852).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// Seconds from now; negative or zero with [`DeliverBy::returns`] false only.
    pub seconds: i64,
    /// R: give the message back when time is up; N: only tell.
    pub returns: bool,
    /// T: tell of each relaying.
    pub traces: bool,
}

impl<'a> Mail<'a> {
    pub(super) fn parse(argument: &'a [u8]) -> Result<Self, Fault<'a>> {
        let (path, rest) = super::path(argument, b"FROM")?;
        let mut mail = Self {
            path,
            size_bytes: None,
            body: None,
            is_utf8: false,
            ret: None,
            envelope_id: None,
            auth: None,
            by: None,
        };
        super::parameters(rest, |parameter, value| mail.take(parameter, value))?;
        if path.is_utf8() && !mail.is_utf8 {
            return Err(Fault::Utf8Needed(path.address));
        }
        Ok(mail)
    }

    fn take(&mut self, parameter: Parameter, value: Option<&'a [u8]>) -> Result<bool, Fault<'a>> {
        if parameter == Parameter::SmtpUtf8 {
            self.is_utf8 = true;
            return value.map_or(Ok(true), |value| Err(Fault::Value(parameter, value)));
        }
        if matches!(parameter, Parameter::Notify | Parameter::Orcpt) {
            return Ok(false);
        }
        let value = value.ok_or(Fault::ValueMissing(parameter))?;
        let wrong = Fault::Value(parameter, value);
        match parameter {
            Parameter::Size => {
                if !value.iter().all(u8::is_ascii_digit) {
                    return Err(wrong);
                }
                self.size_bytes = Some(super::number(value).ok_or(Fault::SizeTooLarge)?);
            }
            Parameter::Body => self.body = Some(body(value).ok_or(wrong)?),
            Parameter::Ret => self.ret = Some(Ret::parse(value).ok_or(wrong)?),
            Parameter::Envid => {
                self.envelope_id = Some(value).filter(|value| dsn::is_envelope_id(value));
                self.envelope_id.ok_or(wrong)?;
            }
            Parameter::Auth => {
                self.auth = Some(value).filter(|value| is_auth(value));
                self.auth.ok_or(wrong)?;
            }
            Parameter::By => self.by = Some(by(value).ok_or(wrong)?),
            Parameter::SmtpUtf8 | Parameter::Notify | Parameter::Orcpt => return Ok(false),
        }
        Ok(true)
    }
}

fn body(value: &[u8]) -> Option<BodyKind> {
    match value {
        value if value.eq_ignore_ascii_case(b"7BIT") => Some(BodyKind::SevenBit),
        value if value.eq_ignore_ascii_case(b"8BITMIME") => Some(BodyKind::EightBit),
        _ => None,
    }
}

/// `<>`, or xtext that decodes to no control character.
fn is_auth(value: &[u8]) -> bool {
    let is_clean = |plain: alloc::vec::Vec<u8>| !plain.iter().any(u8::is_ascii_control);
    value == b"<>" || dsn::decode_xtext(value).is_some_and(is_clean)
}

/// `by-time ";" by-mode [by-trace]`: up to nine digits, R or N, T.
fn by(value: &[u8]) -> Option<DeliverBy> {
    let semicolon = value.iter().position(|&octet| octet == b';')?;
    let (time, mode) = value.split_at_checked(semicolon)?;
    let (is_negative, digits) = match time {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let seconds = super::number(digits).filter(|_| digits.len() <= 9)?;
    let seconds = i64::try_from(seconds).ok()?;
    let seconds = if is_negative { seconds.checked_neg()? } else { seconds };
    let (returns, trace) = match mode {
        [b';', b'R' | b'r', trace @ ..] => (true, trace),
        [b';', b'N' | b'n', trace @ ..] => (false, trace),
        _ => return None,
    };
    let traces = match trace {
        [] => false,
        [b'T' | b't'] => true,
        _ => return None,
    };
    // RFC 2852, 4: with R the time must be positive.
    (!returns || seconds > 0).then_some(DeliverBy { seconds, returns, traces })
}
