//! The machine: a configuration, the outside, and what is said and shown while rules run.

use crate::model::Config;
use crate::token::{Scan, ScanComplaint, Token, join, show};
use crate::world::{Answer, World};
pub use wire::escape::shorten;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// sysexits.h, as far as rule sets know it.
pub mod exit {
    /// All well.
    pub const OK: u8 = 0;
    /// Wrong use.
    pub const USAGE: u8 = 64;
    /// Bad address.
    pub const DATAERR: u8 = 65;
    /// No such user.
    pub const NOUSER: u8 = 67;
    /// No such host.
    pub const NOHOST: u8 = 68;
    /// Not to be had.
    pub const UNAVAILABLE: u8 = 69;
    /// An inner error.
    pub const SOFTWARE: u8 = 70;
    /// The system does not give what is needed.
    pub const OSERR: u8 = 71;
    /// Not now.
    pub const TEMPFAIL: u8 = 75;
    /// The other side breaks the protocol.
    pub const PROTOCOL: u8 = 76;
    /// Wrong configuration.
    pub const CONFIG: u8 = 78;
}

/// How much is shown (`-d21.12`): a level by category.
#[derive(Debug, Clone)]
pub struct Debug {
    levels: [u8; 100],
}

impl Default for Debug {
    fn default() -> Self {
        Self { levels: [0; 100] }
    }
}

impl Debug {
    /// Whether a category is shown at a level.
    #[must_use]
    pub fn is(&self, category: usize, level: u8) -> bool {
        self.levels.get(category).is_some_and(|shown| *shown >= level)
    }

    /// Reads `21.12`, `0-99.1`, several with commas.
    pub fn set(&mut self, text: &[u8]) {
        let text = if text.is_empty() { b"0-99.1".as_slice() } else { text };
        for part in text.split(|octet| *octet == b',') {
            let (range, level) = match part.iter().position(|octet| *octet == b'.') {
                Some(dot) => {
                    let (range, level) = part.split_at_checked(dot).unwrap_or((part, b""));
                    (range, number(level.get(1..).unwrap_or_default()))
                }
                None => (part, 1),
            };
            let mut ends = range.split(|octet| *octet == b'-').map(number);
            let first = ends.next().unwrap_or(0);
            let last = ends.next().unwrap_or(first);
            for category in first..=last.min(99) {
                if let Some(place) = self.levels.get_mut(category) {
                    *place = u8::try_from(level).unwrap_or(u8::MAX);
                }
            }
        }
    }
}

fn number(text: &[u8]) -> usize {
    text.iter().take_while(|octet| octet.is_ascii_digit()).fold(0, |value: usize, digit| {
        value.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
    })
}

/// The most that is remembered of what happened, in events and in octets: a rule set that loops must not fill the memory.
pub const EVENTS_MAX: usize = 100_000;
/// See [`EVENTS_MAX`].
pub const EVENT_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// What an event costs beside its octets, and what a token does.
const EVENT_OVERHEAD: usize = 64;

/// One thing that happened, for those who explain (`ironpost explain`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A rule set began, with these tokens.
    Entered(usize, Vec<Vec<u8>>),
    /// A rule matched: rule set, index of the rule, and the tokens that it matched. What it asks and calls follows.
    Matched(usize, usize, Vec<Vec<u8>>),
    /// The rule is done: rule set, index of the rule, and the tokens after it.
    Fired(usize, usize, Vec<Vec<u8>>),
    /// A map was asked: name, key, and what it said.
    Asked(Vec<u8>, Vec<u8>, Said),
    /// A rule set ended, with these tokens.
    Left(usize, Vec<Vec<u8>>),
    /// Something was said.
    Said(Vec<u8>),
}

/// What a map said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The value.
    Found(Vec<u8>),
    /// It has no such key.
    NotFound,
    /// It could not say now.
    TemporaryFailure,
}

