//! Octets of the configuration: blanks, and words between them.

/// White space as C's isspace says it.
#[must_use]
pub fn is_space(octet: u8) -> bool {
    crate::token::is_blank(octet)
}

/// Text without the white space in front.
#[must_use]
pub fn trim_start(text: &[u8]) -> &[u8] {
    let skip = text.iter().take_while(|octet| is_space(**octet)).count();
    text.get(skip..).unwrap_or_default()
}

/// Text without the white space behind.
#[must_use]
pub fn trim_end(text: &[u8]) -> &[u8] {
    let drop = text.iter().rev().take_while(|octet| is_space(**octet)).count();
    text.get(..text.len().saturating_sub(drop)).unwrap_or_default()
}

/// The first word and what stands behind it, the blank included.
#[must_use]
pub fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|octet| !is_space(**octet)).count();
    text.split_at_checked(length).unwrap_or((text, b""))
}

/// The words of a text.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|octet| is_space(*octet)).filter(|word| !word.is_empty())
}
