//! Rule set `check_compat`: whether this sender may write to that recipient, asked just before delivery (operations guide,
//! section 5.1.4.6). The rules see `sender $| recipient`, both as they were written.

use super::super::check::{self, Outcome};
use super::{quiet, written};
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::dress::Unfit;
use policy::{Resolved, Story};

const SET: &[u8] = b"check_compat";

/// The recipients that the rules do not let through.
pub(super) fn judge(
    machine: &mut Machine<'_>,
    story: &Story,
    sender: &[u8],
    recipients: &[Box<[u8]>],
) -> Vec<Unfit> {
    if recipients.is_empty() || !check::has(machine, SET) {
        return Vec::new();
    }
    let sender = written(machine, story, sender);
    let mut unfit = Vec::new();
    for (place, recipient) in (0_u32..).zip(recipients) {
        let outcome = check::run(machine, SET, &sender, Some(recipient), b"");
        quiet(machine);
        let said = match &outcome {
            Outcome::Refuse(refusal) => {
                let (class, subject, detail) = refusal.status;
                let codes = alloc::format!("reject={} {class}.{subject}.{detail} ", refusal.code);
                [codes.as_bytes(), &refusal.text].concat()
            }
            Outcome::Discard => b"discard".to_vec(),
            // It is too late to keep the message back: some may have it.
            Outcome::Accept | Outcome::Quarantine(_) => continue,
        };
        let relay = relay(story);
        let line = [
            b"ruleset=check_compat, arg1=",
            sender.as_slice(),
            b", arg2=",
            recipient,
            b", relay=",
            &relay,
            b", ",
            &said,
        ];
        let line = line.concat().into();
        let refusal = match outcome {
            Outcome::Refuse(refusal) => Some(refusal),
            Outcome::Accept | Outcome::Discard | Outcome::Quarantine(_) => None,
        };
        unfit.push(Unfit { place, refusal, line });
    }
    unfit
}

/// Where the message came from, as the log says it.
fn relay(story: &Story) -> Vec<u8> {
    if story.client_address.is_empty() {
        let user: &[u8] = if story.user.is_empty() { b"localhost" } else { &story.user };
        let at: &[u8] = if story.user.is_empty() { b"" } else { b"@localhost" };
        return [user, at].concat();
    }
    let address = [b"[", &*story.client_address, b"]"].concat();
    let forged: &[u8] = if story.resolved == Resolved::Forged { b" (may be forged)" } else { b"" };
    if story.client_name.is_empty() || *story.client_name == *address {
        return [&address, forged].concat();
    }
    [&story.client_name, b" ".as_slice(), &address, forged].concat()
}
