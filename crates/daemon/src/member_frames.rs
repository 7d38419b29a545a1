//! The members of a list on their way from the policy to the queue: as many frames as they need, before the answer itself.

use crate::edges::FromPolicy;
use crate::link::{Link, LinkError};
use ::queue::MEMBERS_MAX;
use policy::{Expansion, Recipient};

/// Octets of addresses and routes in one frame, about.
const FRAME_BYTES: usize = 512 * 1024;

/// Octets of all members of one answer.
const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;

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
    let members = expansion.recipients.iter().map(length);
    if expansion.recipients.len() > MEMBERS_MAX
        || members.fold(0, usize::saturating_add) > LIST_BYTES_MAX
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
    [&member.address, &route.host, &route.user, &member.from]
        .iter()
        .fold(MEMBER_BYTES, |sum, text| sum.saturating_add(text.len()))
}

/// Members that came before the answer that they belong to.
#[derive(Debug, Default)]
pub(crate) struct Held {
    members: Vec<Recipient>,
    octets: usize,
}

impl Held {
    /// Takes further ones.
    ///
    /// # Errors
    /// More than may be: the policy is not what it should be.
    pub(crate) fn take(&mut self, more: Vec<Recipient>) -> Result<(), LinkError> {
        self.octets = more.iter().map(length).fold(self.octets, usize::saturating_add);
        self.members.extend(more);
        if self.members.len() > MEMBERS_MAX || self.octets > LIST_BYTES_MAX {
            return Err(LinkError::Garbled("too many members"));
        }
        Ok(())
    }

    /// The whole answer.
    pub(crate) fn complete(&mut self, mut expansion: Expansion) -> Expansion {
        let Self { mut members, .. } = std::mem::take(self);
        members.append(&mut expansion.recipients);
        Expansion { recipients: members, ..expansion }
    }

    /// Forgets them: who would have said the rest is gone.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use super::{Held, LIST_BYTES_MAX, send};
    use crate::edges::FromPolicy;
    use crate::link::Link;
    use ::policy::{Expansion, MailerId, Recipient, Route};
    use std::os::unix::net::UnixStream;

    fn member(address: &[u8]) -> Recipient {
        let route = Route {
            mailer: MailerId(0),
            host: b"far.test"[..].into(),
            user: address.into(),
            expands: false,
        };
        Recipient { address: address.into(), route, from: Box::default(), controller: None }
    }

    #[test]
    fn a_long_answer_comes_in_frames_and_is_whole_again() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut sender, mut receiver) = (Link::new(one.into()), Link::new(other.into()));
        let recipients: Vec<Recipient> =
            (0..50_000).map(|n| member(format!("user{n}@far.test").as_bytes())).collect();
        let expansion = Expansion { recipients: recipients.clone(), ..Expansion::default() };
        let thread = std::thread::spawn(move || {
            send(&mut sender, expansion).unwrap();
            while !sender.flush().unwrap() {
                sys::poll::writable(&sender).unwrap();
            }
        });
        let (mut held, mut frames) = (Held::default(), 0);
        let whole = loop {
            match receiver.receive::<FromPolicy>().unwrap() {
                Some((FromPolicy::Members(more), _)) => {
                    frames += 1;
                    held.take(more).unwrap();
                }
                Some((FromPolicy::Expansion(last), _)) => break held.complete(last),
                Some(_) | None => {
                    sys::poll::readable(&receiver, None).unwrap();
                    receiver.fill().unwrap();
                }
            }
        };
        thread.join().unwrap();
        assert!(frames > 1);
        assert_eq!(whole.recipients, recipients);
    }

    #[test]
    fn a_policy_that_says_too_much_is_cut_off() {
        let long = vec![b'x'; 1024 * 1024];
        let mut held = Held::default();
        let rounds = LIST_BYTES_MAX / (2 * long.len());
        for _ in 0..rounds.saturating_sub(1) {
            held.take(vec![member(&long)]).unwrap();
        }
        assert!((0..3).any(|_| held.take(vec![member(&long)]).is_err()));
    }
}
