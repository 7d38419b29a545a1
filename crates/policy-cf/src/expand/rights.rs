//! What the configuration says of expansion, and who counts as a real user.

use super::{Expander, Ids, Outside};
use crate::machine::Machine;
use crate::world::{Unavailable, UserEntry};
use alloc::vec::Vec;

/// MaxAliasRecursion, where it is not set.
const DEPTH_DEFAULT: u32 = 10;
/// The user and group of those who are nobody, where DefaultUser is not set.
const NOBODY: u32 = 1;
/// In shells(5): any shell is a real one.
const ANY_SHELL: &[u8] = b"/SENDMAIL/ANY/SHELL/";

/// What the owner of the server puts up with (option DontBlameSendmail).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blame {
    flags: Vec<Vec<u8>>,
}

impl Blame {
    /// Reads the option's value.
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        let flags = value
            .split(|octet| matches!(octet, b',' | b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .map(<[u8]>::to_ascii_lowercase)
            .collect();
        Self { flags }
    }

    /// Whether a flag is set; `name` in lower case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name.as_bytes())
    }
}

/// The options that matter here.
pub(super) struct Settings {
    pub(super) depth_max: u32,
    pub(super) has_old_lists: bool,
    pub(super) forward_path: Vec<u8>,
    pub(super) forward_entries_max: usize,
    pub(super) default_ids: Ids,
    pub(super) default_user: Vec<u8>,
    pub(super) blame: Blame,
    /// UserDatabaseSpec, until something was said about it.
    pub(super) user_database: Vec<u8>,
}

impl Settings {
    pub(super) fn of(machine: &mut Machine<'_>) -> Self {
        let options = &machine.config.options;
        let text = |name: &str| options.values.get(name).map(Vec::as_slice);
        let number = |name: &str| {
            let text = str::from_utf8(text(name)?.trim_ascii()).ok()?;
            text.parse::<u32>().ok()
        };
        let depth = number("MaxAliasRecursion").filter(|depth| *depth > 0);
        let entries = number("MaxForwardEntries").and_then(|count| usize::try_from(count).ok());
        let default = text("DefaultUser").unwrap_or_default().to_vec();
        let mut settings = Self {
            depth_max: depth.unwrap_or(DEPTH_DEFAULT),
            has_old_lists: options.truth("OldStyleHeaders"),
            forward_path: text("ForwardPath").unwrap_or(b"\x81z/.forward").to_vec(),
            forward_entries_max: entries.unwrap_or(0),
            default_ids: Ids { uid: NOBODY, gid: NOBODY },
            default_user: b"daemon".to_vec(),
            user_database: text("UserDatabaseSpec").unwrap_or_default().to_vec(),
            blame: Blame::read(text("DontBlameSendmail").unwrap_or_default()),
        };
        settings.read_default_user(machine, &default);
        settings
    }

    fn read_default_user(&mut self, machine: &mut Machine<'_>, value: &[u8]) {
        let mut parts = value.splitn(2, |octet| matches!(octet, b':' | b'.' | b'/'));
        let name = parts.next().unwrap_or_default().trim_ascii();
        let group = parts.next().map(<[u8]>::trim_ascii);
        let number = |text: &[u8]| str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        if let Some(uid) = number(name) {
            self.default_ids.uid = uid;
        } else if let Ok(Some(user)) = machine.world.user(name) {
            self.default_ids = Ids { uid: user.uid, gid: user.gid };
            self.default_user = user.name;
        }
        if let Some(group) = group {
            let gid = number(group).or_else(|| machine.world.group(group));
            self.default_ids.gid = gid.unwrap_or(self.default_ids.gid);
        }
    }
}

impl Expander<'_, '_> {
    /// Whether a user may run programs: its shell is a real one, or the user is trusted.
    pub(super) fn is_real_shell(&mut self, name: &[u8], shell: &[u8]) -> bool {
        if shell.is_empty()
            || self.machine.config.level <= 1
            || self.machine.config.classes.contains(b't', name)
        {
            return true;
        }
        if self.shells.is_none() {
            self.shells = Some(self.outside.shells());
        }
        let shells = self.shells.as_deref().unwrap_or_default();
        shells.iter().any(|known| known == shell || known == ANY_SHELL)
    }

    /// User databases (option UserDatabaseSpec) are files, or hosts behind `@`; what is neither is told once.
    pub(super) fn look_at_user_databases(&mut self) {
        let list = core::mem::take(&mut self.settings.user_database);
        let words = list.split(|octet| matches!(octet, b',' | b' ' | b'\t'));
        for word in
            words.filter(|word| !word.is_empty() && !matches!(word.first(), Some(b'/' | b'@')))
        {
            self.machine.system_error(&[b"Unknown UDB spec ", word].concat(), None);
        }
    }

    /// A user, as [`find_user`] finds it. `true`: not by the name as given.
    pub(super) fn find_user(
        &mut self,
        name: &[u8],
    ) -> Result<Option<(UserEntry, bool)>, Unavailable> {
        let found = find_user(self.machine, self.outside, name)?;
        let Some((user, is_near)) = found else { return Ok(None) };
        let is_by_full_name = !user.name.eq_ignore_ascii_case(name);
        if is_by_full_name {
            self.progress(&[b"sending to ", &full_name(&user), b" <", &user.name, b">"]);
        }
        Ok(Some((user, is_near)))
    }
}

/// A user by login name, else in lower case, else by full name (option MatchGECOS). `true`: not by the name as given.
///
/// # Errors
/// The user database can't be asked now.
pub(crate) fn find_user(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    name: &[u8],
) -> Result<Option<(UserEntry, bool)>, Unavailable> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(user) = machine.world.user(name)? {
        return Ok(Some((user, false)));
    }
    let lower = name.to_ascii_lowercase();
    if lower != name
        && let Some(user) = machine.world.user(&lower)?
    {
        return Ok(Some((user, true)));
    }
    if !machine.config.options.truth("MatchGECOS") {
        return Ok(None);
    }
    let blank = machine.blank() & 0x7f;
    let is_blank = |octet: &u8| *octet == blank || *octet == b'_';
    let spaced: Vec<u8> =
        lower.iter().map(|octet| if is_blank(octet) { b' ' } else { *octet }).collect();
    let user = outside.find_user(&mut |user| {
        if user.name.eq_ignore_ascii_case(&spaced) {
            return true;
        }
        let full = full_name(user);
        full.contains(&b' ') && full.eq_ignore_ascii_case(&spaced)
    });
    Ok(user.map(|user| (user, true)))
}

/// The full name in passwd(5): up to a comma, `&` is the login name with a capital.
pub(crate) fn full_name(user: &UserEntry) -> Vec<u8> {
    let mut out = Vec::new();
    let field = user.gecos.strip_prefix(b"*").unwrap_or(&user.gecos);
    for octet in field.iter().take_while(|octet| !matches!(**octet, b',' | b';' | b'%')) {
        if *octet == b'&' {
            let at = out.len();
            out.extend_from_slice(&user.name);
            if let Some(first) = out.get_mut(at) {
                first.make_ascii_uppercase();
            }
        } else {
            out.push(*octet);
        }
    }
    out
}
