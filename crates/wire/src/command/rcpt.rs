//! RCPT TO and its parameters.

use super::{Fault, Parameter};
use crate::dsn::{self, Notify};
use crate::path::{Path, PathFault};

/// The argument of RCPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rcpt<'a> {
    /// The forward-path, never null. Whether UTF-8 is welcome in it was said by MAIL.
    pub path: Path<'a>,
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT, type and xtext, checked.
    pub original: Option<&'a [u8]>,
}

impl<'a> Rcpt<'a> {
    pub(super) fn parse(argument: &'a [u8]) -> Result<Self, Fault<'a>> {
        let (path, rest) = super::path(argument, b"TO")?;
        if path.is_null() {
            return Err(Fault::Path(b"<>", PathFault::Missing));
        }
        let mut rcpt = Self { path, notify: None, original: None };
        super::parameters(rest, |parameter, value| rcpt.take(parameter, value))?;
        Ok(rcpt)
    }

    fn take(&mut self, parameter: Parameter, value: Option<&'a [u8]>) -> Result<bool, Fault<'a>> {
        match parameter {
            Parameter::Notify => {
                let value = value.ok_or(Fault::ValueMissing(parameter))?;
                let notify = Notify::parse(value).map_err(|word| Fault::Value(parameter, word))?;
                self.notify = Some(notify);
            }
            Parameter::Orcpt => {
                let value = value.ok_or(Fault::ValueMissing(parameter))?;
                if !dsn::is_original_recipient(value) {
                    return Err(Fault::Value(parameter, value));
                }
                self.original = Some(value);
            }
            Parameter::Size
            | Parameter::Body
            | Parameter::SmtpUtf8
            | Parameter::Ret
            | Parameter::Envid
            | Parameter::Auth
            | Parameter::By => return Ok(false),
        }
        Ok(true)
    }
}