impl Said {
    /// What a look-up came to: its value, and its status (sysexits.h).
    pub(crate) fn of(found: Option<&[u8]>, status: u8) -> Self {
        match found {
            Some(value) => Self::Found(value.to_vec()),
            None if status == exit::TEMPFAIL => Self::TemporaryFailure,
            None => Self::NotFound,
        }
    }
}

impl Event {
    fn octets(&self) -> usize {
        let sum = |tokens: &[Vec<u8>]| {
            tokens.iter().fold(0_usize, |sum, token| {
                sum.saturating_add(token.len()).saturating_add(EVENT_OVERHEAD)
            })
        };
        let own = match self {
            Self::Entered(_, tokens)
            | Self::Left(_, tokens)
            | Self::Matched(_, _, tokens)
            | Self::Fired(_, _, tokens) => sum(tokens),
            Self::Asked(map, key, said) => {
                let value = if let Said::Found(value) = said { value.len() } else { 0 };
                map.len().saturating_add(key.len()).saturating_add(value)
            }
            Self::Said(text) => text.len(),
        };
        own.saturating_add(EVENT_OVERHEAD)
    }
}

/// The most that a journal keeps; what is said beyond is shown and not kept.
const JOURNAL_MAX: usize = 10_000;

/// One thing that was said about an address or about us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// The reply code in front, if there was one (`550`).
    pub code: Option<Vec<u8>>,
    /// The enhanced status code, if there was one (`5.1.1`).
    pub enhanced: Option<Vec<u8>>,
    /// Place, address and text, as shown.
    pub text: Vec<u8>,
    /// Something is wrong with us, not with the address.
    pub is_system: bool,
    /// The system said why: it may be otherwise later.
    pub is_transient: bool,
    /// The address it was about; empty: none.
    pub about: Vec<u8>,
    /// The text alone.
    pub words: Vec<u8>,
}

/// A step of an expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// In the words of `-v` (`info... aliased to alice, bob`).
    Shown(Vec<u8>),
    /// A name that others stand for (`alias info => alice, bob`).
    Led(Vec<u8>),
}

/// Steps that are kept at most.
const STEPS_MAX: usize = 500;

/// A configuration at work.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact or a choice by itself")]
pub struct Machine<'w> {
    /// What was read. Macros and classes change as rules run.
    pub config: Config,
    /// The outside.
    pub world: &'w mut dyn World,
    /// What has been shown and not yet taken.
    pub out: Vec<u8>,
    /// Address test mode: every rule set shows what goes in and what comes out.
    pub is_test: bool,
    /// How much is shown beside.
    pub debug: Debug,
    /// The address that messages are about.
    pub about: Vec<u8>,
    /// Where in the configuration messages are about: file and line.
    pub place: Option<(Vec<u8>, u32)>,
    /// The exit status that the run will end with.
    pub status: u8,
    /// What was said by `$#error` or by the scanner since it was last taken: reply text with code.
    pub replies: Vec<Vec<u8>>,
    /// What was said, in order, while somebody wants it (the system's log, a reply).
    pub journal: Option<Vec<Spoken>>,
    /// How an expansion went on, while somebody wants it (the system's log, VERB).
    pub way: Option<Vec<Step>>,
    /// What is wrong is kept in the journal and not shown (option ErrorMode).
    pub holds_errors: bool,
    /// What maps say beside their answers is not shown.
    pub hides_notes: bool,
    /// The map that could not answer last, and the key (`host map: lookup (KEY): deferred`); empty: none.
    pub deferral: Vec<u8>,
    /// Events, while somebody wants them.
    pub events: Option<Vec<Event>>,
    /// Octets of the events since they were last taken.
    event_octets: usize,
    /// Reading came to something that ends the run at once.
    pub is_over: bool,
    /// Deferred delivery: maps with `-D` are not asked.
    pub is_deferring: bool,
    /// Host names that were looked up, in address test mode.
    pub(crate) hosts: BTreeMap<Vec<u8>, Answer>,
    pub(crate) spare: Vec<Vec<Token>>,
    pub(crate) steps: u64,
    /// The wildcards of the rule that matched last.
    pub(crate) binds: crate::rules::Binds,
    /// Room for the text of phrases.
    pub(crate) phrase: Vec<u8>,
    /// Room for the key of a look-up.
    pub(crate) key: Vec<u8>,
}

