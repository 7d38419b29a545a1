//! Rules that can never match, because one with the same left side stands before and lets nothing through.

use super::finding::{Finding, Level, Place};
use crate::explain::source::Source;
use policy_cf::machine::Machine;
use policy_cf::rules::{RULE_SETS_MAX, Rule};
use policy_cf::token::meta;

/// A rule of sendmail's own m4 files that is dead in every configuration made without FEATURE(`accept_unresolvable`).
/// Nobody can mend it where it stands, so nobody is told.
const DEAD_IN_STOCK: (&[u8], &[u8]) = (b"R<?> $*\t", b"mark address: nothing known about it");

/// What becomes of what a rule matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The rule set ends.
    Ends,
    /// The rule is tried again until it does not match.
    Again,
    /// The next rule.
    GoesOn,
}

/// Looks at every rule set.
pub(super) fn check(machine: &Machine<'_>, source: &Source, findings: &mut Vec<Finding>) {
    for set in 0..RULE_SETS_MAX {
        let rules = machine.config.sets.of(set);
        for (index, rule) in rules.iter().enumerate() {
            let before = rules.get(..index).unwrap_or_default();
            if let Some(first) = blocker(machine, before, rule) {
                say(source, first, rule, findings);
            }
            if findings.len() > super::lines::FINDINGS_MAX {
                return;
            }
        }
    }
}

/// The rule before that takes everything this one would: its left side is the same, and nothing between them changes
/// what they see. A rule that is tried again until it fails blocks only the next one.
fn blocker<'r>(machine: &Machine<'_>, before: &'r [Rule], rule: &Rule) -> Option<&'r Rule> {
    for (distance, earlier) in before.iter().rev().enumerate() {
        let way = way(earlier);
        let blocks = way == Way::Ends || (way == Way::Again && distance == 0);
        if !blocks {
            return None;
        }
        if is_same_left(machine, earlier, rule) {
            return Some(earlier);
        }
        if way != Way::Ends {
            return None;
        }
    }
    None
}

fn way(rule: &Rule) -> Way {
    match rule.right.first().map(|token| token.lead) {
        Some(meta::HOST | meta::MAILER) => Way::Ends,
        Some(meta::USER) => Way::GoesOn,
        _ => Way::Again,
    }
}

fn is_same_left(machine: &Machine<'_>, one: &Rule, other: &Rule) -> bool {
    let text = |token| machine.config.arena.text(token);
    one.left.len() == other.left.len()
        && one.left.iter().zip(&other.left).all(|(one, other)| {
            let (one, other) = (text(*one), text(*other));
            // What a macro gives may change between two looks; what is written does not.
            one == other && one.first() != Some(&meta::DEFERRED)
        })
}

fn say(source: &Source, first: &Rule, rule: &Rule, findings: &mut Vec<Finding>) {
    let text = source.line(rule.line).map(|(_, text)| text).unwrap_or_default();
    let (head, comment) = DEAD_IN_STOCK;
    if text.starts_with(head) && text.ends_with(comment) {
        return;
    }
    let line = |number: u32| source.line(number).map_or(number, |(first, _)| first);
    let place = Place { line: line(rule.line), column: 1 };
    let what = "this rule can never match".to_owned();
    let hint = format!(
        "the rule in line {} has the same left side and lets nothing through",
        line(first.line)
    );
    findings.push(Finding::at(Level::Warning, place, what, &hint));
}
