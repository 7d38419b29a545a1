//! R lines: both sides into tokens, checked and compiled.

use crate::machine::Machine;
use crate::rules::{LOOKUP_ARGUMENTS_MAX, Rule, WILDCARDS_MAX, compile};
use crate::token::{Scan, Token, meta};
use alloc::vec::Vec;

/// Reads an R line behind the `R`; `None`: it has no right side at all.
pub(super) fn read(
    machine: &mut Machine<'_>,
    rest: &[u8],
    line: u32,
    complaints: &mut Vec<Vec<u8>>,
) -> Option<Rule> {
    let Some(tab) = rest.iter().position(|octet| *octet == b'\t') else {
        complaints.push([b"invalid rewrite line \"R", rest, b"\" (tab expected)"].concat());
        return None;
    };
    let (left, right) = rest.split_at_checked(tab).unwrap_or((rest, b""));
    let skip = right.iter().take_while(|octet| **octet == b'\t').count();
    let right = right.get(skip..).unwrap_or_default();
    let right = right.split(|octet| *octet == b'\t').next().unwrap_or_default();
    let mut left = side(machine, left);
    let wildcards = check_left(&left, complaints);
    if wildcards > WILDCARDS_MAX {
        complaints.push(b"R line: too many wildcards".to_vec());
        left = Vec::new();
    }
    let right = side(machine, right);
    if right.is_empty() {
        complaints.push(b"R line: null RHS".to_vec());
    }
    check_right(machine, &right, wildcards, complaints);
    Some(compile(left, right, line, &machine.config.arena))
}

/// What must not stand on the left, and how many wildcards do.
fn check_left(left: &[Token], complaints: &mut Vec<Vec<u8>>) -> usize {
    let mut wildcards = 0_usize;
    if left.is_empty() {
        complaints.push(b"R line: null LHS".to_vec());
    }
    for token in left {
        let botch: &[u8] = match token.lead {
            meta::ANY | meta::SOME | meta::ONE | meta::CLASS | meta::NOT_CLASS => {
                wildcards = wildcards.saturating_add(1);
                continue;
            }
            meta::POSITION => b"$1-$9",
            meta::USER => b"$:",
            meta::CALL => b"$>",
            meta::IF => b"$?",
            meta::FI => b"$.",
            meta::HOST_BEGIN => b"$[",
            meta::HOST_END => b"$]",
            meta::LOOKUP_BEGIN => b"$(",
            meta::LOOKUP_END => b"$)",
            _ => continue,
        };
        complaints.push([b"Inappropriate use of ", botch, b" on LHS"].concat());
    }
    wildcards
}
/// One side of a rule, macros put in, as tokens.
fn side(machine: &mut Machine<'_>, text: &[u8]) -> Vec<Token> {
    let text = machine.expand(text);
    let mut tokens = Vec::new();
    let tables = &machine.config.tables;
    let table = if machine.config.level >= 9 { &tables.no_comments } else { &tables.inside };
    let scan = Scan { table, delimiter: b'\t', lenient: true };
    scan.run(&text, &mut machine.config.arena, &mut tokens, &mut |_| {});
    tokens
}

fn check_right(
    machine: &Machine<'_>,
    right: &[Token],
    wildcards: usize,
    complaints: &mut Vec<Vec<u8>>,
) {
    let mut in_map = false;
    let mut end = 0;
    let mut arguments = 0_usize;
    for token in right {
        let botch: &[u8] = match token.lead {
            meta::POSITION => {
                let digit = machine.config.arena.text(*token).get(1).copied().unwrap_or(b'0');
                let place = usize::from(digit.wrapping_sub(b'0'));
                if place == 0 || place > wildcards {
                    complaints
                        .push([b"replacement $".as_slice(), &[digit], b" out of bounds"].concat());
                }
                continue;
            }
            meta::ANY => b"$*",
            meta::SOME => b"$+",
            meta::ONE => b"$-",
            meta::CLASS => b"$=",
            meta::NOT_CLASS => b"$~",
            meta::HOST if in_map => {
                arguments = arguments.saturating_add(1);
                if arguments >= LOOKUP_ARGUMENTS_MAX {
                    complaints.push(b"too many arguments for map lookup".to_vec());
                }
                continue;
            }
            meta::HOST_BEGIN | meta::LOOKUP_BEGIN => {
                end =
                    if token.lead == meta::HOST_BEGIN { meta::HOST_END } else { meta::LOOKUP_END };
                if in_map {
                    complaints.push(b"cannot nest map lookups".to_vec());
                }
                in_map = true;
                arguments = 0;
                continue;
            }
            meta::HOST_END | meta::LOOKUP_END if token.lead == end => {
                in_map = false;
                end = 0;
                continue;
            }
            _ => continue,
        };
        complaints.push([b"Inappropriate use of ", botch, b" on RHS"].concat());
    }
    if in_map {
        complaints.push(b"missing map closing token".to_vec());
    }
}