impl<'w> Machine<'w> {
    /// A machine for this configuration.
    pub fn new(config: Config, world: &'w mut dyn World) -> Self {
        Self {
            config,
            world,
            out: Vec::new(),
            is_test: false,
            debug: Debug::default(),
            about: Vec::new(),
            place: None,
            status: exit::OK,
            replies: Vec::new(),
            journal: None,
            way: None,
            holds_errors: false,
            hides_notes: false,
            deferral: Vec::new(),
            events: None,
            event_octets: 0,
            is_over: false,
            is_deferring: false,
            hosts: BTreeMap::new(),
            spare: Vec::new(),
            steps: 0,
            binds: crate::rules::Binds::default(),
            phrase: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Steps of matching that the last rule set from outside took.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes what happened since the last time; from now on events are kept.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.event_octets = 0;
        self.events.replace(Vec::new()).unwrap_or_default()
    }

    /// Keeps an event, while somebody wants them and there is room.
    pub(crate) fn note(&mut self, event: impl FnOnce(&Self) -> Event) {
        let room = self.event_octets < EVENT_OCTETS_MAX;
        if !room || self.events.as_ref().is_none_or(|events| events.len() >= EVENTS_MAX) {
            return;
        }
        let event = event(self);
        self.event_octets = self.event_octets.saturating_add(event.octets());
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }

    /// Shows text and a line end.
    pub fn say(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.push(b'\n');
    }

    /// Shows text with metasymbols readable.
    pub fn show(&mut self, text: &[u8]) {
        let macros = &self.config.macros;
        show(text, &|id, out| macros.show_name(id, out), &mut self.out);
    }

    /// Shows tokens, each behind a blank.
    pub fn show_tokens(&mut self, tokens: &[Token]) {
        let macros = &self.config.macros;
        for token in tokens {
            self.out.push(b' ');
            let text = self.config.arena.text(*token);
            show(text, &|id, out| macros.show_name(id, out), &mut self.out);
        }
        self.out.push(b'\n');
    }

    /// Takes over an exit status unless a worse one stands.
    pub fn set_status(&mut self, status: u8) {
        if self.status == exit::OK || self.status == exit::TEMPFAIL {
            self.status = status;
        }
    }

    /// Something is wrong with an address (sendmail's usrerr). `reply` begins with a reply code.
    pub fn user_error(&mut self, reply: &[u8]) {
        self.message(reply, false);
    }

    /// Something is wrong with us (sendmail's syserr). A reply code in front is optional; `trouble` is the system's word.
    pub fn system_error(&mut self, text: &[u8], trouble: Option<&[u8]>) {
        let mut text = text.to_vec();
        if let Some(trouble) = trouble {
            text.extend_from_slice(b": ");
            text.extend_from_slice(trouble);
        }
        // What is wrong with us is not about the address.
        let about = core::mem::take(&mut self.about);
        self.message(&text, true);
        self.about = about;
        if let Some(last) = self.journal.as_mut().and_then(|journal| journal.last_mut()) {
            last.is_transient = trouble.is_some();
        }
        self.set_status(if trouble.is_some() { exit::OSERR } else { exit::SOFTWARE });
    }

    /// The enhanced status code of what was said last, unless its words had one.
    pub(crate) fn say_status(&mut self, code: &[u8]) {
        let last = self.journal.as_mut().and_then(|journal| journal.last_mut());
        if let Some(last) = last.filter(|last| last.enhanced.is_none()) {
            last.enhanced = Some(code.to_vec());
        }
    }

    /// Shows what a map said meanwhile: of the look-up, or (behind `!`) of the address.
    pub(crate) fn pass_on(&mut self, said: &[u8]) {
        for line in said.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            if let Some(line) = line.strip_prefix(b"!") {
                self.message(line, false);
                continue;
            }
            self.note(|_| Event::Said(line.to_vec()));
            if !self.hides_notes {
                self.say(&[line]);
            }
        }
    }

