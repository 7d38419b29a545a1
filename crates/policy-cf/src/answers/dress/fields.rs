//! The fields of a header as a mailer gets them: H lines and the message's own, put together, expanded, left out.

use super::super::tune::value;
use super::Work;
use super::addresses::{self, Budget};
use super::known::Kind;
use crate::crack::crack;
use crate::machine::Machine;
use crate::token::meta;
use alloc::vec::Vec;
use policy::dress::QUEUED_HEADER;
use policy::settings::DRESSED_BYTES_MAX;
use wire::header::Fields;

/// One field on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    name: Vec<u8>,
    kind: Kind,
    /// Flags of mailers that get it, or a macro that must have a value; empty: all.
    condition: Vec<u8>,
    text: Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// What stands behind the colon in the message, line ends inside.
    Own(Vec<u8>),
    /// What an H line came to.
    Made(Vec<u8>),
    /// A template that waits for the way back.
    Template(Vec<u8>),
}

/// Puts the fields together, in order; H lines that need no mailer are expanded, with the sender in `$g`.
pub(super) fn gather(machine: &mut Machine<'_>, work: &Work<'_>, header: &[u8]) -> Vec<Field> {
    let mut own = own_fields(machine, header);
    let has_all = work.story.macros.iter().any(|(name, _)| **name == *QUEUED_HEADER);
    if !has_all {
        no_recipient_action(machine, work, &mut own);
    }
    let lines: Vec<Field> = machine
        .config
        .headers
        .iter()
        .filter(|line| !line.is_check && !is_replaced(&line.name, &own))
        .filter(|line| !has_all || Kind::of(&line.name).has(Kind::LATE))
        .map(|line| Field {
            name: line.name.clone(),
            kind: Kind::of(&line.name),
            condition: line.condition.clone(),
            text: Text::Template(line.value.clone()),
        })
        .collect();
    name_sender(machine, work, &lines, &own);
    let mut fields: Vec<Field> = lines.into_iter().map(|line| early(machine, line)).collect();
    fields.append(&mut own);
    fields
}

/// The message's own fields. One without a value is as if it were not there if an H line has its name.
fn own_fields(machine: &Machine<'_>, header: &[u8]) -> Vec<Field> {
    let lines = &machine.config.headers;
    let mut own = Vec::new();
    for field in Fields::new(header) {
        let kind = Kind::of(field.name);
        let line = lines
            .iter()
            .find(|line| !line.is_check && line.name.eq_ignore_ascii_case(field.name))
            .filter(|_| !kind.has(Kind::BESIDE));
        if line.is_some() && field.value.trim_ascii().is_empty() {
            continue;
        }
        let is_checked = kind.has(Kind::CHECKED);
        let condition = line.filter(|_| is_checked).map(|line| line.condition.clone());
        own.push(Field {
            name: field.name.to_vec(),
            kind,
            condition: condition.unwrap_or_default(),
            text: Text::Own(field.value.to_vec()),
        });
    }
    own
}

/// Whether the message has a field of its own in place of an H line.
fn is_replaced(name: &[u8], own: &[Field]) -> bool {
    !Kind::of(name).has(Kind::BESIDE)
        && own.iter().any(|field| field.name.eq_ignore_ascii_case(name))
}

fn has(own: &[Field], name: &[u8]) -> bool {
    own.iter().any(|field| field.name.eq_ignore_ascii_case(name))
}

/// What a message without recipients in its header gets (option NoRecipientAction).
fn no_recipient_action(machine: &Machine<'_>, work: &Work<'_>, own: &mut Vec<Field>) {
    let names: [&[u8]; 4] = [b"to", b"cc", b"bcc", b"apparently-to"];
    if work.story.is_report || names.iter().any(|name| has(own, name)) {
        return;
    }
    let action = value(machine, "NoRecipientAction").unwrap_or_default().to_ascii_lowercase();
    let mut add = |name: &[u8], text: &[u8]| {
        let text = [b" ", text].concat();
        let (kind, condition) = (Kind::of(name), Vec::new());
        own.push(Field { name: name.to_vec(), kind, condition, text: Text::Own(text) });
    };
    let is_smtp = !work.story.protocol.is_empty();
    let shown =
        work.story.recipients.iter().map(|address| {
            if is_smtp { [b"<", &**address, b">"].concat() } else { address.to_vec() }
        });
    match action.as_slice() {
        b"add-to" => add(b"To", &shown.collect::<Vec<_>>().join(b", ".as_slice())),
        b"add-apparently-to" => shown.for_each(|address| add(b"Apparently-To", &address)),
        b"add-bcc" => add(b"Bcc", b""),
        b"add-to-undisclosed" => add(b"To", b"undisclosed-recipients:;"),
        _ => {}
    }
}

