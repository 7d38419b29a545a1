//! The rule machine: patterns compiled at load, matched with sendmail's backtracking, right sides carried out.

mod effect;
mod gate;
mod look_up;
mod names;
mod pattern;
mod rewrite;

pub use names::SetFound;
pub(crate) use pattern::Binds;
pub use pattern::{Bind, Op, Pattern};

use crate::token::{Arena, Token};
use alloc::boxed::Box;
use alloc::vec::Vec;
use effect::Effect;
use gate::{Gate, Sum};
use names::SetNames;

/// How many rule sets there are: numbers below the half are written as such, names count down from the top.
pub const RULE_SETS_MAX: usize = 200;
/// Numbered rule sets.
pub const NUMBERED_SETS_MAX: usize = 100;
/// How deep rule sets may call each other (option MaxRuleRecursion).
pub const CALL_DEPTH_MAX: u32 = 50;
/// How often one rule may match in a row.
pub const ROUNDS_MAX: u32 = 100;
/// Calls (`$>`) in one right side, one more than allowed.
pub const CALLS_MAX: usize = 16;
/// Arguments of a map look-up, the key included.
pub const LOOKUP_ARGUMENTS_MAX: usize = 20;
/// Wildcards of one left side.
pub const WILDCARDS_MAX: usize = 9;
/// Steps of matching in one call from outside: far above what any real rule set takes; a pattern made to backtrack ends here.
pub const STEPS_MAX: u64 = 50_000_000;

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The left side as it is shown.
    pub left: Box<[Token]>,
    /// The right side.
    pub right: Box<[Token]>,
    /// The left side compiled.
    pub pattern: Pattern,
    /// The line of the configuration.
    pub line: u32,
    /// The right side compiled.
    pub(crate) effect: Effect,
}

/// The rules of one set, and beside them what tells which of them are worth a try.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleSet {
    rules: Vec<Rule>,
    gates: Vec<Gate>,
}

impl RuleSet {
    /// The rules in order.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How many rules from `index` on can't match what was summed up.
    pub(crate) fn hopeless(&self, index: usize, sum: &Sum) -> usize {
        let ahead = self.gates.get(index..).unwrap_or_default();
        ahead.iter().take_while(|gate| !gate.lets(sum)).count()
    }
}

/// All rule sets and their names.
#[derive(Debug, Clone)]
pub struct RuleSets {
    sets: Vec<RuleSet>,
    names: SetNames,
}

impl Default for RuleSets {
    fn default() -> Self {
        let sets = (0..RULE_SETS_MAX).map(|_| RuleSet::default()).collect();
        Self { sets, names: SetNames::default() }
    }
}

impl RuleSets {
    /// The rules of a set.
    #[must_use]
    pub fn of(&self, number: usize) -> &[Rule] {
        self.set(number).map(RuleSet::rules).unwrap_or_default()
    }

    /// A set with its gates.
    pub(crate) fn set(&self, number: usize) -> Option<&RuleSet> {
        self.sets.get(number)
    }

    /// Adds a rule at the end of a set.
    pub fn push(&mut self, number: usize, rule: Rule) {
        if let Some(set) = self.sets.get_mut(number) {
            set.gates.push(rule.pattern.gate());
            set.rules.push(rule);
        }
    }

    /// The name of a set as traces have it.
    #[must_use]
    pub fn name(&self, number: usize) -> Vec<u8> {
        self.own_name(number).map_or_else(|| decimal(number), <[u8]>::to_vec)
    }

    /// The name of a set, if it has one.
    #[must_use]
    pub fn own_name(&self, number: usize) -> Option<&[u8]> {
        self.names.of(number)
    }

    /// Finds a set by name or number.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> SetFound {
        self.names.find(text)
    }

    /// Finds a set by a token that is its name as it stands; `None`: see [`RuleSets::find`].
    pub(crate) fn quick(&self, name: &[u8], hash: u32) -> Option<usize> {
        self.names.quick(name, hash)
    }

    /// Finds a set by name or number, and makes it if there is none (S lines, `S=` of mailers).
    pub fn enter(&mut self, text: &[u8]) -> SetFound {
        self.names.enter(text)
    }
}

/// A number in decimal digits.
#[must_use]
pub fn decimal(number: usize) -> Vec<u8> {
    alloc::format!("{number}").into_bytes()
}

/// Builds a rule of its two sides.
#[must_use]
pub fn compile(left: Vec<Token>, right: Vec<Token>, line: u32, arena: &Arena) -> Rule {
    let pattern = Pattern::compile(&left, arena);
    let effect = Effect::compile(&right, arena);
    Rule { left: left.into(), right: right.into(), pattern, line, effect }
}
