//! From an address to a mailer, host and user; from a name to what another host is told (manual, section 5.1.4).

use crate::machine::{Machine, ScanTable, enhanced_length, exit, strip_quotes};
use crate::token::{NAME_OCTETS_MAX, Token, meta};
use alloc::vec::Vec;

/// The numbers of the rule sets that have a fixed meaning.
pub mod set {
    /// Resolves to a mailer.
    pub const PARSE: usize = 0;
    /// Every sender.
    pub const SENDER: usize = 1;
    /// Every recipient.
    pub const RECIPIENT: usize = 2;
    /// Before all others.
    pub const CANONIFY: usize = 3;
    /// After all others.
    pub const FINAL: usize = 4;
    /// Local names without an alias.
    pub const LOCAL: usize = 5;
}

/// The longest address inside: rules may write it longer than it came.
const INTERNAL_OCTETS_MAX: usize = 1024;

/// Whose address it is and where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    /// A sender; else a recipient.
    pub is_sender: bool,
    /// In a header; else in the envelope.
    pub is_header: bool,
}

/// More about how a name is written for a mailer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner<'a> {
    /// The address alone, without comments and brackets.
    pub(crate) is_plain: bool,
    /// What stands around the address, in place of what is cut out of the name.
    pub(crate) template: Option<Vec<u8>>,
    /// What is appended to a name without a domain.
    pub(crate) domain: Option<&'a [u8]>,
}

/// Where an address goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The mailer's number; `None`: refused.
    pub mailer: Option<usize>,
    /// The mailer's name, `*error*` where refused.
    pub mailer_name: Vec<u8>,
    /// The host, if there is one.
    pub host: Option<Vec<u8>>,
    /// The user.
    pub user: Vec<u8>,
    /// A map could not answer: try again later.
    pub is_deferred: bool,
    /// The refusal, with its code.
    pub refusal: Option<Vec<u8>>,
}

const KEYWORDS: [(&[u8], u8); 8] = [
    (b"usage", exit::USAGE),
    (b"nouser", exit::NOUSER),
    (b"nohost", exit::NOHOST),
    (b"unavailable", exit::UNAVAILABLE),
    (b"software", exit::SOFTWARE),
    (b"tempfail", exit::TEMPFAIL),
    (b"protocol", exit::PROTOCOL),
    (b"config", exit::CONFIG),
];

