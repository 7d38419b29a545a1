//! Reading the file in thin floors: octets, lines, values.

pub mod chars;
pub mod equates;
pub mod lines;
pub mod values;
