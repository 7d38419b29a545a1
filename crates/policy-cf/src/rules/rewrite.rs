//! Running a rule set over tokens: try each rule, put in what it says, call what it calls (manual, section 5.1).

use super::effect::{Next, Part};
use super::gate::Sum;
use super::pattern::Ground;
use super::{CALL_DEPTH_MAX, CALLS_MAX, ROUNDS_MAX, Rule, RuleSet, RuleSets};
use crate::machine::{Event, Machine, ScanTable, exit, strip_quotes};
use crate::token::{ARENA_OCTETS_MAX, TOKENS_MAX, Token, meta};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A rule set at work on the tokens from `from` on.
struct Run<'s> {
    /// All of them: they stay while they run, whatever happens to the machine.
    sets: &'s RuleSets,
    set: usize,
    from: usize,
    depth: u32,
    status: u8,
    /// How many tokens there may be: counted from the caller's first token, as sendmail counts.
    room: usize,
}

impl Machine<'_> {
    /// Runs rule set `set` over all of `tokens`, in place. Gives a sysexits code: 0, or 75 if a map could not answer.
    pub fn rewrite(&mut self, tokens: &mut Vec<Token>, set: usize) -> u8 {
        self.steps = 0;
        let sets = Arc::clone(&self.config.sets);
        let run = Run { sets: &sets, set, from: 0, depth: 0, status: exit::OK, room: TOKENS_MAX };
        self.rewrite_from(tokens, run)
    }

    /// Runs the rule set of `run` at its depth.
    fn rewrite_from(&mut self, tokens: &mut Vec<Token>, mut run: Run<'_>) -> u8 {
        let (set, from) = (run.set, run.from);
        let shown = self.is_test || self.debug.is(21, 1);
        if shown {
            self.show_passage(set, b"   input:", tokens.get(from..).unwrap_or_default());
        }
        self.note(|machine| {
            Event::Entered(set, machine.texts(tokens.get(from..).unwrap_or_default()))
        });
        if run.depth > CALL_DEPTH_MAX {
            let name = self.config.sets.name(set);
            let text =
                [b"rewrite: excessive recursion (max 50), ruleset ", name.as_slice()].concat();
            self.system_error(&text, None);
            return exit::CONFIG;
        }
        run.depth = run.depth.saturating_add(1);
        let failed = run.sets.set(set).and_then(|rules| self.run_rules(rules, tokens, &mut run));
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
    fn run_rules(
        &mut self,
        set: &RuleSet,
        tokens: &mut Vec<Token>,
        run: &mut Run<'_>,
    ) -> Option<u8> {
        let tries_shown = self.debug.is(21, 10);
        let mut rounds = 0;
        let mut index = 0;
        let mut sum = Sum::of(tokens.get(run.from..).unwrap_or_default());
        loop {
            let here = tokens.get(run.from..).unwrap_or_default();
            if here.first().is_some_and(|token| token.lead == meta::MAILER) {
                break;
            }
            if !tries_shown {
                // Without a trace the rules that cannot match are passed over in one go.
                let hopeless = set.hopeless(index, &sum);
                if hopeless > 0 {
                    index = index.saturating_add(hopeless);
                    rounds = 0;
                }
            }
            let Some(rule) = set.rules().get(index) else { break };
            if tries_shown {
                self.show_try(rule);
            }
            rounds = u32::saturating_add(rounds, 1);
            if rounds > ROUNDS_MAX {
                self.say_infinite(run.set, index, tokens.get(run.from..).unwrap_or_default());
                break;
            }
            if !self.try_rule(rule, here) {
                if tries_shown {
                    self.out.extend_from_slice(b"----- rule fails\n");
                }
                index = index.saturating_add(1);
                rounds = 0;
                continue;
            }
            if let Err(status) = self.apply(tokens, run, (index, rule, sum.has_metas)) {
                return Some(status);
            }
            match rule.effect.next {
                Next::Same => {}
                Next::Following => {
                    index = index.saturating_add(1);
                    rounds = 0;
                }
                Next::Return => break,
            }
            sum = Sum::of(tokens.get(run.from..).unwrap_or_default());
        }
        None
    }

    fn show_try(&mut self, rule: &Rule) {
        if !self.debug.is(21, 12) {
            return;
        }
        if self.debug.is(21, 15) {
            let text = alloc::format!("-----trying rule (line {}):", rule.line);
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.out.extend_from_slice(b"-----trying rule:");
        }
        self.show_tokens(&rule.left);
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

    /// Whether a rule matches; its wildcards are then in `binds`.
    fn try_rule(&mut self, rule: &Rule, tokens: &[Token]) -> bool {
        if self.debug.is(21, 2) {
            self.show_deferred(rule);
        }
        let config = &self.config;
        let mut ground = Ground {
            arena: &config.arena,
            classes: &config.classes,
            macros: &config.macros,
            tables: &config.tables,
            separator: config.options.blank_substitute,
            steps: &mut self.steps,
            phrase: &mut self.phrase,
        };
        rule.pattern.matches(tokens, &mut self.binds, &mut ground).is_some()
    }

    fn show_deferred(&mut self, rule: &Rule) {
        for id in rule.pattern.deferred() {
            let name = bare_name(&self.config, id);
            let value = self.config.macros.value(id).unwrap_or(b"(NULL)");
            for part in [b"rewrite: LHS $&{", name.as_slice(), b"} => \"", value, b"\"\n"] {
                self.out.extend_from_slice(part);
            }
        }
    }

    /// Puts the right side in place of what matched.
    fn apply(
        &mut self,
        tokens: &mut Vec<Token>,
        run: &mut Run<'_>,
        (index, rule, has_metas): (usize, &Rule, bool),
    ) -> Result<(), u8> {
        if self.debug.is(21, 12) {
            self.out.extend_from_slice(b"-----rule matches:");
            self.show_tokens(&rule.right);
        }
        self.note(|machine| {
            let texts = machine.texts(tokens.get(run.from..).unwrap_or_default());
            Event::Matched(run.set, index, texts)
        });
        let mut new = self.spare.pop().unwrap_or_default();
        new.clear();
        let done = self.fill(tokens, run, (rule, has_metas), &mut new);
        if done.is_ok() && run.from == 0 {
            core::mem::swap(tokens, &mut new);
        } else if done.is_ok() {
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
        run: &mut Run<'_>,
        (rule, has_metas): (&Rule, bool),
        new: &mut Vec<Token>,
    ) -> Result<bool, u8> {
        let mut marks = rule.effect.marks;
        let matched = tokens.get(run.from..).unwrap_or_default();
        for part in &rule.effect.parts {
            match part {
                Part::Tokens(first, end) => {
                    new.extend_from_slice(rule.effect.tokens(*first, *end));
                }
                Part::Position(digit) => {
                    let Some(bind) = self.binds.get(usize::from(digit.wrapping_sub(b'1'))) else {
                        self.say_unbound(run.set, *digit);
                        return Err(exit::CONFIG);
                    };
                    let part = matched.get(bind.first..bind.end).unwrap_or_default();
                    if has_metas {
                        marks.see(part);
                    }
                    new.extend_from_slice(part);
                }
                Part::Deferred(id) => {
                    self.deferred_value(*id, new)?;
                    marks.look_ups = true;
                    marks.calls = true;
                }
            }
            if new.len() >= run.room || self.config.arena.len() >= ARENA_OCTETS_MAX {
                self.system_error(b"554 5.3.0 rewrite: expansion too long", None);
                return Err(exit::DATAERR);
            }
        }
        if marks.look_ups {
            let status = self.look_ups(new, run.room)?;
            marks.calls = true;
            if status != exit::OK {
                run.status = status;
            }
        }
        Ok(marks.calls)
    }

    fn say_unbound(&mut self, set: usize, digit: u8) {
        let name = self.config.sets.name(set);
        let text = [
            b"554 5.3.5 rewrite: ruleset ",
            name.as_slice(),
            b": replacement $",
            &[digit],
            b" out of bounds",
        ];
        self.system_error(&text.concat(), None);
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

    /// The rule set that a call names; says so if there is none.
    fn called(&mut self, token: Token) -> Option<usize> {
        let text = self.config.arena.text(token);
        if let Some(number) = self.config.sets.quick(text, token.hash) {
            return Some(number);
        }
        let name = set_name(text);
        let found = self.config.sets.find(&name);
        if found.number.is_none() {
            let text = [b"554 5.3.5 Unknown ruleset ", &*name].concat();
            if let Some(complaint) = &found.complaint {
                self.system_error(complaint, None);
            }
            self.system_error(&text, None);
        }
        found.number
    }

    /// Carries out the calls in the tokens from `run.from` on, the last one first.
    fn calls(&mut self, tokens: &mut Vec<Token>, run: &Run<'_>) -> u8 {
        let mut found = [(0, 0); CALLS_MAX];
        let mut count = 0_usize;
        let mut at = run.from;
        while at.saturating_add(1) < tokens.len() {
            let name_at = at.saturating_add(1);
            let is_call = tokens.get(at).is_some_and(|token| token.lead == meta::CALL);
            let Some(name) = tokens.get(name_at).copied().filter(|_| is_call) else {
                at = name_at;
                continue;
            };
            let Some(set) = self.called(name) else { return exit::CONFIG };
            if self.config.sets.of(set).is_empty() {
                if self.debug.is(21, 3) {
                    let number = super::decimal(set);
                    let name = strip_quotes(self.config.arena.text(name));
                    self.say(&[b"-----skip subr ", &name, b" (", &number, b")"]);
                }
                tokens.drain(at..=name_at);
            } else {
                let place = found.get_mut(count).filter(|_| count.saturating_add(1) < CALLS_MAX);
                let Some(place) = place else {
                    let text = b"554 5.3.0 Too many subroutine calls (16 max)";
                    self.system_error(text, None);
                    return exit::CONFIG;
                };
                *place = (at, set);
                count = count.saturating_add(1);
            }
            at = at.saturating_add(1);
        }
        let mut result = exit::OK;
        for (at, set) in found.iter().copied().take(count).rev() {
            let end = at.saturating_add(2).min(tokens.len());
            tokens.drain(at..end);
            let room = TOKENS_MAX.saturating_sub(at.saturating_sub(run.from));
            let called = Run { set, from: at, status: exit::OK, room, ..*run };
            let status = self.rewrite_from(tokens, called);
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

/// The name of a rule set without quotation marks.
fn set_name(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(|octet| matches!(octet, b'"' | b'\\')) {
        return Cow::Owned(strip_quotes(text));
    }
    Cow::Borrowed(text)
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