impl Machine<'_> {
    /// Whether an address holds what none may: octets that are metasymbols inside, or too many.
    pub fn is_invalid_address(&mut self, address: &[u8], is_recipient: bool) -> bool {
        let mut mended = address.to_vec();
        let mut found = false;
        for (index, octet) in mended.iter_mut().enumerate() {
            if *octet & 0xe0 == 0x80 {
                *octet = b'?';
                found = true;
            }
            if index >= NAME_OCTETS_MAX.saturating_sub(1) {
                mended.truncate(index);
                if !self.about.is_empty() {
                    self.about.clone_from(&mended);
                }
                let text =
                    [b"553 5.1.0 Address \"", mended.as_slice(), b"\" too long (255 bytes max)"];
                self.user_error(&text.concat());
                return true;
            }
        }
        if found {
            self.set_status(exit::USAGE);
            let code: &[u8] = if is_recipient { b"501 5.1.3 " } else { b"501 5.1.7 " };
            let text = [code, b"8-bit character in mailbox address \"", &mended, b"\""].concat();
            self.user_error(&text);
        }
        found
    }

    /// Whether the first address of a list is one, and where the scan of the list stopped.
    pub fn check_address(&mut self, text: &[u8], delimiter: u8) -> (bool, usize) {
        let base = self.config.arena.len();
        self.about = text.to_vec();
        let mut tokens = Vec::new();
        let (found, stopped) = self.scan(text, ScanTable::Outside, delimiter, &mut tokens);
        self.config.arena.cut(base);
        let address = text.get(..stopped).unwrap_or(text).trim_ascii_end();
        (found && self.parse(address, Side::default()).is_some(), stopped)
    }

    /// Resolves an address (sendmail's parseaddr): rule sets 3 and 0, then what the mailer asks for.
    /// `None`: there is no address in it.
    pub fn parse(&mut self, address: &[u8], side: Side) -> Option<Resolved> {
        self.about = address.to_vec();
        let mut tokens = Vec::new();
        let (found, _) = self.scan(address, ScanTable::Outside, 0, &mut tokens);
        if !found || self.is_invalid_address(address, !side.is_sender) {
            return None;
        }
        let mut deferred = self.rewrite(&mut tokens, set::CANONIFY) == exit::TEMPFAIL;
        deferred |= self.rewrite(&mut tokens, set::PARSE) == exit::TEMPFAIL;
        let mut resolved = self.build(&tokens, side);
        if resolved.mailer.is_some() && !side.is_sender {
            self.queue_group(&resolved.user);
        }
        if resolved.mailer.is_some() && deferred {
            resolved.is_deferred = true;
            self.say(&[b"Transient parse error -- message queued for future delivery"]);
        }
        Some(resolved)
    }

    /// Rule set queuegroup chooses where a recipient waits.
    pub(crate) fn queue_group(&mut self, user: &[u8]) {
        let found = self.config.sets.find(b"queuegroup").number;
        let Some(set) = found.filter(|set| !self.config.sets.of(*set).is_empty()) else { return };
        let mut tokens = Vec::new();
        let (found, _) = self.scan(user, ScanTable::Outside, 0, &mut tokens);
        if found {
            self.rewrite(&mut tokens, set);
        }
    }

    /// Reads what rule set 0 resolved to (sendmail's buildaddr).
    pub(crate) fn build(&mut self, tokens: &[Token], side: Side) -> Resolved {
        let refused = Resolved { mailer_name: b"*error*".to_vec(), ..Resolved::default() };
        let [first, rest @ ..] = tokens else { return self.no_mailer(refused) };
        if first.lead != meta::MAILER {
            return self.no_mailer(refused);
        }
        let Some((name, rest)) = rest.split_first() else { return self.no_mailer(refused) };
        let name = self.config.arena.text(*name).to_vec();
        let user_at = rest.iter().position(|token| token.lead == meta::USER);
        let Some(user_at) = user_at else {
            self.system_error(b"554 5.3.5 buildaddr: no user", None);
            return refused;
        };
        let (before, user) = rest.split_at_checked(user_at).unwrap_or((rest, &[]));
        let user = user.get(1..).unwrap_or_default();
        let host = match before.split_first() {
            Some((mark, host)) if mark.lead == meta::HOST && !host.is_empty() => {
                Some(self.join(host, 0, true, INTERNAL_OCTETS_MAX))
            }
            _ => None,
        };
        let user_text = self.join(user, b' ', false, INTERNAL_OCTETS_MAX);
        if name.eq_ignore_ascii_case(b"error") {
            return self.refuse(&user_text, host, refused);
        }
        let Some(number) = self.config.mailer(&name) else {
            let text = [b"554 5.3.5 buildaddr: unknown mailer ", name.as_slice()].concat();
            self.system_error(&text, None);
            return refused;
        };
        let flags = self.config.mailers.get(number).map(|mailer| mailer.flags).unwrap_or_default();
        if host.is_none() && !flags.has(b'l') {
            self.system_error(b"554 5.3.5 buildaddr: no host", None);
            return refused;
        }
        self.local_forms(number, host, user, &user_text, side)
    }

    fn no_mailer(&mut self, refused: Resolved) -> Resolved {
        self.system_error(b"554 5.3.5 buildaddr: no mailer in parsed address", None);
        refused
    }

    /// Programs, files and lists go to their own mailers; then the mailer's rule sets.
    #[expect(
        clippy::too_many_lines,
        reason = "one step a line, in an order that must be seen whole"
    )]
    fn local_forms(
        &mut self,
        number: usize,
        host: Option<Vec<u8>>,
        user: &[Token],
        user_text: &[u8],
        side: Side,
    ) -> Resolved {
        let mut number = number;
        let mut user = user.to_vec();
        let flags = |machine: &Self, number: usize| {
            machine.config.mailers.get(number).map(|mailer| mailer.flags).unwrap_or_default()
        };
        let mut text = user_text;
        if flags(self, number).has(b'@') && text.first() == Some(&b'@') {
            text = text.get(1..).unwrap_or_default();
            if !user.is_empty() {
                user.remove(0);
            }
        }
        let bare = text.strip_prefix(b"\"").unwrap_or(text);
        match bare.first() {
            Some(b'|') if flags(self, number).has(b'|') => {
                number = self.config.mailer(b"prog").unwrap_or(number);
            }
            Some(b'/') if flags(self, number).has(b'/') => {
                number = self.config.mailer(b"*file*").unwrap_or(number);
            }
            Some(b':') if flags(self, number).has(b':') => {
                let plain = strip_quotes(text);
                if plain.get(..9).is_some_and(|head| head.eq_ignore_ascii_case(b":include:")) {
                    let number = self.config.mailer(b"*include*").unwrap_or(number);
                    return Resolved {
                        mailer: Some(number),
                        mailer_name: b"*include*".to_vec(),
                        host,
                        user: plain.get(9..).unwrap_or_default().to_vec(),
                        ..Resolved::default()
                    };
                }
            }
            _ => {}
        }
        self.config.macros.set(b'h', host.clone());
        if self.config.level >= 10 || side == Side::default() {
            self.rewrite(&mut user, set::RECIPIENT);
            let own = self.config.mailers.get(number).map_or(0, |mailer| mailer.recipient_sets.0);
            if let Ok(own) = usize::try_from(own)
                && own > 0
            {
                self.rewrite(&mut user, own);
            }
        }
        self.rewrite(&mut user, set::FINAL);
        let mut name = self.join(&user, 0, true, INTERNAL_OCTETS_MAX);
        let mailer = self.config.mailers.get(number);
        let flags = mailer.map(|mailer| mailer.flags).unwrap_or_default();
        let mailer_name = mailer.map(|mailer| mailer.name.clone()).unwrap_or_default();
        let mut host = host;
        if let Some(host) = &mut host
            && !flags.has(b'h')
        {
            host.make_ascii_lowercase();
        }
        if !flags.has(b'u') {
            name.make_ascii_lowercase();
        }
        name.truncate(NAME_OCTETS_MAX.saturating_sub(1));
        if let Some(said) = self.mend_user(&mut name) {
            let refused = Resolved { mailer_name: b"*error*".to_vec(), ..Resolved::default() };
            return Resolved { host, user: name, refusal: Some(said), ..refused };
        }
        Resolved { mailer: Some(number), mailer_name, host, user: name, ..Resolved::default() }
    }

    /// Control characters in a resolved user are named and replaced; with metasymbols in it, it is none: what was said.
    fn mend_user(&mut self, name: &mut [u8]) -> Option<Vec<u8>> {
        let mut found = false;
        let mut is_inner = false;
        for octet in &mut *name {
            if *octet & 0xe0 == 0x80 {
                *octet = b'?';
                is_inner = true;
            } else if octet.is_ascii_control() {
                *octet = b'?';
                found = true;
            }
        }
        if !found && !is_inner {
            return None;
        }
        let kind: &[u8] = if is_inner { b"8-bit" } else { b"non-printable" };
        let before = b"501 5.1.3 Syntax error in mailbox address \"".as_slice();
        let text = [before, name, b"\" (", kind, b" character)"].concat();
        self.user_error(&text);
        is_inner.then_some(text)
    }

    /// `$#error $@ status $: text`: says it.
    fn refuse(&mut self, text: &[u8], host: Option<Vec<u8>>, refused: Resolved) -> Resolved {
        let status = match &host {
            None => exit::UNAVAILABLE,
            Some(code) if code.contains(&b'.') => status_of_code(code),
            Some(word) => KEYWORDS
                .iter()
                .find(|(keyword, _)| keyword.eq_ignore_ascii_case(word))
                .map_or(exit::UNAVAILABLE, |(_, status)| *status),
        };
        self.set_status(status);
        let plain = strip_quotes(text);
        let has_code = plain.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
            && plain.first().is_some_and(|first| (b'2'..=b'5').contains(first))
            && plain.get(3) == Some(&b' ');
        let reply = if has_code { plain } else { [b"553 5.3.0 ", plain.as_slice()].concat() };
        self.user_error(&reply);
        if let Some(code) = host.as_deref().filter(|code| enhanced_length(code) == Some(code.len()))
        {
            self.say_status(code);
        }
        Resolved { host, user: text.to_vec(), refusal: Some(reply), ..refused }
    }

    /// A name as a mailer's host is told it (sendmail's remotename). The status is 75 if a map could not answer.
    pub fn remote_name(&mut self, name: &[u8], mailer: usize, side: Side) -> (Vec<u8>, u8) {
        self.remote_name_as(name, mailer, side, Manner::default())
    }

    /// The same with more said about how.
    pub(crate) fn remote_name_as(
        &mut self,
        name: &[u8],
        mailer: usize,
        side: Side,
        manner: Manner<'_>,
    ) -> (Vec<u8>, u8) {
        let Some(found) = self.config.mailers.get(mailer) else { return (name.to_vec(), 0) };
        let flags = found.flags;
        let sets = if side.is_sender { found.sender_sets } else { found.recipient_sets };
        let own = if side.is_header { sets.1 } else { sets.0 };
        let Ok(own) = usize::try_from(own) else { return (name.to_vec(), 0) };
        let template = match manner.template {
            _ if manner.is_plain || flags.has(b'c') => alloc::vec![meta::MACRO, b'g'],
            Some(template) => template,
            None => crate::crack::crack(name, &self.config.options),
        };
        let mut tokens = Vec::new();
        let (found, _) = self.scan(name, ScanTable::Outside, 0, &mut tokens);
        if !found {
            return (name.to_vec(), 0);
        }
        let mut status = exit::OK;
        let general = if side.is_sender { set::SENDER } else { set::RECIPIENT };
        for (number, is_own) in
            [(set::CANONIFY, false), (general, false), (own, true), (set::FINAL, false)]
        {
            if is_own && own == 0 {
                continue;
            }
            if self.rewrite(&mut tokens, number) == exit::TEMPFAIL {
                status = exit::TEMPFAIL;
            }
            if number == set::CANONIFY
                && let Some(domain) = manner.domain
            {
                self.append_domain(domain, &mut tokens);
            }
        }
        let text = self.join(&tokens, 0, false, INTERNAL_OCTETS_MAX);
        let before = self.config.macros.value(b'g').map(<[u8]>::to_vec);
        self.config.macros.set(b'g', Some(text));
        let text = self.expand(&template);
        self.config.macros.set(b'g', before);
        (text, status)
    }

    /// Appends the sender's domain to a name that has none (`F=C`).
    fn append_domain(&mut self, domain: &[u8], tokens: &mut Vec<Token>) {
        if tokens.iter().any(|token| self.config.arena.text(*token) == b"@") {
            return;
        }
        let (found, _) = self.scan(domain, ScanTable::Outside, 0, tokens);
        if found {
            self.rewrite(tokens, set::CANONIFY);
        }
    }

    /// A sender as the message has it, whoever carries it: rule sets 3, 1 and 4.
    pub(crate) fn sender_name(&mut self, name: &[u8]) -> Vec<u8> {
        let mut tokens = Vec::new();
        let (found, _) = self.scan(name, ScanTable::Outside, 0, &mut tokens);
        if !found {
            return name.to_vec();
        }
        for number in [set::CANONIFY, set::SENDER, set::FINAL] {
            let _a_map_that_cannot_say_changes_nothing = self.rewrite(&mut tokens, number);
        }
        self.join(&tokens, 0, false, INTERNAL_OCTETS_MAX)
    }
}

/// The exit status that an enhanced status code stands for (RFC 3463 to sysexits.h).
fn status_of_code(code: &[u8]) -> u8 {
    if enhanced_length(code).is_none() {
        return exit::CONFIG;
    }
    match code {
        [b'2', ..] => exit::OK,
        [b'4', ..] => exit::TEMPFAIL,
        _ => match code.get(2..).unwrap_or_default() {
            b"1.0" | b"2.3" => exit::DATAERR,
            b"1.1" | b"1.6" => exit::NOUSER,
            b"1.2" | b"1.8" => exit::NOHOST,
            b"1.3" | b"1.7" => exit::USAGE,
            b"1.5" | b"4.6" => exit::CONFIG,
            b"4.3" | b"4.5" => exit::TEMPFAIL,
            b"4.0" | b"4.1" | b"4.2" => 74,
            [b'3', b'.', ..] => exit::OSERR,
            [b'5', b'.', ..] => exit::PROTOCOL,
            [b'7', b'.', ..] => exit::DATAERR,
            _ => exit::UNAVAILABLE,
        },
    }
}
