//! Right sides: what a rule that matched puts in, and where it goes on.

use crate::token::{Arena, Token, meta};
use alloc::boxed::Box;

/// A compiled right side.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    /// Without the `$:` or `$@` in front.
    pub(super) parts: Box<[Part]>,
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
    /// A word, or a mark that is carried out once the tokens stand.
    Token(Token),
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
        let part = |token: &Token| {
            let second = arena.text(*token).get(1).copied().unwrap_or(0);
            match token.lead {
                meta::POSITION => Part::Position(second),
                meta::DEFERRED => Part::Deferred(second),
                _ => Part::Token(*token),
            }
        };
        let mut marks = Marks::default();
        marks.see(right);
        Self { parts: rest.iter().map(part).collect(), next, marks }
    }
}
