//! Who sends: the address of `-f` or of the caller, through the rule sets (sendmail's setsender).

use crate::configured::Run;
use policy_cf::machine::ScanTable;
use policy_cf::resolve::{Resolved, Side, set};

/// The sender of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sender {
    /// As it was given; empty: `<>`.
    pub(crate) address: Vec<u8>,
    /// The local name, where it is one of this machine's addresses.
    pub(crate) user: Option<Vec<u8>>,
    /// The name of its mailer; empty: it has none.
    pub(crate) mailer: Vec<u8>,
    /// Its mailer delivers on this machine (F=l).
    pub(crate) is_local: bool,
    /// In whose name it is: the user that the address names, or the caller.
    pub(crate) ids: Option<(u32, u32)>,
    /// The user's home.
    pub(crate) home: Option<Vec<u8>>,
}

impl Sender {
    /// As the log has it.
    pub(crate) fn shown(&self) -> &[u8] {
        if self.address.is_empty() { b"<>" } else { &self.address }
    }

    /// Takes what was given with `-f`, or the caller; what is wrong with it is said, and the caller stands in for it.
    pub(crate) fn set(run: &mut Run<'_>) -> Self {
        let caller = sys::user::current_name();
        let given = run.asked.sender.clone().unwrap_or_else(|| caller.clone());
        let given = if given.trim_ascii() == b"<>" { Vec::new() } else { given };
        let mut resolved = parse(run, &given);
        let mut address = given;
        if resolved.is_none() && address != caller {
            address = caller;
            // The fault of the stand-in is not the caller's.
            resolved = parse_unheard(run, &address);
        }
        rewrite(run, &address);
        run.machine.about.clear();
        Self::known(run, address, resolved)
    }

    /// The owner of a list, who is the sender to its members. What is wrong with him is not the caller's business.
    pub(super) fn of_owner(run: &mut Run<'_>, owner: &[u8]) -> Self {
        let resolved = parse_unheard(run, owner);
        Self::known(run, owner.to_vec(), resolved)
    }

    fn known(run: &mut Run<'_>, address: Vec<u8>, resolved: Option<Resolved>) -> Self {
        let mut sender = Self {
            address,
            user: None,
            mailer: Vec::new(),
            is_local: false,
            ids: None,
            home: None,
        };
        let Some(resolved) = resolved else { return sender };
        let mailer = resolved.mailer.and_then(|number| run.machine.config.mailers.get(number));
        let Some(flags) = mailer.map(|mailer| mailer.flags) else { return sender };
        sender.is_local = flags.has(b'l');
        sender.mailer.clone_from(&resolved.mailer_name);
        if sender.address.is_empty() {
            return sender;
        }
        if !flags.has(b'w') {
            sender.ids = Some((sys::user::real_uid(), sys::user::real_gid()));
            return sender;
        }
        // `user+detail` is the user, if nobody has the whole for a name.
        let whole = run.machine.world.user(&resolved.user);
        let found = match (whole, resolved.user.split(|&octet| octet == b'+').next()) {
            (Ok(None), Some(user)) => run.machine.world.user(user),
            (whole, _) => whole,
        };
        if let Ok(Some(user)) = found {
            sender.ids = Some((user.uid, user.gid));
            sender.home = Some(user.home);
        }
        sender.user = Some(resolved.user);
        sender
    }
}

/// [`parse`], and nothing is said.
fn parse_unheard(run: &mut Run<'_>, address: &[u8]) -> Option<Resolved> {
    let said = run.machine.replies.len();
    let journal = run.machine.journal.take();
    let shown = run.machine.out.len();
    let status = run.machine.status;
    let resolved = parse(run, address);
    run.machine.replies.truncate(said);
    run.machine.out.truncate(shown);
    run.machine.journal = journal;
    run.machine.status = status;
    resolved
}

/// Rule sets 3 and 0, as for a sender; `None`: it is no address for one.
fn parse(run: &mut Run<'_>, address: &[u8]) -> Option<Resolved> {
    let shown = if address.is_empty() { b"<>".as_slice() } else { address };
    let side = Side { is_sender: true, is_header: false };
    let resolved = run.machine.parse(shown, side)?;
    let mailer = resolved.mailer?;
    let name = run.machine.config.mailers.get(mailer).map(|mailer| mailer.name.as_slice());
    if matches!(name, Some(b"prog" | b"*file*" | b"*include*")) {
        run.machine.user_error(b"553 5.1.7 Invalid sender address");
        return None;
    }
    Some(resolved)
}

/// The form that it has in the envelope: rule sets 3, 1 and 4. What they say is said once a sender.
fn rewrite(run: &mut Run<'_>, address: &[u8]) {
    let machine = &mut run.machine;
    let base = machine.config.arena.len();
    let mut tokens = Vec::new();
    let (is_some, _) = machine.scan(address, ScanTable::Outside, 0, &mut tokens);
    if is_some {
        for number in [set::CANONIFY, set::SENDER, set::FINAL] {
            machine.rewrite(&mut tokens, number);
        }
    }
    machine.config.arena.cut(base);
}