    /// Shows how work goes on (`aliased to …`), with place and address, if that is wanted.
    pub(crate) fn progress(&mut self, text: &[u8]) {
        let line = self.line(text, true);
        if self.way.is_some() {
            self.step(Step::Shown(line));
        } else {
            self.say(&[&line]);
        }
    }

    /// Keeps a step, if somebody wants steps.
    pub(crate) fn step(&mut self, step: Step) {
        if let Some(steps) = &mut self.way
            && steps.len() < STEPS_MAX
        {
            steps.push(step);
        }
    }

    fn message(&mut self, reply: &[u8], is_system: bool) {
        let body = without_codes(reply);
        let names_address = reply.get(..3).is_none_or(|code| {
            ![b"501", b"551", b"251"].contains(&&code.try_into().unwrap_or([0; 3]))
        });
        let line = self.line(body, names_address);
        self.note(|_| Event::Said(line.clone()));
        if let Some(journal) = &mut self.journal
            && journal.len() < JOURNAL_MAX
        {
            let about = self.about.clone();
            journal.push(Spoken { about, ..Spoken::new(reply, line.clone(), is_system) });
        }
        self.replies.push(reply.to_vec());
        if !self.holds_errors {
            self.out.extend_from_slice(&line);
            self.out.push(b'\n');
        }
    }

    /// A line with place and address in front, seven bits.
    fn line(&self, body: &[u8], names_address: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(body.len().saturating_add(32));
        if let Some((file, number)) = &self.place {
            line.extend_from_slice(file);
            line.extend_from_slice(b": line ");
            line.extend_from_slice(alloc::format!("{number}").as_bytes());
            line.extend_from_slice(b": ");
        }
        if !self.about.is_empty() && names_address {
            line.extend_from_slice(&shorten(&self.about, 203));
            line.extend_from_slice(b"... ");
        }
        line.extend_from_slice(body);
        for octet in &mut line {
            *octet &= 0x7f;
        }
        line
    }

    /// Expands macros in text; says so if they refer to each other too deeply.
    pub fn expand(&mut self, text: &[u8]) -> Vec<u8> {
        match self.config.macros.expand(text) {
            Ok(text) => text,
            Err(deep) => {
                self.system_error(b"expand: recursion too deep (10 max)", None);
                deep.0
            }
        }
    }

    /// Cuts an address into tokens behind those in `tokens`. `None` if there is none; else where the scan stopped.
    pub fn scan(
        &mut self,
        address: &[u8],
        how: ScanTable,
        delimiter: u8,
        tokens: &mut Vec<Token>,
    ) -> (bool, usize) {
        let table = match how {
            ScanTable::Outside => &self.config.tables.outside,
            ScanTable::NoComments => &self.config.tables.no_comments,
        };
        let scan = Scan { table, delimiter, lenient: false };
        let mut complaints: Vec<ScanComplaint> = Vec::new();
        let scanned = scan.run(address, &mut self.config.arena, tokens, &mut |complaint| {
            complaints.push(complaint);
        });
        if !complaints.is_empty() {
            let end = address.iter().position(|octet| *octet == 0).unwrap_or(address.len());
            let about = address.get(..end).unwrap_or(address).to_vec();
            let before = core::mem::replace(&mut self.about, about);
            for complaint in complaints {
                self.user_error(complaint.reply());
            }
            self.about = before;
        }
        (scanned.is_some, scanned.stopped)
    }

