//! The envelope of a message that a session has taken.

use policy::{Origin, Settings};
use queue::{Envelope, Notify, Purpose, Return};
use smtp::server::Message;
use wire::command::BodyKind;
use wire::dsn::Ret;

/// What the queue is to keep of a session's message, beside its text.
#[must_use]
pub fn of(message: &Message, origin: &Origin, settings: &Settings) -> Envelope {
    let recipients = message.recipients.iter().map(|recipient| queue::Recipient {
        address: recipient.address.clone(),
        route: recipient.route.clone(),
        notify: notify(recipient.notify),
        original: recipient.original.clone(),
    });
    let (client_address, user, uid) = match origin {
        Origin::Client { peer, .. } => (shown(peer.ip()), Box::default(), None),
        Origin::User { uid, name } => (Box::default(), name.clone(), Some(*uid)),
        Origin::Ourselves => (Box::default(), Box::default(), None),
    };
    Envelope {
        id: message.id,
        created_s: message.began.unix_s,
        purpose: Purpose::Mail,
        sender: message.sender.clone(),
        recipients: recipients.collect(),
        size_bytes: message.size_bytes,
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
        origin: queue::Origin {
            client_name: Box::default(),
            client_address,
            hello: message.hello.clone(),
            protocol: message.protocol.as_bytes().into(),
            user,
            uid,
            daemon: 0,
        },
        quarantine: message.quarantine.clone(),
        mailers_mark: queue::mailers_mark(&settings.mailers),
    }
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
