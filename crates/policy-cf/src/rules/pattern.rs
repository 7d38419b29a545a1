//! Left sides: a small instruction set, and sendmail's matcher over it.
//!
//! Wildcards bind as few tokens as they can and are extended from the last one backwards; a class takes the shortest
//! phrase that is in it and then longer ones. Which rules are tried at all: see [`super::gate`].

use super::gate::Gate;
use super::{STEPS_MAX, WILDCARDS_MAX};
use crate::class::Classes;
use crate::macros::Macros;
use crate::token::{Arena, NAME_OCTETS_MAX, Tables, Token, fold_hash, fold_hash_step, meta};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// This word, letters of either case.
    Literal(Token),
    /// `$*`
    Any,
    /// `$+`: at least one; extended like `$*`.
    Some,
    /// `$-`
    One,
    /// `$=x`
    Class(u8),
    /// `$~x`
    NotClass(u8),
    /// `$@`: nothing.
    Nothing,
    /// `$&x`
    Deferred(u8),
}

/// A compiled left side.
#[derive(Debug, Clone)]
pub struct Pattern {
    ops: Box<[Op]>,
}

/// What a wildcard is bound to: tokens from `first` up to, not including, `end`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bind {
    op: usize,
    /// The first token.
    pub first: usize,
    /// Behind the last token.
    pub end: usize,
}

/// The wildcards of one match.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Binds {
    list: [Bind; WILDCARDS_MAX],
    count: usize,
}

impl Binds {
    /// The n-th wildcard, from 0.
    pub(crate) fn get(&self, index: usize) -> Option<Bind> {
        if index < self.count { self.list.get(index).copied() } else { None }
    }

    fn push(&mut self, bind: Bind) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = bind;
        }
        self.count = self.count.saturating_add(1);
    }

    fn pop(&mut self) -> Option<Bind> {
        self.count = self.count.checked_sub(1)?;
        self.list.get(self.count).copied()
    }
}

/// What the matcher looks at beside pattern and tokens.
pub(crate) struct Ground<'a> {
    /// Texts of tokens.
    pub arena: &'a Arena,
    /// Words of classes.
    pub classes: &'a Classes,
    /// Values of macros.
    pub macros: &'a Macros,
    /// What octets are words.
    pub tables: &'a Tables,
    /// Put between words of a phrase.
    pub separator: u8,
    /// Steps taken so far.
    pub steps: &'a mut u64,
    /// Room for the text of a phrase.
    pub phrase: &'a mut Vec<u8>,
}

impl Ground<'_> {
    fn step(&mut self, count: usize) {
        *self.steps = self.steps.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

impl Pattern {
    /// Compiles the tokens of a left side.
    #[must_use]
    pub fn compile(left: &[Token], arena: &Arena) -> Self {
        let op = |token: &Token| {
            let id = arena.text(*token).get(1).copied().unwrap_or(0);
            match token.lead {
                meta::ANY => Op::Any,
                meta::SOME => Op::Some,
                meta::ONE => Op::One,
                meta::CLASS => Op::Class(id),
                meta::NOT_CLASS => Op::NotClass(id),
                meta::HOST => Op::Nothing,
                meta::DEFERRED => Op::Deferred(id),
                _ => Op::Literal(*token),
            }
        };
        Self { ops: left.iter().map(op).collect() }
    }

    /// What tells at once that an address can't match.
    pub(super) fn gate(&self) -> Gate {
        Gate::of(&self.ops)
    }

    /// The macros of `$&x` in it.
    pub fn deferred(&self) -> impl Iterator<Item = u8> + '_ {
        self.ops.iter().filter_map(|op| if let Op::Deferred(id) = op { Some(*id) } else { None })
    }

    /// Matches the whole of `tokens`; what the wildcards took is then in `binds`.
    pub(crate) fn matches(
        &self,
        tokens: &[Token],
        binds: &mut Binds,
        ground: &mut Ground<'_>,
    ) -> Option<()> {
        binds.count = 0;
        let (mut op_at, mut at) = (0_usize, 0_usize);
        loop {
            ground.step(1);
            if *ground.steps > STEPS_MAX {
                return None;
            }
            let op = self.ops.get(op_at).copied();
            let token = tokens.get(at).copied();
            let Some(op) = op else {
                if token.is_none() {
                    return Some(());
                }
                (op_at, at) = self.back_up(tokens, binds, ground)?;
                continue;
            };
            let next = match (op, token) {
                (Op::Any, _) => {
                    self.stretch(Bind { op: op_at, first: at, end: at }, tokens, binds, ground)
                }
                (Op::Nothing, _) => Some(at),
                (_, None) => None,
                (Op::Literal(word), Some(token)) => {
                    ground.arena.are_equal(word, token).then(|| at.saturating_add(1))
                }
                (Op::NotClass(class), Some(token))
                    if ground.classes.contains_hashed(
                        class,
                        ground.arena.text(token),
                        token.hash,
                    ) =>
                {
                    None
                }
                (Op::Some, Some(_)) => {
                    let end = at.saturating_add(1);
                    self.stretch(Bind { op: op_at, first: at, end }, tokens, binds, ground)
                }
                (Op::One | Op::NotClass(_), Some(_)) => {
                    let end = at.saturating_add(1);
                    binds.push(Bind { op: op_at, first: at, end });
                    Some(end)
                }
                (Op::Class(class), Some(_)) => {
                    let end = phrase_end(tokens, at, at, class, ground);
                    if let Some(end) = end {
                        binds.push(Bind { op: op_at, first: at, end });
                    }
                    end
                }
                (Op::Deferred(id), Some(_)) => deferred(tokens, at, id, ground),
            };
            if let Some(next) = next {
                at = next;
                op_at = op_at.saturating_add(1);
            } else {
                (op_at, at) = self.back_up(tokens, binds, ground)?;
            }
        }
    }

    /// Binds a `$*` or `$+` to at least what `bind` says, and as much more as the next op makes sure: up to the next place
    /// where its word stands; to the end, where no op follows. Gives where to go on; `None`: no binding leads anywhere.
    fn stretch(
        &self,
        mut bind: Bind,
        tokens: &[Token],
        binds: &mut Binds,
        ground: &mut Ground<'_>,
    ) -> Option<usize> {
        match self.ops.get(bind.op.saturating_add(1)) {
            None => bind.end = tokens.len(),
            Some(Op::Literal(word)) => {
                let ahead = tokens.get(bind.end..).unwrap_or_default();
                let skipped = ahead.iter().take_while(|token| token.hash != word.hash).count();
                ground.step(skipped);
                bind.end = bind.end.saturating_add(skipped);
                if bind.end >= tokens.len() {
                    return None;
                }
            }
            Some(Op::Class(class)) => {
                let ahead = tokens.get(bind.end..).unwrap_or_default();
                let skipped =
                    ahead.iter().take_while(|token| !may_begin(*class, **token, ground)).count();
                ground.step(skipped);
                bind.end = bind.end.saturating_add(skipped);
                if bind.end >= tokens.len() {
                    return None;
                }
            }
            Some(_) => {}
        }
        binds.push(bind);
        Some(bind.end)
    }

    /// Extends the last wildcard that can be; gives where to go on.
    fn back_up(
        &self,
        tokens: &[Token],
        binds: &mut Binds,
        ground: &mut Ground<'_>,
    ) -> Option<(usize, usize)> {
        loop {
            let mut bind = binds.pop()?;
            if bind.end >= tokens.len() {
                continue;
            }
            let end = match self.ops.get(bind.op) {
                Some(Op::Any | Op::Some) => {
                    bind.end = bind.end.saturating_add(1);
                    self.stretch(bind, tokens, binds, ground)
                }
                Some(Op::Class(class)) => {
                    let end = phrase_end(tokens, bind.first, bind.end, *class, ground);
                    if let Some(end) = end {
                        binds.push(Bind { end, ..bind });
                    }
                    end
                }
                _ => None,
            };
            if let Some(end) = end {
                return Some((bind.op.saturating_add(1), end));
            }
        }
    }
}

