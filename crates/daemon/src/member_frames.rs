//! The members of a list on their way from the policy to the queue: as many frames as they need, before the answer itself.

use crate::edges::FromPolicy;
use crate::link::{Link, LinkError};
use ::queue::MEMBERS_MAX;
use policy::{Expansion, Recipient};

/// Octets of addresses and routes in one frame, about.
const FRAME_BYTES: usize = 512 * 1024;

/// Octets of a member besides its texts, about.
const MEMBER_BYTES: usize = 16;

/// Octets of a refusal besides its texts, about.
const REFUSAL_BYTES: usize = 64;

/// Sends an answer.
///
/// # Errors
/// It is longer than may be, or the other end has stopped reading.
pub(crate) fn send(link: &mut Link, mut expansion: Expansion) -> Result<(), LinkError> {
    let refused = expansion.refused.iter().map(|one| {
        let texts = one.address.len().saturating_add(one.refusal.text.len());
        texts.saturating_add(REFUSAL_BYTES)
    });
    if expansion.recipients.len() > MEMBERS_MAX
        || refused.fold(0, usize::saturating_add) > FRAME_BYTES
    {
        // Before anything is sent: the other end must not take half of it for all.
        return Err(LinkError::Garbled("too many members"));
    }
    let mut frame = Vec::new();
    let mut octets = 0_usize;
    for member in std::mem::take(&mut expansion.recipients) {
        let length = length(&member);
        if octets.saturating_add(length) > FRAME_BYTES {
            link.send(&FromPolicy::Members(std::mem::take(&mut frame)), &[])?;
            octets = 0;
        }
        octets = octets.saturating_add(length);
        frame.push(member);
    }
    expansion.recipients = frame;
    link.send(&FromPolicy::Expansion(expansion), &[])
}

fn length(member: &Recipient) -> usize {
    let route = &member.route;
    [&member.address, &route.host, &route.user]
        .iter()
        .fold(MEMBER_BYTES, |sum, text| sum.saturating_add(text.len()))
}

/// Takes members that came before their answer.
///
/// # Errors
/// More than may be.
pub(crate) fn take(held: &mut Vec<Recipient>, more: Vec<Recipient>) -> Result<(), LinkError> {
    held.extend(more);
    if held.len() > MEMBERS_MAX { Err(LinkError::Garbled("too many members")) } else { Ok(()) }
}
