//! The queue's questions to the policy: routes of reports and submissions, who stands behind a name.
//!
//! Answers come in the order of the questions. Questions that a policy did not live to answer are asked
//! again of its successor, so nothing waits for ever and nothing is decided without it.

use super::House;
use crate::edges::{FromPolicy, ToPolicy};
use crate::file_frames;
use crate::link::Link;
use ::policy::{Expansion, FileSeen, Recipient, Refusal, RefusedMember, Route};
use ::queue::{Input, Inquiry};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// One question.
#[derive(Clone)]
pub(super) struct Asked {
    slot: u32,
    recipient: u32,
    address: Box<[u8]>,
    inquiry: Inquiry,
    /// What was read of the files that the policy wanted for it.
    pub(super) files: Vec<Arc<FileSeen>>,
    /// How often it wanted some.
    pub(super) rounds: u32,
}

/// The edge to the policy, if there is one now, and what is asked.
#[derive(Default)]
pub(super) struct PolicyLine {
    link: Option<Link>,
    /// Sent and not answered, in order.
    asked: VecDeque<Asked>,
}

impl PolicyLine {
    /// A policy is there: what waits is asked of it.
    pub(super) fn connect(&mut self, descriptor: OwnedFd) {
        self.link = Some(Link::new(descriptor));
        for asked in self.asked.clone() {
            self.send(&asked);
        }
    }

    /// Asks, or keeps the question for the policy to come.
    pub(super) fn inquire(
        &mut self,
        slot: u32,
        recipient: u32,
        address: Box<[u8]>,
        inquiry: Inquiry,
    ) {
        self.ask(Asked { slot, recipient, address, inquiry, files: Vec::new(), rounds: 0 });
    }

    /// The same for a question that may have files.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.send(&asked);
        self.asked.push_back(asked);
    }

    fn send(&mut self, asked: &Asked) {
        let address = asked.address.clone();
        let question = match &asked.inquiry {
            Inquiry::Expand(route) => ToPolicy::Expand { address, route: route.clone() },
            Inquiry::Route | Inquiry::RouteAndExpand => ToPolicy::Route { address },
        };
        let Some(link) = &mut self.link else { return };
        let mut files = asked.files.iter();
        let sent = files.try_for_each(|seen| file_frames::send(link, seen, ToPolicy::File));
        if sent.and_then(|()| link.send(&question, &[])).is_err() {
            self.link = None;
        }
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.link.iter()
    }

    pub(super) fn fill(&mut self, ready: &mut impl Iterator<Item = bool>) {
        if let Some(link) = &mut self.link
            && ready.next() == Some(true)
            && link.fill().is_err()
        {
            self.link = None;
        }
    }

    pub(super) fn flush(&mut self) {
        if let Some(link) = &mut self.link
            && link.flush().is_err()
        {
            self.link = None;
        }
    }
}

impl House {
    /// Takes the policy's answers to the scheduler.
    pub(super) fn take_answers(&mut self) {
        loop {
            let Some(link) = &mut self.policy.link else { return };
            let answer = match link.receive::<FromPolicy>() {
                Ok(Some((answer, _))) => answer,
                Ok(None) => return,
                Err(_) => {
                    self.policy.link = None;
                    return;
                }
            };
            let Some(asked) = self.policy.asked.pop_front() else {
                self.policy.link = None;
                return;
            };
            self.answered(asked, answer);
        }
    }

    fn answered(&mut self, asked: Asked, answer: FromPolicy) {
        let expansion = match (answer, &asked.inquiry) {
            (FromPolicy::Expansion(expansion), _) if !expansion.wanted.is_empty() => {
                self.gather(asked, expansion.wanted);
                return;
            }
            (FromPolicy::Expansion(expansion), _) => expansion,
            (FromPolicy::Route(Ok(route)), Inquiry::RouteAndExpand) if route.expands => {
                let inquiry = Inquiry::Expand(route);
                self.policy.inquire(asked.slot, asked.recipient, asked.address, inquiry);
                return;
            }
            (FromPolicy::Route(Ok(route)), _) => one(&asked.address, route),
            (FromPolicy::Route(Err(refusal)), _) => refused(&asked.address, refusal),
            (FromPolicy::Verdict(_), _) => {
                self.policy.link = None;
                return;
            }
        };
        self.finish(&asked, expansion);
    }

    /// Takes an answer to the scheduler.
    pub(super) fn finish(&mut self, asked: &Asked, expansion: Expansion) {
        self.step(Input::Answered {
            slot: asked.slot,
            recipient: asked.recipient,
            expansion: Box::new(expansion),
        });
    }
}

/// A plain route is an expansion of one recipient.
fn one(address: &[u8], route: Route) -> Expansion {
    let recipient = Recipient { address: address.into(), route };
    Expansion { recipients: vec![recipient], ..Expansion::default() }
}

/// A refusal is an expansion of one refused member; a temporary one is asked again later.
fn refused(address: &[u8], refusal: Refusal) -> Expansion {
    if refusal.is_temporary() {
        return Expansion { later: Some(refusal.text), ..Expansion::default() };
    }
    let member = RefusedMember { address: address.into(), refusal };
    Expansion { refused: vec![member], ..Expansion::default() }
}
