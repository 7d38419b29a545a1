//! The rule machine: patterns compiled at load, matched with sendmail's backtracking, right sides carried out.

mod look_up;
mod pattern;
mod rewrite;

pub use pattern::{Bind, Op, Pattern};

use crate::token::{Arena, Token};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

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
    /// What the right side needs.
    pub needs: Needs,
}

/// What a right side holds beside text and positions, so that no pass is made in vain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// `$[` or `$(`, here or in what is put in.
    pub look_ups: bool,
    /// `$>`.
    pub calls: bool,
}

/// All rule sets and their names.
#[derive(Debug, Clone)]
pub struct RuleSets {
    /// Rules by number of the set.
    pub rules: Vec<Vec<Rule>>,
    names: Vec<Option<Vec<u8>>>,
    numbers: BTreeMap<Vec<u8>, Option<usize>>,
    next: usize,
}

impl Default for RuleSets {
    fn default() -> Self {
        Self {
            rules: (0..RULE_SETS_MAX).map(|_| Vec::new()).collect(),
            names: alloc::vec![None; RULE_SETS_MAX],
            numbers: BTreeMap::new(),
            next: RULE_SETS_MAX,
        }
    }
}

/// What the name of a rule set gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFound {
    /// Its number.
    pub number: Option<usize>,
    /// What sendmail says about the name.
    pub complaint: Option<Vec<u8>>,
}

impl RuleSets {
    /// The rules of a set.
    #[must_use]
    pub fn of(&self, number: usize) -> &[Rule] {
        self.rules.get(number).map(Vec::as_slice).unwrap_or_default()
    }

    /// The name of a set as traces have it.
    #[must_use]
    pub fn name(&self, number: usize) -> Vec<u8> {
        match self.names.get(number) {
            Some(Some(name)) => name.clone(),
            _ => decimal(number),
        }
    }

    /// The name, if it has one.
    #[must_use]
    pub fn own_name(&self, number: usize) -> Option<&[u8]> {
        self.names.get(number).and_then(Option::as_deref)
    }

    /// Finds a set by name or number.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> SetFound {
        let text = crate::read::chars::trim_start(text);
        if text.first().is_some_and(u8::is_ascii_digit) {
            return numbered(text);
        }
        match read_name(text) {
            Err(complaint) => SetFound { number: None, complaint: Some(complaint) },
            Ok((name, _)) => SetFound {
                number: self.numbers.get(&name.to_ascii_lowercase()).copied().flatten(),
                complaint: None,
            },
        }
    }

    /// Finds a set by name or number, and makes it if there is none (S lines, `S=` of mailers).
    #[expect(clippy::too_many_lines, reason = "one arm a case, as the manual lists them")]
    pub fn enter(&mut self, text: &[u8]) -> SetFound {
        let text = crate::read::chars::trim_start(text);
        if text.first().is_some_and(u8::is_ascii_digit) {
            return numbered(text);
        }
        let (name, rest) = match read_name(text) {
            Err(complaint) => return SetFound { number: None, complaint: Some(complaint) },
            Ok(found) => found,
        };
        let key = name.to_ascii_lowercase();
        let known = self.numbers.get(&key).copied().flatten();
        let mut complaint = None;
        let rest = crate::read::chars::trim_start(rest);
        let mut number = match rest.split_first() {
            Some((b'=', value)) => {
                let value = crate::read::chars::trim_start(value);
                if value.first().is_some_and(u8::is_ascii_digit) {
                    let wanted = leading_number(value);
                    if wanted >= NUMBERED_SETS_MAX {
                        complaint = Some(
                            [
                                b"bad ruleset number ",
                                decimal(wanted).as_slice(),
                                b" in \"",
                                name,
                                b"\" (100 max)",
                            ]
                            .concat(),
                        );
                        None
                    } else {
                        Some(wanted)
                    }
                } else {
                    complaint = Some(
                        [b"bad ruleset definition \"", text, b"\" (number required after `=')"]
                            .concat(),
                    );
                    None
                }
            }
            _ if known.is_some() => known,
            _ => {
                self.next = self.next.saturating_sub(1);
                if self.next < NUMBERED_SETS_MAX {
                    complaint =
                        Some([name, b": too many named rulesets (100 max)".as_slice()].concat());
                    None
                } else {
                    Some(self.next)
                }
            }
        };
        if let (Some(old), Some(new)) = (known, number)
            && old != new
        {
            complaint = Some(
                [
                    name,
                    b": ruleset changed value (old ",
                    decimal(old).as_slice(),
                    b", new ",
                    decimal(new).as_slice(),
                    b")",
                ]
                .concat(),
            );
            number = Some(old);
        }
        self.numbers.insert(key, number.or(known));
        if let Some(place) = number.and_then(|number| self.names.get_mut(number)) {
            *place = Some(name.to_vec());
        }
        SetFound { number, complaint }
    }
}

fn numbered(text: &[u8]) -> SetFound {
    let number = leading_number(text);
    if number >= NUMBERED_SETS_MAX {
        let text = [b"bad ruleset ", decimal(number).as_slice(), b" (100 max)"].concat();
        return SetFound { number: None, complaint: Some(text) };
    }
    SetFound { number: Some(number), complaint: None }
}

fn read_name(text: &[u8]) -> Result<(&[u8], &[u8]), Vec<u8>> {
    let length = text.iter().take_while(|octet| octet.is_ascii_alphanumeric() || **octet == b'_');
    let length = length.count();
    match text.split_at_checked(length) {
        Some((name, rest)) if name.first().is_some_and(u8::is_ascii_alphabetic) => Ok((name, rest)),
        _ => {
            let shown = text.get(..20).unwrap_or(text);
            Err([b"invalid ruleset name: \"", shown, b"\""].concat())
        }
    }
}

fn leading_number(text: &[u8]) -> usize {
    text.iter().take_while(|octet| octet.is_ascii_digit()).fold(0_usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
    })
}

/// A number in decimal digits.
#[must_use]
pub fn decimal(number: usize) -> Vec<u8> {
    alloc::format!("{number}").into_bytes()
}

/// Builds a rule of its two sides.
#[must_use]
pub fn compile(left: Vec<Token>, right: Vec<Token>, line: u32, arena: &Arena) -> Rule {
    use crate::token::meta;
    let mut needs = Needs::default();
    for token in &right {
        match token.lead {
            meta::HOST_BEGIN | meta::LOOKUP_BEGIN => needs.look_ups = true,
            meta::CALL => needs.calls = true,
            _ => {}
        }
    }
    let pattern = Pattern::compile(&left, arena);
    Rule { left: left.into(), right: right.into(), pattern, line, needs }
}
