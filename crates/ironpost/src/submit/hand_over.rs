//! Hands a submission over: to the server that runs, or into its drop folder.

use super::recipients::bare;
use super::{DeliveryMode, Submission, lines};
use crate::configured::Run;
use crate::place::Place;
use crate::sendmail::{Taken, take};
use daemon::request;
use policy_cf::machine::exit;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where a server of root's has its control socket.
const RUN: &str = "/run/ironpost";

/// Hands over those who can be sent to; those of a list with an owner in the owner's name.
pub(super) fn hand_over(submission: &Submission<'_>, run: &mut Run<'_>, mode: DeliveryMode) {
    let outgoing = &submission.recipients.outgoing;
    if matches!(mode, DeliveryMode::Queue | DeliveryMode::Defer) {
        let priority = submission.priority(run);
        for one in outgoing {
            let flags = run.machine.config.mailers.get(one.mailer).map(|mailer| mailer.flags);
            let is_remote = flags.is_some_and(|flags| !flags.has(b'l'));
            lines::log_queued(run, one, priority, mode == DeliveryMode::Defer && is_remote);
        }
    }
    let mut owners: Vec<Option<&[u8]>> = Vec::new();
    for one in outgoing {
        if !owners.contains(&one.owner.as_deref()) {
            owners.push(one.owner.as_deref());
        }
    }
    for owner in owners {
        let those = outgoing.iter().filter(|one| one.owner.as_deref() == owner);
        let those: Vec<&[u8]> = those.map(|one| one.address.as_slice()).collect();
        one(submission, run, owner.unwrap_or(&submission.sender.address), &those);
    }
}

/// Has those who were refused reported to the sender: the server comes to the same answer, and writes to him.
pub(super) fn report(submission: &Submission<'_>, run: &mut Run<'_>) {
    let failed = submission.recipients.failed.iter();
    let those: Vec<&[u8]> = failed.map(|one| one.address.as_slice()).collect();
    one(submission, run, &submission.sender.address, &those);
}

fn one(submission: &Submission<'_>, run: &mut Run<'_>, sender: &[u8], those: &[&[u8]]) {
    let envelope = request::Submission {
        login: sys::user::current_name().into(),
        sender: bare(sender).into(),
        recipients: those.iter().map(|address| bare(address).into()).collect(),
        notify: submission.flags.notify,
    };
    let mut text = Vec::new();
    for warning in &run.warnings {
        text.extend_from_slice(&[b"X-Authentication-Warning: ", &**warning, b"\r\n"].concat());
    }
    text.extend_from_slice(&submission.head.text);
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&submission.message.body);
    let trouble = match take(&envelope, &text, &place(run)) {
        Taken::Yes(_) => return,
        Taken::NotNow(why) | Taken::Never(why) => why,
    };
    run.machine.system_error(trouble.as_bytes(), None);
    run.machine.set_status(exit::TEMPFAIL);
}

fn place(run: &Run<'_>) -> Place {
    let spool = policy_cf::answers::spool_of(&run.machine.config.options);
    let spool = Path::new(OsStr::from_bytes(&spool)).to_path_buf();
    // Who may not make it has no business in it: leaving the message then says so.
    drop(std::fs::create_dir_all(spool.join(daemon::drop::FOLDER_NAME)));
    Place { run: PathBuf::from(RUN), spool }
}
