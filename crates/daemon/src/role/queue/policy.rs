//! The queue's questions to the policy: routes of reports and submissions, who stands behind a name, how a batch goes to
//! its mailer.
//!
//! Answers come in the order of the questions. Questions that a policy did not live to answer are asked
//! again of its successor, so nothing waits for ever and nothing is decided without it.

use super::House;
use crate::edges::{FromPolicy, ToPolicy};
use crate::file_frames;
use crate::link::Link;
use crate::member_frames::Held;
use ::policy::{Dress, Expansion, FileSeen, Recipient, Refusal, RefusedMember, Route};
use ::queue::{BatchId, Input, Inquiry};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// One question.
enum Asked {
    /// Where a recipient goes, or who stands behind a name.
    Inquiry(Inquired),
    /// How a batch goes to its mailer.
    Dress(BatchId, Box<ToPolicy>),
    /// The header of a message that goes into the owner's file for what nobody can get.
    Saved(u32, Box<ToPolicy>),
    /// The header that comes back with a report, and what is known of its reader.
    Returned(Box<Inquired>, Box<Expansion>, Box<ToPolicy>),
}

#[derive(Clone)]
pub(super) struct Inquired {
    slot: u32,
    recipient: u32,
    address: Box<[u8]>,
    /// Of the message.
    sender: Box<[u8]>,
    inquiry: Inquiry,
    /// Whether the header that comes back is asked for, too.
    is_reader: bool,
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
    held: Held,
}

impl PolicyLine {
    /// A policy is there: what waits is asked of it.
    pub(super) fn connect(&mut self, descriptor: OwnedFd) {
        self.link = Some(Link::new(descriptor));
        self.held.clear();
        let waiting = std::mem::take(&mut self.asked);
        for asked in &waiting {
            self.send(asked);
        }
        self.asked = waiting;
    }

    /// Asks, or keeps the question for the policy to come.
    pub(super) fn inquire(
        &mut self,
        (slot, recipient): (u32, u32),
        address: Box<[u8]>,
        sender: Box<[u8]>,
        inquiry: Inquiry,
    ) {
        let (files, rounds) = (Vec::new(), 0);
        let is_reader = inquiry == Inquiry::Report;
        self.inquire_with(Inquired {
            slot,
            recipient,
            address,
            sender,
            inquiry,
            is_reader,
            files,
            rounds,
        });
    }

    /// The same for a question that may have files.
    pub(super) fn inquire_with(&mut self, asked: Inquired) {
        self.ask(Asked::Inquiry(asked));
    }

    /// Asks how a batch goes to its mailer.
    pub(super) fn dress(&mut self, batch: BatchId, question: Dress) {
        self.ask(Asked::Dress(batch, Box::new(ToPolicy::Dress(Box::new(question)))));
    }

    /// Asks for the header of a message that goes into the owner's file for what nobody can get.
    pub(super) fn dress_saved(&mut self, slot: u32, question: Dress) {
        self.ask(Asked::Saved(slot, Box::new(ToPolicy::Dress(Box::new(question)))));
    }

    fn ask(&mut self, asked: Asked) {
        self.send(&asked);
        self.asked.push_back(asked);
    }

