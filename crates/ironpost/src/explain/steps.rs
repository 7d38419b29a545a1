//! What happened in the machine, as a tree: rule sets hold the rules that fired, rules hold what they asked and called.

use super::source::Source;
use policy_cf::machine::{Event, Machine, Said};
use policy_cf::token::{meta, show};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A rule set ran.
    Set(SetRun),
    /// A rule fired.
    Rule(RuleRun),
    /// A map was asked: name, key, what it said.
    Asked(Vec<u8>, Vec<u8>, Said),
    /// The same of a map that holds nothing but computes (`macro`, `arith`, `dequote` …).
    Computed(Vec<u8>, Vec<u8>, Said),
    /// Something was said.
    Said(Vec<u8>),
}

/// One run of a rule set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SetRun {
    /// Its name, or its number.
    pub(crate) name: Vec<u8>,
    /// The tokens it began with, blanks between.
    pub(crate) input: Vec<u8>,
    /// The tokens it ended with; `None` if it was left in the middle.
    pub(crate) output: Option<Vec<u8>>,
    /// What happened in it.
    pub(crate) steps: Vec<Step>,
}

/// One rule that fired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleRun {
    /// Its first line in the file.
    pub(crate) line: u32,
    /// Its text as it stands in the file.
    pub(crate) text: Vec<u8>,
    /// The tokens it matched.
    pub(crate) before: Vec<u8>,
    /// The tokens it left; `None` if it failed.
    pub(crate) after: Option<Vec<u8>>,
    /// What it asked and called.
    pub(crate) steps: Vec<Step>,
}

impl RuleRun {
    /// Whether something is other than before.
    pub(crate) fn changed(&self) -> bool {
        self.after.as_ref() != Some(&self.before)
    }
}

/// What is still open while the tree grows.
enum Open {
    Set(usize, SetRun),
    Rule(usize, usize, RuleRun),
}

/// Grows the tree from events. What was not closed (an error left it) is closed where its caller ends.
pub(crate) fn tree(machine: &Machine<'_>, source: &Source, events: &[Event]) -> Vec<Step> {
    let mut done = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in events {
        match event {
            Event::Entered(set, tokens) => {
                let name = machine.config.sets.name(*set);
                let input = text_of(machine, tokens);
                open.push(Open::Set(*set, SetRun { name, input, ..SetRun::default() }));
            }
            Event::Matched(set, index, tokens) => {
                // A rule that matched before and has not fired failed: it is over.
                while matches!(open.last(), Some(Open::Rule(own, _, _)) if own == set) {
                    close(&mut open, &mut done);
                }
                let (line, text) = rule_text(machine, source, *set, *index);
                let before = text_of(machine, tokens);
                let run = RuleRun { line, text, before, ..RuleRun::default() };
                open.push(Open::Rule(*set, *index, run));
            }
            Event::Fired(set, index, tokens) => {
                let is_it = |open: &Open| matches!(open, Open::Rule(own, at, _) if own == set && at == index);
                close_down_to(&mut open, &mut done, &is_it);
                if let Some(Open::Rule(_, _, run)) = open.last_mut() {
                    run.after = Some(text_of(machine, tokens));
                    close(&mut open, &mut done);
                }
            }
            Event::Left(set, tokens) => {
                let is_it = |open: &Open| matches!(open, Open::Set(own, _) if own == set);
                close_down_to(&mut open, &mut done, &is_it);
                if let Some(Open::Set(_, run)) = open.last_mut() {
                    run.output = Some(text_of(machine, tokens));
                    close(&mut open, &mut done);
                }
            }
            Event::Asked(map, key, said) => {
                let (map, key, said) = (map.clone(), key.clone(), said.clone());
                let step = if computes(machine, &map) { Step::Computed } else { Step::Asked };
                put(&mut open, &mut done, step(map, key, said));
            }
            Event::Said(text) => put(&mut open, &mut done, Step::Said(text.clone())),
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut done);
    }
    done
}

fn close_down_to(open: &mut Vec<Open>, done: &mut Vec<Step>, is_it: &dyn Fn(&Open) -> bool) {
    if !open.iter().any(is_it) {
        return;
    }
    while open.last().is_some_and(|last| !is_it(last)) {
        close(open, done);
    }
}

fn close(open: &mut Vec<Open>, done: &mut Vec<Step>) {
    let step = match open.pop() {
        Some(Open::Set(_, run)) => Step::Set(run),
        Some(Open::Rule(_, _, run)) => Step::Rule(run),
        None => return,
    };
    put(open, done, step);
}

fn put(open: &mut [Open], done: &mut Vec<Step>, step: Step) {
    match open.last_mut() {
        Some(Open::Set(_, run)) => run.steps.push(step),
        Some(Open::Rule(_, _, run)) => run.steps.push(step),
        None => done.push(step),
    }
}

/// The first line and the text of a rule.
pub(crate) fn rule_text(
    machine: &Machine<'_>,
    source: &Source,
    set: usize,
    index: usize,
) -> (u32, Vec<u8>) {
    let number = machine.config.sets.of(set).get(index).map_or(0, |rule| rule.line);
    let (first, text) = source.line(number).unwrap_or((number, b""));
    (first, text.to_vec())
}

