//! Rule set `check_compat`: whether this sender may write to that recipient, asked just before delivery (operations guide,
//! section 5.1.4.6). The rules see `sender $| recipient`, both as they were written.

use super::super::check::{self, Outcome};
use super::story::peer;
use super::{quiet, written};
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::Story;
use policy::dress::Unfit;

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
        let relay = peer(story);
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
