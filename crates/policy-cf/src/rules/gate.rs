//! Which rules of a set are worth a try, told from a few numbers.
//!
//! A set has up to a hundred rules and an address matches one or two of them. Each rule has a gate of half a cache line: the
//! hashes of its literals, what it must begin and end with, and how many tokens it can take. A rule set runs along its
//! gates, which lie side by side in memory, and touches a rule only where the gate lets the address in. A gate may let
//! in what doesn't match; it never keeps out what does.

use super::pattern::Op;
use crate::token::Token;

/// What an address must have for a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    /// Bits of the hashes of all its words.
    mask: u64,
    /// The hash of the token it must begin with, and of that it must end with.
    first: Bound,
    last: Bound,
    /// The fewest tokens that it can match, and how many more.
    shortest: u16,
    span: u16,
}

/// A token that must stand there: its hash, and all bits; or any token, or none: no bits.
#[derive(Debug, Clone, Copy)]
struct Bound {
    hash: u32,
    counts: u32,
}

impl Bound {
    const fn of(op: Option<&Op>) -> Self {
        match op {
            Some(Op::Literal(token)) => Self { hash: token.hash, counts: u32::MAX },
            _ => Self { hash: 0, counts: 0 },
        }
    }

    /// 0 if this token may stand there.
    const fn wrong(self, hash: u32) -> u32 {
        (self.hash ^ hash) & self.counts
    }
}

/// The same of an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    mask: u64,
    first: u32,
    last: u32,
    count: u16,
    /// One of them is a metasymbol: `$(`, `$>` and others that were left to be carried out.
    pub(super) has_metas: bool,
}

impl Sum {
    /// Sums tokens up.
    pub(super) fn of(tokens: &[Token]) -> Self {
        Self {
            mask: tokens.iter().fold(0, |mask, token| mask | bits_of(token.hash)),
            first: tokens.first().map_or(0, |token| token.hash),
            last: tokens.last().map_or(0, |token| token.hash),
            count: u16::try_from(tokens.len()).unwrap_or(u16::MAX),
            has_metas: tokens.iter().fold(false, |any, token| any | !token.lead.is_ascii()),
        }
    }
}

impl Gate {
    /// The gate of a pattern.
    pub(super) fn of(ops: &[Op]) -> Self {
        let (mut mask, mut shortest, mut stretches) = (0, 0_u16, false);
        for op in ops {
            match op {
                Op::Literal(token) => mask |= bits_of(token.hash),
                Op::Some | Op::Class(_) | Op::Any | Op::Deferred(_) => stretches = true,
                Op::One | Op::NotClass(_) | Op::Nothing => {}
            }
            let takes_one = match op {
                Op::Literal(_) | Op::One | Op::NotClass(_) | Op::Some | Op::Class(_) => 1,
                Op::Any | Op::Deferred(_) | Op::Nothing => 0,
            };
            shortest = shortest.saturating_add(takes_one);
        }
        let span = if stretches { u16::MAX.saturating_sub(shortest) } else { 0 };
        let (first, last) = (Bound::of(ops.first()), Bound::of(ops.last()));
        Self { mask, first, last, shortest, span }
    }

    /// Whether the rule could match: what is wrong is summed up and asked for once, so that a row of gates is passed
    /// with one branch each.
    pub(super) fn lets(&self, sum: &Sum) -> bool {
        let ends = self.first.wrong(sum.first) | self.last.wrong(sum.last);
        let is_length_wrong = sum.count.wrapping_sub(self.shortest) > self.span;
        (self.mask & !sum.mask) | u64::from(ends) | u64::from(is_length_wrong) == 0
    }
}

/// Two bits a word: an address of twenty words then still keeps most foreign ones out.
const fn bits_of(hash: u32) -> u64 {
    1_u64.wrapping_shl(hash >> 26) | 1_u64.wrapping_shl(hash >> 20)
}