/// Tokens as one writes them: blanks only between words and around metasymbols.
pub(crate) fn text_of(machine: &Machine<'_>, tokens: &[Vec<u8>]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let name = |id: u8, out: &mut Vec<u8>| machine.config.macros.show_name(id, out);
    let mut last_is_mark = false;
    for token in tokens {
        let is_mark = matches!(token.first(), Some(0x80..=0x9f));
        let begins_word = token.first().is_some_and(|octet| is_word(*octet));
        let follows_word = out.last().is_some_and(|octet| is_word(*octet));
        if !out.is_empty() && (is_mark || last_is_mark || (begins_word && follows_word)) {
            out.push(b' ');
        }
        show(token, &name, &mut out);
        last_is_mark = is_mark;
    }
    out
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'"' || octet == b'_' || octet >= 0xa0
}

/// Why tokens became `$#error` (or another end): the rule that said so first, and the map that made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The line of the rule; 0: no rule, a map that could not answer.
    pub(crate) line: u32,
    /// The rule's text.
    pub(crate) rule: Vec<u8>,
    /// The map that made the rule match.
    pub(crate) map: Option<Blamed>,
}

/// A map's answer that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blamed {
    /// Its name.
    pub(crate) map: Vec<u8>,
    /// What it was asked.
    pub(crate) key: Vec<u8>,
    /// What it said; `None`: it could not say now.
    pub(crate) value: Option<Vec<u8>>,
    /// What was said of it, why it can't be asked.
    pub(crate) trouble: Option<Vec<u8>>,
}

/// Finds the cause of a refusal: of the rules that fired last and left `$#…`, the first; and the last map whose value
/// stood in what that rule matched, or that could not answer.
pub(crate) fn cause(machine: &Machine<'_>, source: &Source, events: &[Event]) -> Option<Cause> {
    let mut found = None;
    for (at, event) in events.iter().enumerate().rev() {
        let Event::Fired(set, index, tokens) = event else { continue };
        // A result may stand behind a mark while it is handed up (`@ $#error …`).
        if !tokens.iter().any(|token| token.first() == Some(&meta::MAILER)) {
            break;
        }
        found = Some((at, *set, *index));
    }
    let Some((at, set, index)) = found else {
        let map = failed_map(events)?;
        return Some(Cause { map: Some(map), ..Cause::default() });
    };
    let before = events.get(..at).unwrap_or_default();
    let matched = before.iter().rev().find_map(|event| match event {
        Event::Matched(own, rule, tokens) if *own == set && *rule == index => Some(tokens),
        Event::Entered(..)
        | Event::Matched(..)
        | Event::Fired(..)
        | Event::Asked(..)
        | Event::Left(..)
        | Event::Said(_) => None,
    });
    let seen = squeezed(&matched.map(|tokens| tokens.concat()).unwrap_or_default());
    let (line, rule) = rule_text(machine, source, set, index);
    let is_temporary = matches!(events.get(at), Some(Event::Fired(_, _, tokens))
        if tokens.iter().any(|token| token.starts_with(b"\"4")));
    let map = seen_map(machine, before, &seen);
    let map = map.or_else(|| if is_temporary { failed_map(before) } else { None });
    Some(Cause { line, rule, map })
}

/// The last map whose value is in `seen`.
fn seen_map(machine: &Machine<'_>, events: &[Event], seen: &[u8]) -> Option<Blamed> {
    events.iter().rev().find_map(|event| {
        let Event::Asked(map, key, Said::Found(value)) = event else { return None };
        let wanted = squeezed(value);
        let is_seen =
            !wanted.is_empty() && seen.windows(wanted.len()).any(|part| part == wanted.as_slice());
        let tells = !computes(machine, map) && class(machine, map) != Some(b"host");
        (is_seen && tells).then(|| Blamed {
            map: map.clone(),
            key: key.clone(),
            value: Some(value.clone()),
            trouble: None,
        })
    })
}

/// The last map that could not answer, and what was said of it first.
fn failed_map(events: &[Event]) -> Option<Blamed> {
    let trouble = events.iter().find_map(|event| match event {
        Event::Said(text) => Some(text.clone()),
        Event::Entered(..)
        | Event::Matched(..)
        | Event::Fired(..)
        | Event::Asked(..)
        | Event::Left(..) => None,
    });
    events.iter().rev().find_map(|event| {
        let Event::Asked(map, key, Said::TemporaryFailure) = event else { return None };
        let (map, key) = (map.clone(), key.clone());
        Some(Blamed { map, key, value: None, trouble: trouble.clone() })
    })
}

fn class<'m>(machine: &'m Machine<'_>, map: &[u8]) -> Option<&'m [u8]> {
    machine.config.maps.get(&map.to_ascii_lowercase()).map(|map| &*map.spec.class)
}

/// Whether a map holds nothing that somebody wrote down.
fn computes(machine: &Machine<'_>, map: &[u8]) -> bool {
    matches!(class(machine, map), Some(b"dequote" | b"macro" | b"arith" | b"syslog"))
}

fn squeezed(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|octet| !octet.is_ascii_whitespace() && *octet != b'"').collect()
}