    /// Puts tokens together; says so if they do not fit.
    pub fn join(
        &mut self,
        tokens: &[Token],
        separator: u8,
        outside: bool,
        limit: usize,
    ) -> Vec<u8> {
        let mut text = Vec::new();
        self.join_into(&mut text, tokens, separator, outside, limit);
        text
    }

    /// The same, behind what is in `text`.
    pub(crate) fn join_into(
        &mut self,
        text: &mut Vec<u8>,
        tokens: &[Token],
        separator: u8,
        outside: bool,
        limit: usize,
    ) {
        let separator = if separator == 0 { self.blank() } else { separator };
        let config = &self.config;
        if !join(&config.arena, &config.tables, tokens, separator, outside, limit, text) {
            self.user_error(b"553 5.0.0 cataddr: string too long");
        }
    }

    /// What stands for a blank between words (option BlankSub).
    #[must_use]
    pub fn blank(&self) -> u8 {
        self.config.options.blank_substitute
    }

    /// The texts of tokens, for events.
    #[must_use]
    pub fn texts(&self, tokens: &[Token]) -> Vec<Vec<u8>> {
        tokens.iter().map(|token| self.config.arena.text(*token).to_vec()).collect()
    }
}

impl Spoken {
    fn new(reply: &[u8], text: Vec<u8>, is_system: bool) -> Self {
        let body = without_codes(reply);
        let codes = reply.get(..reply.len().saturating_sub(body.len())).unwrap_or_default();
        let mut codes = codes.split(|octet| *octet == b' ').filter(|code| !code.is_empty());
        let code = codes.next().map(<[u8]>::to_vec);
        let enhanced = codes.next().map(<[u8]>::to_vec);
        let words = body.to_vec();
        Self { code, enhanced, text, is_system, is_transient: false, about: Vec::new(), words }
    }

    /// As a reply: codes and text; `code` and `enhanced` stand in where there are none.
    #[must_use]
    pub fn reply(&self, code: &[u8], enhanced: &[u8]) -> Vec<u8> {
        let code = self.code.as_deref().unwrap_or(code);
        let enhanced = self.enhanced.as_deref().unwrap_or(enhanced);
        [code, b" ", enhanced, b" ", self.text.as_slice()].concat()
    }
}

/// Which table an address is scanned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanTable {
    /// Parentheses begin comments.
    Outside,
    /// Parentheses are tokens.
    NoComments,
}

/// The text behind a reply code and an enhanced status code.
#[must_use]
pub fn without_codes(reply: &[u8]) -> &[u8] {
    let Some((code, rest)) = reply.split_at_checked(4) else { return reply };
    let [first, second, third, b' ' | b'-'] = code else { return reply };
    if ![first, second, third].iter().all(|octet| octet.is_ascii_digit()) {
        return reply;
    }
    match enhanced_length(rest) {
        Some(length) if rest.get(length) == Some(&b' ') => {
            rest.get(length.saturating_add(1)..).unwrap_or_default()
        }
        _ => rest,
    }
}

/// The length of an enhanced status code (`5.7.1`) at the start of `text` (RFC 3463).
#[must_use]
pub fn enhanced_length(text: &[u8]) -> Option<usize> {
    let [b'2' | b'4' | b'5', b'.', rest @ ..] = text else { return None };
    let second = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if !(1..=3).contains(&second) || rest.get(second) != Some(&b'.') {
        return None;
    }
    let rest = rest.get(second.saturating_add(1)..)?;
    let third = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if !(1..=3).contains(&third) {
        return None;
    }
    Some(second.saturating_add(third).saturating_add(3))
}

/// Takes quotation marks and the backslashes before octets out of text (sendmail's stripquotes).
#[must_use]
pub fn strip_quotes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => {}
            b'\\' => match octets.next() {
                Some(next) => out.push(*next),
                None => break,
            },
            _ => out.push(*octet),
        }
    }
    out
}
