//! ironpost.toml as it is written: keys, types, places. No judgement but that of form.

use crate::problem::{Problem, Problems};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// A value and where it stands.
pub(crate) type At<T> = Option<Spanned<T>>;

/// The whole file. The meaning of each key stands in docs/ironpost-toml.md.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Written {
    pub(crate) host_name: At<String>,
    pub(crate) greeting: At<String>,
    pub(crate) listen: At<Vec<Spanned<Listen>>>,
    pub(crate) local_domains: Vec<Spanned<String>>,
    pub(crate) local_users: At<LocalUsers>,
    pub(crate) system_recipients: Vec<String>,
    pub(crate) delivery: At<Delivery>,
    pub(crate) mailbox: At<String>,
    pub(crate) aliases: At<String>,
    pub(crate) smart_host: At<String>,
    pub(crate) routes: BTreeMap<String, Spanned<String>>,
    pub(crate) relay_networks: Vec<Spanned<String>>,
    pub(crate) relay_domains: Vec<Spanned<String>>,
    pub(crate) normalize: Vec<Spanned<String>>,
    pub(crate) postmaster: At<String>,
    pub(crate) name_servers: Vec<Spanned<String>>,
    pub(crate) trusted_next_hops: Vec<Spanned<String>>,
    pub(crate) privacy: Privacy,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) queue: Queue,
    pub(crate) log: Log,
    pub(crate) paths: Paths,
}

/// An address to listen on, alone or with more.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "an address like \"0.0.0.0:25\", or { address = …, submission = true }"
)]
pub(crate) enum Listen {
    Address(String),
    Table(ListenTable),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenTable {
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) submission: bool,
}

/// Who gets mail here.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "\"system\", \"any\" or a list of names")]
pub(crate) enum LocalUsers {
    Word(String),
    Names(Vec<String>),
}

/// Into what local mail goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "\"mbox\", \"maildir\" or { lmtp = \"HOST:PORT\" }")]
pub(crate) enum Delivery {
    Word(String),
    Lmtp(LmtpTable),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LmtpTable {
    pub(crate) lmtp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Privacy {
    pub(crate) vrfy: bool,
    pub(crate) expn: bool,
    pub(crate) dsn: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) message_bytes_max: Option<u64>,
    pub(crate) recipients_max: Option<u32>,
    pub(crate) header_bytes_max: Option<u32>,
    pub(crate) hops_max: Option<u32>,
    pub(crate) command_bytes_max: Option<u32>,
    pub(crate) text_line_bytes_max: Option<u32>,
    pub(crate) bad_commands_max: Option<u32>,
    pub(crate) bad_recipients_max: Option<u32>,
    pub(crate) messages_max: Option<u32>,
    pub(crate) sessions_max: Option<u32>,
    pub(crate) sessions_per_client_max: Option<u32>,
    pub(crate) queued_max: Option<u32>,
    pub(crate) free_bytes_min: Option<u64>,
    pub(crate) connections_per_destination_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    pub(crate) command_s: Option<u32>,
    pub(crate) data_block_s: Option<u32>,
    pub(crate) message_s: Option<u32>,
    pub(crate) connect_s: Option<u32>,
    pub(crate) greeting_s: Option<u32>,
    pub(crate) reply_s: Option<u32>,
    pub(crate) data_s: Option<u32>,
    pub(crate) dot_s: Option<u32>,
    pub(crate) idle_s: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Queue {
    pub(crate) first_s: Option<u32>,
    pub(crate) longest_s: Option<u32>,
    pub(crate) give_up_s: Option<u32>,
    pub(crate) warn_s: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) to: At<String>,
    pub(crate) level: Option<u8>,
    pub(crate) json: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Paths {
    pub(crate) run: At<String>,
    pub(crate) spool: At<String>,
}

/// Reads the form.
pub(crate) fn read(name: &str, text: &[u8]) -> Result<Written, Problems> {
    let problem = |span, what: String, help: &str| {
        let problem = Problem { span, what, help: help.into(), is_warning: false };
        Problems::new(name, text, vec![problem])
    };
    let letters = std::str::from_utf8(text).map_err(|error| {
        let at = error.valid_up_to();
        problem(at..at.saturating_add(1), "an octet that is not UTF-8".into(), "TOML is UTF-8")
    })?;
    toml::from_str(letters).map_err(|error| {
        let message = error.message().trim();
        let (what, help) = message.split_once(", expected").map_or((message, ""), |parts| parts);
        let help = if help.is_empty() { String::new() } else { format!("expected{help}") };
        problem(error.span().unwrap_or(0..0), what.to_owned(), &help)
    })
}