/// The shortest phrase from `first` that ends behind `at` or later and is in the class: where it ends.
fn phrase_end(
    tokens: &[Token],
    first: usize,
    at: usize,
    class: u8,
    ground: &mut Ground<'_>,
) -> Option<usize> {
    let longest = ground.classes.longest(class);
    if longest == 0 || !tokens.get(first).is_some_and(|token| may_begin(class, *token, ground)) {
        return None;
    }
    let mut text = PhraseText::begin(ground.phrase);
    let mut end = first;
    while let Some(token) = tokens.get(end) {
        *ground.steps = ground.steps.saturating_add(1);
        let word = ground.arena.text(*token);
        end = end.saturating_add(1);
        let is_one = end == first.saturating_add(1);
        // One token: its hash is known, no text need be built.
        if is_one
            && end > at
            && word.len() <= longest
            && ground.classes.contains_hashed(class, word, token.hash)
            && !word.contains(&meta::QUOTE)
        {
            return Some(end);
        }
        if is_one && tokens.get(end).is_none() {
            return None;
        }
        if !text.add(word, ground.tables, ground.separator) || text.octets.len() > longest {
            return None;
        }
        if end > at && !is_one && ground.classes.contains_hashed(class, text.octets, text.hash) {
            return Some(end);
        }
    }
    None
}

/// Whether a phrase of the class can begin with this token.
fn may_begin(class: u8, token: Token, ground: &Ground<'_>) -> bool {
    token.lead == meta::QUOTE || ground.classes.has_first(class, token.lead)
}

/// The words of a phrase put together as [`crate::token::join`] does, with their hash.
struct PhraseText<'a> {
    octets: &'a mut Vec<u8>,
    hash: u32,
    after_word: bool,
}

impl<'a> PhraseText<'a> {
    fn begin(octets: &'a mut Vec<u8>) -> Self {
        octets.clear();
        Self { octets, hash: fold_hash(b""), after_word: false }
    }

    fn add(&mut self, word: &[u8], tables: &Tables, separator: u8) -> bool {
        let is_word = tables.is_word(word.first().copied().unwrap_or(0));
        if self.after_word && is_word {
            self.push(separator);
        }
        self.after_word = is_word;
        let mut octets = word.iter();
        while let Some(octet) = octets.next() {
            let plain = if *octet == meta::QUOTE { octets.next() } else { Some(octet) };
            self.push(plain.copied().unwrap_or(meta::QUOTE));
        }
        self.octets.len() < NAME_OCTETS_MAX
    }

    fn push(&mut self, octet: u8) {
        self.hash = fold_hash_step(self.hash, octet);
        self.octets.push(octet);
    }
}

/// Tokens that spell the value of a macro from `at` on: where they end.
fn deferred(tokens: &[Token], at: usize, id: u8, ground: &Ground<'_>) -> Option<usize> {
    let Some(mut value) = ground.macros.value(id) else { return Some(at) };
    let mut end = at;
    while !value.is_empty() {
        let word = ground.arena.text(*tokens.get(end)?);
        let (head, rest) = value.split_at_checked(word.len())?;
        if !head.eq_ignore_ascii_case(word) {
            return None;
        }
        value = rest;
        end = end.saturating_add(1);
    }
    Some(end)
}