    fn send(&mut self, asked: &Asked) {
        let inquiry = |asked: &Inquired| {
            let address = asked.address.clone();
            match &asked.inquiry {
                Inquiry::Expand(route) => {
                    let (route, sender) = (route.clone(), asked.sender.clone());
                    ToPolicy::Expand { address, route, sender }
                }
                Inquiry::Route | Inquiry::RouteAndExpand | Inquiry::Report => {
                    ToPolicy::Route { address }
                }
            }
        };
        let Some(link) = &mut self.link else { return };
        let sent = match asked {
            Asked::Inquiry(asked) => {
                let mut files = asked.files.iter();
                let sent = files.try_for_each(|seen| file_frames::send(link, seen, ToPolicy::File));
                sent.and_then(|()| link.send(&inquiry(asked), &[]))
            }
            Asked::Dress(_, question)
            | Asked::Saved(_, question)
            | Asked::Returned(_, _, question) => link.send(&**question, &[]),
        };
        if sent.is_err() {
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
            if let FromPolicy::Members(more) = answer {
                if self.policy.held.take(more).is_err() {
                    self.policy.link = None;
                    return;
                }
                continue;
            }
            let Some(asked) = self.policy.asked.pop_front() else {
                self.policy.link = None;
                return;
            };
            match (asked, answer) {
                (Asked::Dress(batch, _), FromPolicy::Dressed(answer)) => {
                    self.dressed(batch, answer);
                }
                (Asked::Saved(slot, _), FromPolicy::Dressed(answer)) => {
                    self.saved_as(slot, answer.ok().map(|dressed| dressed.header));
                }
                (Asked::Inquiry(asked), answer) => self.answered(asked, answer),
                (Asked::Returned(asked, expansion, _), FromPolicy::Dressed(answer)) => {
                    self.returned(asked.slot, answer);
                    self.tell_answer(&asked, *expansion);
                }
                // An answer to something else: asked again of a policy that knows what it is asked.
                (Asked::Dress(..) | Asked::Saved(..) | Asked::Returned(..), _) => {
                    self.policy.link = None;
                    return;
                }
            }
        }
    }

    fn answered(&mut self, asked: Inquired, answer: FromPolicy) {
        let expansion = match (answer, &asked.inquiry) {
            (FromPolicy::Expansion(expansion), _) if !expansion.wanted.is_empty() => {
                self.gather(asked, expansion.wanted);
                return;
            }
            (FromPolicy::Expansion(expansion), _) => self.policy.held.complete(expansion),
            (FromPolicy::Route(Ok(route)), Inquiry::RouteAndExpand | Inquiry::Report)
                if route.expands =>
            {
                let inquiry = Inquiry::Expand(route);
                self.policy.inquire_with(Inquired { inquiry, ..asked });
                return;
            }
            (FromPolicy::Route(Ok(route)), _) => one(&asked.address, route),
            (FromPolicy::Route(Err(refusal)), _) => refused(&asked.address, refusal),
            (FromPolicy::Verdict(_) | FromPolicy::Dressed(_) | FromPolicy::Members(_), _) => {
                self.policy.link = None;
                return;
            }
        };
        self.finish(&asked, expansion);
    }

    /// Takes an answer to the scheduler; for who is to get a report once it is known what comes back with it.
    pub(super) fn finish(&mut self, asked: &Inquired, expansion: Expansion) {
        let reader = expansion.recipients.first().filter(|_| asked.is_reader);
        let question = reader.and_then(|reader| self.question_of_return(asked.slot, &reader.route));
        match question {
            Some(question) => {
                let question = Box::new(ToPolicy::Dress(Box::new(question)));
                let asked = Box::new(asked.clone());
                self.policy.ask(Asked::Returned(asked, Box::new(expansion), question));
            }
            None => self.tell_answer(asked, expansion),
        }
    }

    fn tell_answer(&mut self, asked: &Inquired, expansion: Expansion) {
        // Of whom a report will go to is told when it goes, but for ourselves: nothing ever goes there.
        if !asked.is_reader || *asked.address == *::queue::OURSELVES {
            self.show_steps(&expansion.steps);
        }
        self.step(Input::Answered {
            slot: asked.slot,
            recipient: asked.recipient,
            expansion: Box::new(expansion),
        });
    }
}

/// A plain route is an expansion of one recipient.
fn one(address: &[u8], route: Route) -> Expansion {
    let recipient =
        Recipient { address: address.into(), route, from: Box::default(), controller: None };
    Expansion { recipients: vec![recipient], ..Expansion::default() }
}

/// A refusal is an expansion of one refused member; a temporary one is asked again later.
fn refused(address: &[u8], refusal: Refusal) -> Expansion {
    if refusal.is_temporary() {
        return Expansion { later: Some(refusal.text), ..Expansion::default() };
    }
    let member = RefusedMember::new(address, refusal);
    Expansion { refused: vec![member], ..Expansion::default() }
}
