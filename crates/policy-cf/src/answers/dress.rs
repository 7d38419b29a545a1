//! A message dressed for its mailer: trace fields and missing fields by H lines, addresses by S= and R= (operations guide,
//! sections 5.4 and 5.7; what sendmail does between its queue and a mailer).
//!
//! The order is sendmail's: what H lines add, as the file has them, then the message's own fields as they came. A field of
//! the message replaces the H line of its name, but for trace fields. Templates are expanded with the sender in `$g` as the
//! message has it; those that are empty then, and the way back, with the sender as this mailer is told it.

mod addresses;
mod compat;
mod fields;
mod known;
mod separator;
mod story;

use super::CfPolicy;
use super::check::clean;
use crate::machine::{Machine, ScanTable, exit, strip_quotes};
use crate::mailer::Flags;
use crate::resolve::{Manner, Resolved, Side, set};
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::{Dress, Dressed, Refusal, Story};

/// Who sends it, in a header or in the envelope.
const SENDER: Side = Side { is_sender: true, is_header: false };

/// What is asked, and what was found out on the way.
struct Work<'d> {
    story: &'d Story,
    mailer: usize,
    flags: Flags,
    /// The original sender, as it was written.
    original: Vec<u8>,
    /// What is appended to names without a domain: the sender's, if his mailer wants it (`F=C`).
    domain: Option<Vec<u8>>,
}

/// The answer to [`policy::Policy::dress`].
pub(super) fn dress(
    policy: &CfPolicy,
    machine: &mut Machine<'_>,
    dress: Dress,
) -> Result<Dressed, Refusal> {
    let number = usize::from(dress.mailer.0);
    let Some(mailer) = machine.config.mailers.get(number) else {
        return Err(Refusal::new(451, (4, 3, 5), b"this mailer is no longer there", b""));
    };
    let flags = mailer.flags;
    let is_program = mailer.path.first() != Some(&b'[');
    let story = &dress.message;
    story::set(machine, story, policy.ports.get(usize::from(story.daemon)));
    machine.config.macros.set(b'h', Some(clean(&dress.host)));
    let original = written(machine, story, &story.sender);
    let domain = if any_appends(machine) { domain(machine, &original) } else { None };
    let work = Work { story, mailer: number, flags, original, domain };
    let fields = fields::gather(machine, &work, &dress.header);
    let (sender, path) = sender(machine, &work, &dress.sender)?;
    machine.config.macros.set(b'g', Some(path));
    let separator = separator::separator(machine, &work).into();
    let (header, made_bytes) = fields::write(machine, &work, fields);
    let made_bytes = u32::try_from(made_bytes).unwrap_or(0);
    let unfit = compat::judge(machine, story, &dress.sender, &dress.addresses);
    let users = dress.users.into_iter();
    let users = users.map(|user| if is_program { told(&user, flags) } else { user }).collect();
    let (sender, header) = (sender.into(), header.into());
    Ok(Dressed { sender, separator, users, header, made_bytes, unfit })
}

/// A reverse-path as it was written: in brackets where it came by SMTP; a report is from the mailer daemon.
fn written(machine: &mut Machine<'_>, story: &Story, sender: &[u8]) -> Vec<u8> {
    if story.is_report {
        return machine.expand(&[crate::token::meta::MACRO, b'n']);
    }
    let sender = clean(sender);
    if story.protocol.is_empty() && !sender.is_empty() {
        return sender;
    }
    [b"<".as_slice(), &sender, b">"].concat()
}

/// The envelope sender as this mailer is told it, and the way back (`$g`).
fn sender(
    machine: &mut Machine<'_>,
    work: &Work<'_>,
    sender: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let written = written(machine, work.story, sender);
    let manner = Manner { is_plain: true, ..Manner::default() };
    let (path, status) = machine.remote_name_as(&written, work.mailer, SENDER, manner);
    quiet(machine);
    if status == exit::TEMPFAIL {
        return Err(Refusal::new(451, (4, 3, 0), b"a map can't say now who sends this", b""));
    }
    let bare = wire::path::bare(&path);
    let takes_null = !work.flags.has(b'g');
    if work.story.is_report && takes_null && work.is_smtp(machine) {
        return Ok((Vec::new(), path));
    }
    if work.flags.has(b'p') && !bare.is_empty() && !is_local(machine, &written) {
        let host = machine.config.macros.value(b'j').unwrap_or_default();
        let mark: &[u8] = if bare.first() == Some(&b'@') { b"," } else { b":" };
        return Ok(([b"@", host, mark, bare].concat(), path));
    }
    Ok((bare.to_vec(), path))
}

impl Work<'_> {
    /// Whether the mailer speaks SMTP or LMTP, where a report is from `<>`.
    fn is_smtp(&self, machine: &Machine<'_>) -> bool {
        let mailer = machine.config.mailers.get(self.mailer);
        mailer.is_some_and(|mailer| matches!(mailer.path.as_slice(), b"[IPC]" | b"[TCP]"))
            || self.flags.has(b'z')
    }
}

/// Takes away what rules said about an address: nobody waits for a reply.
fn quiet(machine: &mut Machine<'_>) {
    machine.out.clear();
    machine.replies.clear();
    machine.about.clear();
}

/// Where a sender's own mail would go.
fn resolved(machine: &mut Machine<'_>, written: &[u8]) -> Option<(Flags, Resolved)> {
    let resolved = machine.parse(written, SENDER);
    quiet(machine);
    let resolved = resolved?;
    let mailer = machine.config.mailers.get(resolved.mailer?)?;
    Some((mailer.flags, resolved))
}

fn is_local(machine: &mut Machine<'_>, written: &[u8]) -> bool {
    resolved(machine, written).is_some_and(|(flags, _)| flags.has(b'l'))
}

/// The full name of a sender who is a user of this system.
fn full_name(machine: &mut Machine<'_>, written: &[u8]) -> Option<Vec<u8>> {
    let (flags, resolved) = resolved(machine, written)?;
    if !flags.has(b'l') {
        return None;
    }
    let user = machine.world.user(&strip_quotes(&resolved.user)).ok()??;
    let name = clean(&crate::expand::full_name(&user));
    (!name.is_empty()).then_some(name)
}

/// Whether any mailer wants the sender's domain on names without one.
fn any_appends(machine: &Machine<'_>) -> bool {
    machine.config.mailers.iter().any(|mailer| mailer.flags.has(b'C'))
}

/// The sender's domain, if his own mailer has `F=C`: what stands from the `@` on.
fn domain(machine: &mut Machine<'_>, written: &[u8]) -> Option<Vec<u8>> {
    let (flags, _) = resolved(machine, written)?;
    if !flags.has(b'C') {
        return None;
    }
    let mut tokens = Vec::new();
    let (found, _) = machine.scan(written, ScanTable::Outside, 0, &mut tokens);
    if !found {
        return None;
    }
    let _status = machine.rewrite(&mut tokens, set::CANONIFY);
    let texts = machine.texts(&tokens);
    let at = texts.iter().position(|text| text == b"@")?;
    let domain = texts.get(at..)?.iter().take_while(|text| *text != b">");
    Some(domain.flatten().copied().collect())
}

/// A recipient as a program is told it: without quotes (`F=s`), without the backslash in front (`F=B`).
fn told(user: &[u8], flags: Flags) -> Box<[u8]> {
    let user = if flags.has(b's') { strip_quotes(user) } else { user.to_vec() };
    match user.strip_prefix(b"\\") {
        Some(bare) if flags.has(b'B') => bare.into(),
        _ => user.into(),
    }
}
