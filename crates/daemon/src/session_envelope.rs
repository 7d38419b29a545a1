//! The envelope of a message that a session has taken.

use policy::{Facts, Origin, Settings};
use queue::{Envelope, Notify, Purpose, Return};
use smtp::server::Message;
use wire::command::BodyKind;
use wire::dsn::Ret;

/// What the queue is to keep of a session's message, beside its text.
#[must_use]
pub fn of(message: &Message, facts: &Facts, settings: &Settings) -> Envelope {
    let recipients = message.recipients.iter().map(|recipient| queue::Recipient {
        address: recipient.address.clone(),
        route: recipient.route.clone(),
        notify: notify(recipient.notify),
        original: recipient.original.clone(),
        followed: None,
    });
    Envelope {
        id: message.id,
        created_s: message.began.unix_s,
        purpose: Purpose::Mail,
        sender: message.sender.clone(),
        recipients: recipients.collect(),
        size_bytes: if settings.dresses_mail { message.logged_bytes } else { message.size_bytes },
        body: match message.body_kind {
            Some(BodyKind::EightBit) => queue::BodyKind::EightBit,
            Some(BodyKind::SevenBit) | None => queue::BodyKind::SevenBit,
        },
        is_utf8: message.is_utf8,
        ret: message.ret.map(|ret| match ret {
            Ret::Full => Return::Full,
            Ret::Headers => Return::Headers,
        }),
        envelope_id: message.envelope_id.clone(),
        origin: origin(message, facts, settings.dresses_mail),
        quarantine: message.quarantine.clone(),
        mailers_mark: queue::mailers_mark(&settings.mailers),
    }
}

/// Where a message came from, with what its trace fields will tell if they are made later.
fn origin(message: &Message, facts: &Facts, dresses_mail: bool) -> queue::Origin {
    let mut origin = queue::Origin {
        hello: message.hello.clone(),
        protocol: message.protocol.as_bytes().into(),
        daemon: facts.daemon,
        ..queue::Origin::default()
    };
    match &facts.origin {
        Origin::Client { peer, name, resolved, .. } => {
            origin.client_address = shown(peer.ip());
            if dresses_mail {
                origin.client_name.clone_from(name);
                origin.resolved = *resolved;
            }
        }
        Origin::User { uid, name } => {
            origin.user.clone_from(name);
            origin.uid = Some(*uid);
        }
        Origin::Ourselves => {}
    }
    if dresses_mail {
        let fits = |(name, value): &&(Box<[u8]>, Box<[u8]>)| {
            name.len().max(value.len()) <= queue::FACT_BYTES_MAX
        };
        let set = facts.macros.iter().filter(fits).take(queue::MACROS_MAX);
        origin.macros = set.cloned().collect();
    }
    origin
}

/// An address as envelopes and address literals have it.
fn shown(address: std::net::IpAddr) -> Box<[u8]> {
    match address.to_canonical() {
        std::net::IpAddr::V4(address) => address.to_string().into_bytes().into(),
        std::net::IpAddr::V6(address) => format!("IPv6:{address}").into_bytes().into(),
    }
}

fn notify(notify: Option<wire::dsn::Notify>) -> Notify {
    match notify {
        None => Notify::UNSET,
        Some(wire::dsn::Notify::Never) => Notify::NEVER,
        Some(wire::dsn::Notify::On { success, failure, delay }) => {
            let wanted =
                [(success, Notify::SUCCESS), (failure, Notify::FAILURE), (delay, Notify::DELAY)];
            let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted);
            wanted.fold(Notify::UNSET, |all, (_, one)| all.and(one))
        }
    }
}
