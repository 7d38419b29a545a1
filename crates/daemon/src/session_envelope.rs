//! The envelope of a message that a session has taken.

use policy::{Controller, Facts, Member, Origin, Settings};
use queue::{Envelope, Followed, Notify, Purpose, Return, Returns, Way};
use smtp::server::{Body, Message};
use wire::QueueId;
use wire::command::BodyKind;
use wire::dsn::Ret;

/// What kind of octets a message has, as was said; where that was too much and the message is small enough to look, as it is.
#[must_use]
pub fn body_kind(message: &Message) -> queue::BodyKind {
    match (message.body_kind, &message.body) {
        (None, _) => queue::BodyKind::SevenBit,
        (Some(BodyKind::SevenBit), _) => queue::BodyKind::DeclaredSeven,
        (Some(BodyKind::EightBit), Body::Inline(body)) if body.is_ascii() => {
            queue::BodyKind::DeclaredSeven
        }
        (Some(BodyKind::EightBit), _) => queue::BodyKind::EightBit,
    }
}

/// What the queue is to keep of a session's message, beside its text.
#[must_use]
pub fn of(message: &Message, facts: &Facts, settings: &Settings) -> Envelope {
    let recipients =
        message.recipients.iter().map(|recipient| named(recipient, message.controller.as_ref()));
    Envelope {
        id: message.id,
        created_s: message.began.unix_s,
        purpose: Purpose::Mail,
        sender: message.sender.clone(),
        recipients: recipients.collect(),
        size_bytes: if settings.dresses_mail { message.logged_bytes } else { message.size_bytes },
        body: body_kind(message),
        is_utf8: message.is_utf8,
        ret: message.ret.map(returned),
        envelope_id: message.envelope_id.clone(),
        by: message.by.map(|by| queue::DeliverBy {
            seconds: by.seconds,
            returns: by.returns,
            traces: by.traces,
        }),
        origin: origin(message, facts, settings.dresses_mail),
        quarantine: message.quarantine.clone(),
        mailers_mark: queue::mailers_mark(&settings.mailers),
        priority: message.priority,
        returns: Returns {
            without_text: settings.weights.class(&message.head.precedence) < 0,
            also_to: Vec::new(),
        },
    }
}

/// A recipient as RCPT named it.
fn named(recipient: &smtp::server::Recipient, sender: Option<&Controller>) -> queue::Recipient {
    let followed = sender.map(|user| {
        let logged = Some(user.clone());
        Box::new(Followed { logged, ..Followed::default() })
    });
    queue::Recipient {
        address: recipient.address.clone(),
        route: recipient.route.clone(),
        notify: notify(recipient.notify),
        original: recipient.original.clone(),
        followed,
    }
}

/// The envelopes of a message whose recipients were followed with the rights of who hands it in: its own, and one for each
/// owner of a list, who is the sender to its members. `mint` gives names for those. Never none; only the first may have the
/// message's name, and it has nobody if all are an owner's.
///
/// Who is to be told that a name stands for several is not followed here: that report is the queue's, when it follows him.
pub fn followed(
    message: &Message,
    facts: &Facts,
    settings: &Settings,
    mut mint: impl FnMut() -> QueueId,
) -> Vec<Envelope> {
    let whole = of(message, facts, settings);
    let programs: Vec<bool> = settings
        .mailers
        .iter()
        .map(|mailer| matches!(&*mailer.name, b"prog" | b"*file*"))
        .collect();
    let is_program = |member: &Member| {
        programs.get(usize::from(member.route.mailer.0)).is_some_and(|is_program| *is_program)
    };
    let mut parts = vec![Envelope { recipients: Vec::new(), ..whole.clone() }];
    for recipient in &message.recipients {
        let own = named(recipient, message.controller.as_ref());
        let members = recipient.members.as_ref();
        let Some(members) = members.filter(|members| !is_told(&own, members, message)) else {
            parts.first_mut().into_iter().for_each(|part| part.recipients.push(own.clone()));
            continue;
        };
        for member in members {
            let owner = member.owner.as_ref().filter(|_| !message.sender.is_empty());
            let place = parts.iter().skip(1).position(|part| Some(&part.sender) == owner);
            let place = match (owner, place) {
                (None, _) => 0,
                (Some(_), Some(place)) => place.saturating_add(1),
                (Some(owner), None) => {
                    parts.push(whole.part_of_owner(mint(), owner));
                    parts.len().saturating_sub(1)
                }
            };
            let sender = if owner.is_some() { &member.owner_user } else { &message.controller };
            let logged = if is_program(member) { &member.controller } else { sender };
            let is_as_written = member.address != recipient.shown;
            let followed = Followed {
                controller: member.controller.clone(),
                logged: logged.clone(),
                refused: None,
                is_as_written,
                goes_at_once: false,
                way: way(recipient, member),
                share: queue::Share::Sole,
            };
            let address = if is_as_written { &member.address } else { &recipient.address };
            let notify = if owner.is_some() { Notify::UNSET } else { own.notify };
            parts.get_mut(place).into_iter().for_each(|part| {
                part.recipients.push(queue::Recipient {
                    address: address.clone(),
                    route: member.route.clone(),
                    notify,
                    original: own.original.clone().filter(|_| owner.is_none()),
                    followed: Some(Box::new(followed.clone())),
                });
            });
        }
    }
    parts
}

/// Whether the sender is told that a name stands for several; of a list with an owner its owner hears.
fn is_told(own: &queue::Recipient, members: &[Member], message: &Message) -> bool {
    let is_ours = |member: &Member| member.owner.is_none() || message.sender.is_empty();
    own.notify.wants_success() && members.len() > 1 && members.iter().any(is_ours)
}

/// The names that led to a place.
fn way(recipient: &smtp::server::Recipient, member: &Member) -> Option<Way> {
    let is_led = !member.from.is_empty();
    is_led.then(|| Way { from: member.from.clone(), first: recipient.shown.clone() })
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
        // Whom the trace field names: who was the only one that was asked for.
        let sole = message.recipients.first().filter(|_| message.is_for_one);
        let sole = sole.map(|recipient| recipient.shown.clone()).unwrap_or_default();
        if sole.len() <= queue::FACT_BYTES_MAX && origin.macros.len() < queue::MACROS_MAX {
            origin.macros.push((b"u"[..].into(), sole));
        }
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

/// NOTIFY, as the queue has it.
#[must_use]
pub fn notify(notify: Option<wire::dsn::Notify>) -> Notify {
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

/// RET, as the queue has it.
#[must_use]
pub const fn returned(ret: Ret) -> Return {
    match ret {
        Ret::Full => Return::Full,
        Ret::Headers => Return::Headers,
    }
}
