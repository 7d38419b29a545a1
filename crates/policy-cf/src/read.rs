//! Reading the file in thin floors: octets, lines, values.

pub mod chars;
pub mod lines;
pub mod values;
