//! ironpost.toml as it is written: keys, types, places. No judgement but that of form.

use crate::problem::{Problem, Problems};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

/// Wrong things that are told at once.
const PROBLEMS_MAX: usize = 100;

/// The longest unknown key for which a known one is looked for.
const KEY_BYTES_MAX: usize = 64;

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
    pub(crate) message_bytes_max: At<u64>,
    pub(crate) recipients_max: At<u32>,
    pub(crate) header_bytes_max: At<u32>,
    pub(crate) hops_max: At<u32>,
    pub(crate) command_bytes_max: At<u32>,
    pub(crate) text_line_bytes_max: At<u32>,
    pub(crate) bad_commands_max: At<u32>,
    pub(crate) bad_recipients_max: At<u32>,
    pub(crate) messages_max: At<u32>,
    pub(crate) sessions_max: At<u32>,
    pub(crate) sessions_per_client_max: At<u32>,
    pub(crate) queued_max: At<u32>,
    pub(crate) free_bytes_min: At<u64>,
    pub(crate) connections_per_destination_max: At<u32>,
}

#[allow(clippy::struct_field_names, reason = "units stand in names")]
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    pub(crate) command_s: At<u32>,
    pub(crate) data_block_s: At<u32>,
    pub(crate) message_s: At<u32>,
    pub(crate) connect_s: At<u32>,
    pub(crate) greeting_s: At<u32>,
    pub(crate) reply_s: At<u32>,
    pub(crate) data_s: At<u32>,
    pub(crate) dot_s: At<u32>,
    pub(crate) idle_s: At<u32>,
}

#[allow(clippy::struct_field_names, reason = "units stand in names")]
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Queue {
    pub(crate) first_s: At<u32>,
    pub(crate) longest_s: At<u32>,
    pub(crate) give_up_s: At<u32>,
    pub(crate) warn_s: At<u32>,
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

/// Reads the form. Each entry is read by itself first, so that one that is wrong does not hide the next.
pub(crate) fn read(name: &str, text: &[u8]) -> Result<Written, Problems> {
    let wrong = |problems| Problems::new(name, text, problems);
    let letters = std::str::from_utf8(text).map_err(|error| {
        let at = error.valid_up_to();
        wrong(vec![Problem {
            span: at..at.saturating_add(1),
            what: "an octet that is not UTF-8".into(),
            help: "TOML is UTF-8".into(),
            is_warning: false,
        }])
    })?;
    let (table, errors) = DeTable::parse_recoverable(letters);
    if !errors.is_empty() {
        return Err(wrong(errors.iter().take(PROBLEMS_MAX).map(problem).collect()));
    }
    let mut problems: Vec<Problem> = Vec::new();
    for entry in entries(&table) {
        if let Err(error) = Written::deserialize(Deserializer::from(entry)) {
            let problem = problem(&error);
            if !problems.contains(&problem) && problems.len() < PROBLEMS_MAX {
                problems.push(problem);
            }
        }
    }
    if !problems.is_empty() {
        return Err(wrong(problems));
    }
    Written::deserialize(Deserializer::from(table)).map_err(|error| wrong(vec![problem(&error)]))
}

/// Files of one entry each; an entry of a table of ours comes alone in its table.
fn entries<'i>(file: &Spanned<DeTable<'i>>) -> Vec<Spanned<DeTable<'i>>> {
    let mut entries = Vec::new();
    let mut add = |key: &Spanned<Cow<'i, str>>, value: Spanned<DeValue<'i>>| {
        let mut entry = DeTable::new();
        entry.insert(key.clone(), value);
        entries.push(Spanned::new(file.span(), entry));
    };
    for (key, value) in file.get_ref() {
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                for (inner_key, inner_value) in inner {
                    let mut alone = DeTable::new();
                    alone.insert(inner_key.clone(), inner_value.clone());
                    add(key, Spanned::new(value.span(), DeValue::Table(alone)));
                }
            }
            DeValue::Table(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => add(key, value.clone()),
        }
    }
    entries
}

/// An error of the form, in two parts: what was found, what is allowed.
fn problem(error: &Error) -> Problem {
    let message = error.message().trim();
    let (what, expected) = message.split_once(", expected").unwrap_or((message, ""));
    let mut help = String::new();
    if let Some(near) = nearest(what, expected) {
        help = format!("did you mean `{near}`? ");
    }
    if !expected.is_empty() {
        help.push_str("expected");
        help.push_str(expected);
    }
    Problem { span: error.span().unwrap_or(0..0), what: what.to_owned(), help, is_warning: false }
}

/// The key that was meant: of those allowed the one with the fewest letters to change.
fn nearest<'a>(what: &str, expected: &'a str) -> Option<&'a str> {
    let written = what.strip_prefix("unknown field `")?.strip_suffix('`')?;
    if written.len() > KEY_BYTES_MAX {
        return None;
    }
    let allowed = expected.split('`').skip(1).step_by(2);
    let (distance, near) = allowed.map(|key| (distance(written, key), key)).min()?;
    (distance <= near.len().div_ceil(3)).then_some(near)
}

/// How many letters must be put in, taken out or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.bytes().enumerate() {
        let mut left = index.saturating_add(1);
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), left);
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = diagonal.saturating_add(usize::from(a != b));
            diagonal = *cell;
            *cell = changed.min(left.saturating_add(1)).min(diagonal.saturating_add(1));
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}
