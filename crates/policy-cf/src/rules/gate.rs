//! Which rules of a set are worth a try, told from a few numbers.
//!
//! A set has up to a hundred rules and an address matches one or two of them. Each rule has a gate of three words: the
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
    /// The hash of the token it must begin with, and of that it must end with; 0: any, or none.
    first: u32,
    last: u32,
    /// The fewest and the most tokens that it can match.
    shortest: u16,
    longest: u16,
}

/// The same of an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    mask: u64,
    first: u32,
    last: u32,
    count: u16,
}

impl Sum {
    /// Sums tokens up.
    pub(super) fn of(tokens: &[Token]) -> Self {
        Self {
            mask: tokens.iter().fold(0, |mask, token| mask | bits_of(token.hash)),
            first: tokens.first().map_or(0, |token| token.hash),
            last: tokens.last().map_or(0, |token| token.hash),
            count: u16::try_from(tokens.len()).unwrap_or(u16::MAX),
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
        let word = |op: Option<&Op>| match op {
            Some(Op::Literal(token)) => token.hash,
            _ => 0,
        };
        let longest = if stretches { u16::MAX } else { shortest };
        Self { mask, first: word(ops.first()), last: word(ops.last()), shortest, longest }
    }

    /// Whether the rule could match.
    pub(super) const fn lets(&self, sum: &Sum) -> bool {
        self.mask & !sum.mask == 0
            && self.shortest <= sum.count
            && sum.count <= self.longest
            && (self.first == 0 || self.first == sum.first)
            && (self.last == 0 || self.last == sum.last)
    }
}

/// Two bits a word: an address of twenty words then still keeps most foreign ones out.
const fn bits_of(hash: u32) -> u64 {
    1_u64.wrapping_shl(hash >> 26) | 1_u64.wrapping_shl(hash >> 20)
}
