//! Lookup tables, one file a class.
#![forbid(unsafe_code)]

pub mod bdb;
