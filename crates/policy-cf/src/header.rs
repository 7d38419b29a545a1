//! H lines: headers that are added or checked (manual, section 5.7).

use alloc::vec::Vec;

/// One H line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Flags between question marks: mailer flags, or a macro.
    pub condition: Vec<u8>,
    /// The field's name; `*` for all others.
    pub name: Vec<u8>,
    /// The template, or the name of the rule set behind `$>`.
    pub value: Vec<u8>,
    /// `$>`: the value names a rule set.
    pub is_check: bool,
    /// `$>+`: comments stay.
    pub keeps_comments: bool,
}
