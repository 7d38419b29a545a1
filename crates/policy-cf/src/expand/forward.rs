//! Lists in files: `:include:` and `.forward`.

use super::recipient::SHOWN_OCTETS_MAX;
use super::{Expander, Ids, List, ListFault, ListFaultKind, ListWanted, State, Writers};
use crate::machine::{exit, shorten};
use crate::read::chars::trim_end;

impl Expander<'_, '_> {
    /// `:include:/path`.
    pub(super) fn include_list(&mut self, index: usize, depth: u32) {
        self.set_state(index, State::Included);
        let Some(member) = self.member(index) else { return };
        if member.parent.is_none() {
            self.refuse(index, &[b"550 5.7.1 Cannot mail directly to :include:s"]);
            return;
        }
        let path = member.user.to_vec();
        self.progress(&[b"including file ", &path]);
        let Err(fault) = self.read_file(index, &path, false, depth) else { return };
        if fault.kind == ListFaultKind::Transient {
            self.error(&[b"451 4.2.4 Cannot open ", &*path, b": ", &fault.text].concat());
            self.machine.set_status(exit::TEMPFAIL);
            self.set_state(index, State::Deferred);
        } else {
            self.refuse(index, &[b"550 5.2.4 Cannot open ", &path, b": ", &fault.text]);
        }
    }

    /// The first file of ForwardPath that is there.
    pub(super) fn forward(&mut self, index: usize, depth: u32) {
        if self.mailer_name(index) != b"local" {
            return;
        }
        let Some(member) = self.member(index) else { return };
        let (user, host) = (member.user.to_vec(), member.host.as_deref().map(<[u8]>::to_vec));
        let Some(home) = member.home.as_deref().map(<[u8]>::to_vec) else {
            self.machine.system_error(b"554 5.3.0 forward: no home", None);
            return;
        };
        let paths = self.settings.forward_path.clone();
        for path in paths.split(|octet| *octet == b':') {
            let macros = &mut self.machine.config.macros;
            macros.set(b'z', Some(home.clone()));
            macros.set(b'u', Some(user.clone()));
            macros.set(b'h', host.clone());
            let path = self.machine.expand(path);
            if path.is_empty() {
                continue;
            }
            let Err(fault) = self.read_file(index, &path, true, depth) else { return };
            match fault.kind {
                ListFaultKind::Transient => {
                    self.set_state(index, State::Deferred);
                    self.progress(&[&path, b": ", &fault.text, b": message queued"]);
                    return;
                }
                ListFaultKind::Missing => {}
                ListFaultKind::UnsafeFolder
                    if self.settings.blame.has("dontwarnforwardfileinunsafedirpath") => {}
                ListFaultKind::UnsafeFolder | ListFaultKind::Permanent => {
                    self.progress(&[b"forward: ", &path, b": ", &fault.text]);
                }
            }
        }
    }

    fn read_file(
        &mut self,
        index: usize,
        path: &[u8],
        is_forward: bool,
        depth: u32,
    ) -> Result<(), ListFault> {
        let default = self.settings.default_ids;
        let member = self.member(index);
        let controller = member.and_then(|member| self.out.controller(member));
        let (ids, user) = match controller.and_then(|member| Some((member.ids?, member))) {
            Some((ids, member)) if ids != (Ids { uid: default.uid, gid: 0 }) => {
                (ids, member.login.as_deref().unwrap_or(&member.user).to_vec())
            }
            _ => (default, self.settings.default_user.clone()),
        };
        let list = self.outside.read_list(&ListWanted {
            path,
            is_forward,
            uid: ids.uid,
            gid: ids.gid,
            user: &user,
            blame: &self.settings.blame,
        })?;
        self.judge(index, &list, is_forward);
        self.read_lines(index, path, &list.octets, is_forward, depth);
        Ok(())
    }

    /// Who is answerable for what is in the file, and whether programs and files in it are obeyed.
    fn judge(&mut self, index: usize, list: &List, is_forward: bool) {
        let blame = &self.settings.blame;
        let kind = if is_forward { "forwardfile" } else { "includefile" };
        let is_unsafe = match list.writers {
            Writers::Owner => false,
            Writers::Group => !blame.has(&alloc::format!("groupwritable{kind}safe")),
            Writers::World => !blame.has(&alloc::format!("worldwritable{kind}safe")),
        };
        self.change(index, |member| member.marks.is_unsafe |= is_unsafe);
        let is_a_users = self.member(index).is_some_and(|member| {
            self.out.line(member).skip(1).any(|above| above.ids.is_some() && above.login.is_some())
        });
        if is_forward || is_a_users {
            // What a user's `.forward` leads to stays his.
            return;
        }
        if !list.is_owner_sure {
            self.change(index, |member| member.marks.is_unsafe = true);
            return;
        }
        let owner = self.outside.user_by_id(list.uid);
        let has_shell =
            owner.as_ref().is_some_and(|owner| self.is_real_shell(&owner.name, &owner.shell));
        self.change(index, |member| {
            member.ids = Some(Ids { uid: list.uid, gid: list.gid });
            member.login = owner.map(|owner| owner.name.into());
            member.marks.has_no_shell |= !has_shell;
        });
    }

    /// Every line is a list.
    fn read_lines(
        &mut self,
        index: usize,
        path: &[u8],
        octets: &[u8],
        is_forward: bool,
        depth: u32,
    ) {
        let place = self.machine.place.take();
        let about = core::mem::take(&mut self.machine.about);
        self.change(index, |member| member.marks.is_self = false);
        let verb: &[u8] = if is_forward { b"forwarding to " } else { b"sending to " };
        let mut count: usize = 0;
        let limit = self.settings.forward_entries_max;
        for (number, line) in (1_u32..).zip(octets.split(|octet| *octet == b'\n')) {
            let line = without_comment(line);
            if line.is_empty() {
                continue;
            }
            if self.is_over() {
                break;
            }
            self.machine.place = Some((path.to_vec(), number));
            self.machine.about.clear();
            self.progress(&[verb, line]);
            if is_forward {
                self.led(index, b"forward ", &shorten(line, SHOWN_OCTETS_MAX));
            }
            let more = self.send_to_list(line, Some(index), depth.saturating_add(1));
            count = count.saturating_add(more);
            if is_forward && limit > 0 && count >= limit {
                let text = alloc::format!("Attempt to forward to more than {limit} addresses (in ");
                let text = [text.as_bytes(), path, b")!"].concat();
                self.out.errors = self.out.errors.saturating_add(1);
                self.machine.system_error(&text, None);
                break;
            }
        }
        let is_self = self.member(index).is_some_and(|member| member.marks.is_self);
        if count > 0 && !is_self && self.state(index) != State::Bad {
            let state = if is_forward { State::Forwarded } else { State::Included };
            self.set_state(index, state);
        }
        self.machine.place = place;
        self.machine.about = about;
    }
}

/// A line without its comment: `#` at its start, or `#@#` behind a blank.
fn without_comment(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = line.iter().position(|octet| *octet == 0).unwrap_or(line.len());
    let line = line.get(..end).unwrap_or(line);
    if line.first() == Some(&b'#') {
        return b"";
    }
    let is_blank = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_whitespace);
    let at: Option<usize> = line.windows(3).enumerate().skip(1).find_map(|(at, window)| {
        let behind = line.get(at.saturating_add(3));
        let is_comment = window == b"#@#"
            && is_blank(line.get(at.saturating_sub(1)))
            && (behind.is_none() || is_blank(behind));
        is_comment.then_some(at)
    });
    match at {
        Some(at) => trim_end(line.get(..at).unwrap_or(line)),
        None => line,
    }
}
