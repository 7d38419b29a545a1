//! Lookup tables, one file a class.
//!
//! [`Outside`] is the world of `policy-cf`'s rule machine: it opens what K lines name and answers look-ups. Files that
//! changed on disk are opened again by themselves. [`bdb`] reads and writes Berkeley DB files without libdb; the
//! commands that make them ([`makemap`], [`editmap`], [`praliases`], [`newaliases`]) are functions here; [`aliases`]
//! serves text alias files.
#![forbid(unsafe_code)]

mod alias_text;
pub mod aliases;
pub mod bdb;
mod bestmx;
mod cdb;
mod clients;
mod configuration;
pub mod dns;
pub mod door;
pub mod editmap;
mod file_watch;
mod host;
mod interface;
mod ldap;
mod lists;
pub mod makemap;
pub mod newaliases;
pub mod option_letters;
mod outside;
pub mod praliases;
mod program;
mod regex;
pub mod replace;
mod resolver_map;
mod safe_file;
mod socket;
pub mod syslog;
mod table;
mod terminal;
mod text;
mod user;
mod wrappers;

pub use lists::{Lists, gather};
pub use outside::{Outside, Places};
pub use terminal::Terminal;