/// `$x` and `$g` for the H lines: the sender's full name, where one shows it, and his address.
fn name_sender(machine: &mut Machine<'_>, work: &Work<'_>, lines: &[Field], own: &[Field]) {
    let shows = |name: u8| {
        let reference = [meta::MACRO, name];
        let condition = [meta::IF, name];
        lines.iter().any(|line| match &line.text {
            Text::Template(text) => {
                text.windows(2).any(|part| part == reference || part == condition)
            }
            Text::Own(_) | Text::Made(_) => false,
        })
    };
    let is_unnamed = machine.config.macros.value(b'x').is_none();
    let given = own.iter().find(|field| field.name.eq_ignore_ascii_case(b"full-name"));
    if let Some(Field { text: Text::Own(name), .. }) = given {
        let name = super::clean(name.trim_ascii());
        machine.config.macros.set(b'x', Some(name));
    } else if is_unnamed && shows(b'x') {
        let name = super::full_name(machine, &work.original);
        machine.config.macros.set(b'x', name);
    }
    if shows(b'g') || shows(b'q') {
        let sender = machine.sender_name(&work.original);
        super::quiet(machine);
        machine.config.macros.set(b'g', Some(sender));
    }
}

/// Expands what can be: an H line that comes to nothing waits for the mailer's way back.
fn early(machine: &mut Machine<'_>, line: Field) -> Field {
    let Text::Template(template) = &line.text else { return line };
    if line.kind.has(Kind::LATE) {
        return line;
    }
    let mut text = machine.expand(template);
    if text.trim_ascii().is_empty() {
        return line;
    }
    if line.kind.has(Kind::FROM) {
        let template = crack(&text, &machine.config.options);
        text = machine.expand(&template);
    }
    Field { text: Text::Made(text), ..line }
}

/// Writes the header for the mailer, `$g` being the way back; with it, how much of it stands before the message's own fields.
/// What is too much is left as it is.
pub(super) fn write(
    machine: &mut Machine<'_>,
    work: &Work<'_>,
    fields: Vec<Field>,
) -> (Vec<u8>, usize) {
    let is_resent = fields
        .iter()
        .any(|field| matches!(field.text, Text::Own(_)) && field.kind.has(Kind::RESENT));
    let has_visible = [b"to".as_slice(), b"cc", b"apparently-to"].iter().any(|name| {
        fields.iter().any(|field| {
            matches!(field.text, Text::Own(_)) && field.name.eq_ignore_ascii_case(name)
        })
    });
    let means_dsn = machine.config.options.truth("RrtImpliesDsn");
    let mut out = Vec::new();
    let mut budget = Budget::default();
    let mut made_bytes = None;
    for field in fields {
        if matches!(field.text, Text::Own(_)) && made_bytes.is_none() {
            made_bytes = Some(out.len());
        }
        if !is_wanted(machine, work, &field)
            || (field.kind.has(Kind::RESENT) && !is_resent)
            || (field.kind.has(Kind::RECEIPT) && means_dsn)
        {
            continue;
        }
        let is_made = !matches!(field.text, Text::Own(_));
        let text = match field.text {
            Text::Own(text) | Text::Made(text) => text,
            Text::Template(template) => machine.expand(&template),
        };
        if is_made && text.trim_ascii().is_empty() {
            continue;
        }
        if field.kind.has(Kind::BLIND) {
            if !has_visible {
                out.extend_from_slice(&field.name);
                out.extend_from_slice(b":\r\n");
            }
            continue;
        }
        let is_address = field.kind.has(Kind::FROM) || field.kind.has(Kind::TO);
        if is_address && out.len() < DRESSED_BYTES_MAX {
            let is_sender = field.kind.has(Kind::FROM);
            let value = if is_made { [b" ".as_slice(), &text].concat() } else { unfolded(&text) };
            let list = addresses::List { name: &field.name, value: &value, is_sender };
            addresses::write(machine, work, &list, &mut budget, &mut out);
        } else {
            plain(&field.name, &text, is_made, &mut out);
        }
    }
    let made_bytes = made_bytes.unwrap_or(out.len());
    (out, made_bytes)
}

/// Whether the mailer gets a field.
fn is_wanted(machine: &Machine<'_>, work: &Work<'_>, field: &Field) -> bool {
    let is_own = matches!(field.text, Text::Own(_));
    match field.condition.as_slice() {
        // The message's own is left out where no H line says who gets it.
        [] => !(is_own && field.kind.has(Kind::CHECKED)),
        [meta::MACRO, id, ..] => {
            machine.config.macros.value(*id).is_some_and(|value| !value.is_empty())
        }
        flags => flags.iter().any(|flag| work.flags.has(*flag)),
    }
}

/// A field that holds no addresses.
fn plain(name: &[u8], text: &[u8], is_made: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.push(b':');
    if !is_made {
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
        return;
    }
    // A template has the folding of the file.
    let mut lead: &[u8] = b" ";
    for line in text.split(|octet| *octet == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let is_folded = matches!(line, [b' ' | b'\t', ..]);
        out.extend_from_slice(if is_folded && lead != b" " { b"" } else { b" " });
        out.extend(unquoted(line.strip_suffix(b"\r").unwrap_or(line)));
        out.extend_from_slice(b"\r\n");
        lead = b"";
    }
}

/// Octets of expanded text, the marks before octets that stand for themselves taken out.
pub(super) fn unquoted(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut octets = text.iter().copied();
    core::iter::from_fn(move || match octets.next()? {
        meta::QUOTE => octets.next(),
        octet => Some(octet),
    })
}

/// A value in one line.
fn unfolded(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n' | 0)).collect()
}
