//! Right sides: what a rule that matched puts in, and where it goes on.

use crate::token::{Arena, Token, meta};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A compiled right side.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    /// Without the `$:` or `$@` in front.
    pub(super) parts: Box<[Part]>,
    /// What [`Part::Tokens`] refers to.
    tokens: Box<[Token]>,
    pub(super) next: Next,
    pub(super) marks: Marks,
}

/// One part of a right side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// `$1` … `$9`: the digit.
    Position(u8),
    /// `$&x`: the macro.
    Deferred(u8),
    /// Words, and marks that are carried out once the tokens stand: from, up to, not including.
    Tokens(u16, u16),
}

/// Where a rule set goes on after a rule that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The rule is tried again.
    Same,
    /// `$:`
    Following,
    /// `$@`
    Return,
}

/// Which marks stand among tokens, so that no pass is made in vain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    /// `$[` or `$(`.
    pub(super) look_ups: bool,
    /// `$>`.
    pub(super) calls: bool,
}

impl Marks {
    pub(super) fn see(&mut self, tokens: &[Token]) {
        for token in tokens {
            self.look_ups |= matches!(token.lead, meta::HOST_BEGIN | meta::LOOKUP_BEGIN);
            self.calls |= token.lead == meta::CALL;
        }
    }
}

impl Effect {
    /// Compiles the tokens of a right side.
    pub(super) fn compile(right: &[Token], arena: &Arena) -> Self {
        let (next, rest) = match right.split_first() {
            Some((first, rest)) if first.lead == meta::USER => (Next::Following, rest),
            Some((first, rest)) if first.lead == meta::HOST => (Next::Return, rest),
            _ => (Next::Same, right),
        };
        let (mut parts, mut tokens) = (Vec::new(), Vec::new());
        for token in rest {
            let second = arena.text(*token).get(1).copied().unwrap_or(0);
            match token.lead {
                meta::POSITION => parts.push(Part::Position(second)),
                meta::DEFERRED => parts.push(Part::Deferred(second)),
                _ => {
                    let first = u16::try_from(tokens.len()).unwrap_or(u16::MAX);
                    tokens.push(*token);
                    let behind = first.saturating_add(1);
                    match parts.last_mut() {
                        Some(Part::Tokens(_, end)) => *end = behind,
                        _ => parts.push(Part::Tokens(first, behind)),
                    }
                }
            }
        }
        let mut marks = Marks::default();
        marks.see(right);
        Self { parts: parts.into(), tokens: tokens.into(), next, marks }
    }

    /// The tokens of a [`Part::Tokens`].
    pub(super) fn tokens(&self, first: u16, end: u16) -> &[Token] {
        self.tokens.get(usize::from(first)..usize::from(end)).unwrap_or_default()
    }
}
