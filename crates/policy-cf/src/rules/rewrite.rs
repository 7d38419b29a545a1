//! Running a rule set over tokens: try each rule, put in what it says, call what it calls (manual, section 5.1).

use super::pattern::{Binds, Ground, mask_of};
use super::{CALL_DEPTH_MAX, CALLS_MAX, ROUNDS_MAX};
use crate::machine::{Event, Machine, ScanTable, exit, strip_quotes};
use crate::token::{ARENA_OCTETS_MAX, TOKENS_MAX, Token, meta};
use alloc::vec::Vec;

/// A rule set at work on the tokens from `from` on.
struct Run {
    set: usize,
    from: usize,
    depth: u32,
    status: u8,
    /// How many tokens there may be: counted from the caller's first token, as sendmail counts.
    room: usize,
}

/// Where a rule set goes on after a rule that matched.
enum Next {
    Same,
    Following,
    Return,
}

impl Machine<'_> {
    /// Runs rule set `set` over all of `tokens`, in place. Gives a sysexits code: 0, or 75 if a map could not answer.
    pub fn rewrite(&mut self, tokens: &mut Vec<Token>, set: usize) -> u8 {
        self.steps = 0;
        self.rewrite_from(tokens, 0, set, (0, TOKENS_MAX))
    }

    pub(crate) fn rewrite_from(
        &mut self,
        tokens: &mut Vec<Token>,
        from: usize,
        set: usize,
        (depth, room): (u32, usize),
    ) -> u8 {
        let shown = self.is_test || self.debug.is(21, 1);
        if shown {
            self.show_passage(set, b"   input:", tokens.get(from..).unwrap_or_default());
        }
        self.note(|machine| {
            Event::Entered(set, machine.texts(tokens.get(from..).unwrap_or_default()))
        });
        if depth > CALL_DEPTH_MAX {
            let name = self.config.sets.name(set);
            let text =
                [b"rewrite: excessive recursion (max 50), ruleset ", name.as_slice()].concat();
            self.system_error(&text, None);
            return exit::CONFIG;
        }
        let mut run = Run { set, from, depth: depth.saturating_add(1), status: exit::OK, room };
        let failed = self.run_rules(tokens, &mut run);
        if let Some(status) = failed {
            return status;
        }
        if shown {
            self.show_passage(set, b" returns:", tokens.get(from..).unwrap_or_default());
        }
        self.note(|machine| {
            Event::Left(set, machine.texts(tokens.get(from..).unwrap_or_default()))
        });
        run.status
    }

    fn show_passage(&mut self, set: usize, what: &[u8], tokens: &[Token]) {
        if !self.is_test {
            self.out.extend_from_slice(b"rewrite: ruleset ");
        }
        let start = self.out.len();
        match self.config.sets.own_name(set) {
            Some(name) => self.out.extend(name.iter().take(16)),
            None => self.out.extend_from_slice(&super::decimal(set)),
        }
        let width = start.saturating_add(16);
        while self.out.len() < width {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(what);
        self.show_tokens(tokens);
    }

    /// Runs the rules. `Some`: the set was left at once with this status, and shows no return.
    fn run_rules(&mut self, tokens: &mut Vec<Token>, run: &mut Run) -> Option<u8> {
        let tries_shown = self.debug.is(21, 10);
        let mut rounds = 0;
        let mut index = 0;
        let mut mask = mask_of(tokens.get(run.from..).unwrap_or_default());
        let count = self.config.sets.of(run.set).len();
        while index < count {
            let here = tokens.get(run.from..).unwrap_or_default();
            if here.first().is_some_and(|token| token.lead == meta::MAILER) {
                break;
            }
            if tries_shown {
                self.show_try(run.set, index);
            } else {
                // Without a trace the rules that cannot match are passed over in one go.
                let rules = self.config.sets.of(run.set);
                let ahead = rules.iter().skip(index);
                let skipped =
                    ahead.take_while(|rule| !rule.pattern.may_match(mask, here.len())).count();
                if skipped > 0 {
                    index = index.saturating_add(skipped);
                    rounds = 0;
                    continue;
                }
            }
            rounds = u32::saturating_add(rounds, 1);
            if rounds > ROUNDS_MAX {
                self.say_infinite(run.set, index, tokens.get(run.from..).unwrap_or_default());
                break;
            }
            let Some(binds) = self.try_rule(run.set, index, here) else {
                if tries_shown {
                    self.out.extend_from_slice(b"----- rule fails\n");
                }
                index = index.saturating_add(1);
                rounds = 0;
                continue;
            };
            let rule = index;
            let next = self.next_after(run.set, index);
            if !matches!(next, Next::Same) {
                index = index.saturating_add(1);
                rounds = 0;
            }
            if let Err(status) = self.apply(tokens, run, rule, &binds) {
                return Some(status);
            }
            mask = mask_of(tokens.get(run.from..).unwrap_or_default());
            if matches!(next, Next::Return) {
                break;
            }
        }
        None
    }

    fn show_try(&mut self, set: usize, index: usize) {
        if !self.debug.is(21, 12) {
            return;
        }
        let Some(rule) = self.config.sets.of(set).get(index) else { return };
        let (line, left) = (rule.line, rule.left.clone());
        if self.debug.is(21, 15) {
            let text = alloc::format!("-----trying rule (line {line}):");
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.out.extend_from_slice(b"-----trying rule:");
        }
        self.show_tokens(&left);
    }

    fn say_infinite(&mut self, set: usize, index: usize, tokens: &[Token]) {
        let name = self.config.sets.name(set);
        let number = super::decimal(index.saturating_add(1));
        let text = [
            b"554 5.3.5 Infinite loop in ruleset ",
            name.as_slice(),
            b", rule ",
            number.as_slice(),
        ];
        self.system_error(&text.concat(), None);
        if self.debug.is(21, 1) {
            self.out.extend_from_slice(b"workspace: ");
            self.show_tokens(tokens);
        }
    }

    fn try_rule(&mut self, set: usize, index: usize, tokens: &[Token]) -> Option<Binds> {
        let deferred_shown = self.debug.is(21, 2);
        let config = &self.config;
        let rule = config.sets.of(set).get(index)?;
        if deferred_shown {
            let mut shown = Vec::new();
            for id in rule.pattern.deferred() {
                shown.extend_from_slice(b"rewrite: LHS $&{");
                shown.extend_from_slice(&bare_name(config, id));
                shown.extend_from_slice(b"} => \"");
                shown.extend_from_slice(config.macros.value(id).unwrap_or(b"(NULL)"));
                shown.extend_from_slice(b"\"\n");
            }
            self.out.extend_from_slice(&shown);
        }
        let config = &self.config;
        let mut ground = Ground {
            arena: &config.arena,
            classes: &config.classes,
            macros: &config.macros,
            tables: &config.tables,
            separator: config.options.blank_substitute,
            steps: &mut self.steps,
        };
        config.sets.of(set).get(index)?.pattern.matches(tokens, &mut ground)
    }

    fn next_after(&mut self, set: usize, index: usize) -> Next {
        let Some(rule) = self.config.sets.of(set).get(index) else { return Next::Return };
        let next = match rule.right.first().map(|token| token.lead) {
            Some(meta::USER) => Next::Following,
            Some(meta::HOST) => Next::Return,
            _ => Next::Same,
        };
        if self.debug.is(21, 12) {
            let right = rule.right.clone();
            self.out.extend_from_slice(b"-----rule matches:");
            self.show_tokens(&right);
        }
        next
    }

    /// Puts the right side in place of what matched.
    fn apply(
        &mut self,
        tokens: &mut Vec<Token>,
        run: &mut Run,
        index: usize,
        binds: &Binds,
    ) -> Result<(), u8> {
        self.note(|machine| {
            let texts = machine.texts(tokens.get(run.from..).unwrap_or_default());
            Event::Matched(run.set, index, texts)
        });
        let mut new = self.spare.pop().unwrap_or_default();
        new.clear();
        let done = self.fill(tokens, run, index, binds, &mut new);
        if done.is_ok() {
            tokens.truncate(run.from);
            tokens.extend_from_slice(&new);
        }
        self.spare.push(new);
        let needs_calls = done?;
        if needs_calls {
            let status = self.calls(tokens, run);
            if run.status == exit::OK || status == exit::TEMPFAIL {
                run.status = status;
            }
        }
        if self.debug.is(21, 4) {
            self.out.extend_from_slice(b"rewritten as:");
            self.show_tokens(tokens.get(run.from..).unwrap_or_default());
        }
        self.note(|machine| {
            let texts = machine.texts(tokens.get(run.from..).unwrap_or_default());
            Event::Fired(run.set, index, texts)
        });
        Ok(())
    }

    /// Builds the new tokens: positions, macros, look-ups. Gives whether there may be calls.
    fn fill(
        &mut self,
        tokens: &[Token],
        run: &mut Run,
        index: usize,
        binds: &Binds,
        new: &mut Vec<Token>,
    ) -> Result<bool, u8> {
        let Some(rule) = self.config.sets.of(run.set).get(index) else { return Ok(false) };
        let needs = rule.needs;
        let matched = tokens.get(run.from..).unwrap_or_default();
        let skip = match rule.right.first().map(|token| token.lead) {
            Some(meta::USER | meta::HOST) => 1,
            _ => 0,
        };
        let length = rule.right.len();
        let (mut look_ups, mut calls) = (needs.look_ups, needs.calls);
        for at in skip..length {
            let rules = self.config.sets.of(run.set);
            let Some(token) = rules.get(index).and_then(|rule| rule.right.get(at)).copied() else {
                break;
            };
            match token.lead {
                meta::POSITION => {
                    let digit = self.config.arena.text(token).get(1).copied().unwrap_or(0);
                    let place = usize::from(digit.wrapping_sub(b'1'));
                    let Some(bind) = binds.get(place) else {
                        let name = self.config.sets.name(run.set);
                        let text = [
                            b"554 5.3.5 rewrite: ruleset ",
                            name.as_slice(),
                            b": replacement $",
                            &[digit],
                            b" out of bounds",
                        ];
                        self.system_error(&text.concat(), None);
                        return Err(exit::CONFIG);
                    };
                    let part = matched.get(bind.first..bind.end).unwrap_or_default();
                    for token in part {
                        look_ups |= matches!(token.lead, meta::HOST_BEGIN | meta::LOOKUP_BEGIN);
                        calls |= token.lead == meta::CALL;
                    }
                    new.extend_from_slice(part);
                }
                meta::DEFERRED => {
                    let id = self.config.arena.text(token).get(1).copied().unwrap_or(0);
                    self.deferred_value(id, new)?;
                    look_ups = true;
                    calls = true;
                }
                _ => new.push(token),
            }
            if new.len() >= run.room || self.config.arena.len() >= ARENA_OCTETS_MAX {
                self.system_error(b"554 5.3.0 rewrite: expansion too long", None);
                return Err(exit::DATAERR);
            }
        }
        if look_ups {
            let status = self.look_ups(new, run.room)?;
            calls = true;
            if status != exit::OK {
                run.status = status;
            }
        }
        Ok(calls)
    }

    /// `$&x` in a right side: the value as tokens.
    fn deferred_value(&mut self, id: u8, new: &mut Vec<Token>) -> Result<(), u8> {
        let value = self.config.macros.value(id).map(<[u8]>::to_vec);
        if self.debug.is(21, 2) {
            let name = bare_name(&self.config, id);
            let shown = value.as_deref().unwrap_or(b"(NULL)");
            self.say(&[b"rewrite: RHS $&{", &name, b"} => \"", shown, b"\""]);
        }
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(()) };
        let (found, _) = self.scan(&value, ScanTable::Outside, 0, new);
        // What is wrong with the value was said by the scan.
        if found { Ok(()) } else { Err(exit::DATAERR) }
    }

    /// Carries out the calls in the tokens from `run.from` on, the last one first.
    fn calls(&mut self, tokens: &mut Vec<Token>, run: &Run) -> u8 {
        let mut found: Vec<(usize, usize)> = Vec::new();
        let mut at = run.from;
        while at.saturating_add(1) < tokens.len() {
            let name_at = at.saturating_add(1);
            let is_call = tokens.get(at).is_some_and(|token| token.lead == meta::CALL);
            let Some(name) = tokens.get(name_at).copied().filter(|_| is_call) else {
                at = name_at;
                continue;
            };
            let name = strip_quotes(self.config.arena.text(name));
            let set = self.config.sets.find(&name);
            if let Some(complaint) = &set.complaint {
                self.system_error(complaint, None);
            }
            let Some(set) = set.number else {
                let text = [b"554 5.3.5 Unknown ruleset ", name.as_slice()].concat();
                self.system_error(&text, None);
                return exit::CONFIG;
            };
            if self.config.sets.of(set).is_empty() {
                if self.debug.is(21, 3) {
                    let number = super::decimal(set);
                    self.say(&[b"-----skip subr ", &name, b" (", &number, b")"]);
                }
                tokens.drain(at..=name_at);
            } else {
                if found.len().saturating_add(1) >= CALLS_MAX {
                    let text = b"554 5.3.0 Too many subroutine calls (16 max)";
                    self.system_error(text, None);
                    return exit::CONFIG;
                }
                found.push((at, set));
            }
            at = at.saturating_add(1);
        }
        let mut result = exit::OK;
        while let Some((at, set)) = found.pop() {
            let end = at.saturating_add(2).min(tokens.len());
            tokens.drain(at..end);
            let room = TOKENS_MAX.saturating_sub(at.saturating_sub(run.from));
            let status = self.rewrite_from(tokens, at, set, (run.depth, room));
            if status != exit::OK && status != exit::TEMPFAIL {
                return status;
            }
            if result == exit::OK || status == exit::TEMPFAIL {
                result = status;
            }
        }
        result
    }
}

/// A macro's name without braces, as `-d21` shows it.
fn bare_name(config: &crate::model::Config, id: u8) -> Vec<u8> {
    let mut shown = Vec::new();
    config.macros.show_name(id, &mut shown);
    if let [b'{', inner @ .., b'}'] = shown.as_slice() {
        return inner.to_vec();
    }
    shown
}
