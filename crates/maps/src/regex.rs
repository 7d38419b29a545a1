//! Class `regex`: POSIX regular expressions. The leftmost match counts, of those the longest (POSIX); it is found with
//! automata that never go back, so no pattern and no key takes more than its length allows.
//!
//! `-n` finds what does not match, `-f` minds case, `-b` is the basic syntax, `-s1,2` selects what stands in
//! parentheses, `-d` is put between.

use policy_cf::{Answer, MapSpec, OpenFailure};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// What stands between selected parts if `-d` is not given: sendmail's own mark for `$|`.
const BETWEEN: &[u8] = &[0o232];
/// How large a compiled pattern may be, in bytes.
const COMPILED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many parts can be selected (sendmail's limit).
const PARTS_MAX: usize = 50;

/// A map of class regex.
#[derive(Debug)]
pub(crate) struct Pattern {
    first: Regex,
    /// The same up to the end of what is given.
    whole: Regex,
    longest: DFA,
    cache: Cache,
    is_negated: bool,
    selected: Option<Vec<usize>>,
    between: Vec<u8>,
}

impl Pattern {
    /// Compiles the pattern of a K line.
    ///
    /// # Errors
    /// It is not a pattern.
    pub(crate) fn open(spec: &MapSpec) -> Result<Self, OpenFailure> {
        let failure = |why: &str| OpenFailure {
            text: [b"pattern-compile-error: ", why.as_bytes()].concat(),
            class_unknown: false,
        };
        let translated = translate(&spec.rest, spec.has(b'b')).map_err(failure)?;
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true)
            .case_insensitive(!spec.keeps_case());
        let limit = Some(COMPILED_BYTES_MAX);
        let compile = |text: &str| {
            Regex::builder()
                .configure(Regex::config().utf8_empty(false).nfa_size_limit(limit))
                .syntax(syntax)
                .build(text)
                .map_err(|_| failure("Invalid regular expression"))
        };
        let first = compile(&translated)?;
        let whole = compile(&format!(r"(?:{translated})\z"))?;
        let longest = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(limit))
            .syntax(syntax)
            .build(&translated)
            .map_err(|_| failure("Invalid regular expression"))?;
        let cache = longest.create_cache();
        let selected = spec.flag(b's').map(|list| parts(list, first.captures_len()));
        let between = spec.flag(b'd').unwrap_or(BETWEEN).to_vec();
        Ok(Self { first, whole, longest, cache, is_negated: spec.has(b'n'), selected, between })
    }

    /// Matches a key.
    pub(crate) fn lookup(&mut self, key: &[u8]) -> Answer {
        let found = self.first.find(key);
        if self.is_negated {
            return if found.is_none() { Answer::Found(Vec::new()) } else { Answer::NotFound(0) };
        }
        let Some(found) = found else { return Answer::NotFound(0) };
        let Some(selected) = &self.selected else { return Answer::Found(Vec::new()) };
        let anchored = Input::new(key).range(found.start()..).anchored(Anchored::Yes);
        let longest = self.longest.try_search_fwd(&mut self.cache, &anchored).ok().flatten();
        let end = longest.map_or(found.end(), |longest| longest.offset());
        // Of the ways to match as much as this, take the parts of the one that is tried first.
        let mut captures = self.first.create_captures();
        self.first.captures(
            Input::new(key).range(found.start()..).anchored(Anchored::Yes),
            &mut captures,
        );
        if captures.get_match().is_none_or(|whole| whole.end() != end) {
            let shorter = key.get(..end).unwrap_or_default();
            self.whole.captures(
                Input::new(shorter).range(found.start()..).anchored(Anchored::Yes),
                &mut captures,
            );
        }
        let mut value = Vec::new();
        for (index, part) in selected.iter().enumerate() {
            if index > 0 {
                value.extend_from_slice(&self.between);
            }
            let span = captures.get_group(*part);
            value
                .extend_from_slice(span.and_then(|span| key.get(span.range())).unwrap_or_default());
        }
        Answer::Found(value)
    }
}

/// The numbers of `-s`: those in the list, or all.
fn parts(list: &[u8], count: usize) -> Vec<usize> {
    let listed: Vec<usize> = list
        .split(|&octet| octet == b',')
        .filter_map(|word| str::from_utf8(word).ok()?.trim().parse().ok())
        .filter(|&part| part < count)
        .take(PARTS_MAX)
        .collect();
    if listed.is_empty() { (1..count.min(PARTS_MAX)).collect() } else { listed }
}

/// Writes a POSIX pattern in the syntax of the engine.
fn translate(pattern: &[u8], is_basic: bool) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut open: usize = 0;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        match octet {
            b'[' => rest = bracket(rest, &mut out)?,
            b'\\' => {
                let (&next, behind) = rest.split_first().ok_or("Trailing backslash")?;
                rest = behind;
                match interval(rest, br"\}") {
                    Some((text, behind)) if next == b'{' && is_basic => {
                        out.push_str(&text);
                        rest = behind;
                    }
                    _ => escaped(next, is_basic, &mut out)?,
                }
            }
            b'(' | b')' | b'{' | b'}' | b'|' | b'+' | b'?' if is_basic => literal(octet, &mut out),
            b'(' => {
                open = open.saturating_add(1);
                out.push('(');
            }
            b')' => {
                open = open.checked_sub(1).ok_or("Unmatched ) or \\)")?;
                out.push(')');
            }
            b'*' if is_basic && out.is_empty() => literal(octet, &mut out),
            b'{' => match interval(rest, b"}") {
                Some((text, behind)) => {
                    out.push_str(&text);
                    rest = behind;
                }
                None => literal(octet, &mut out),
            },
            b'|' | b'+' | b'?' | b'*' | b'.' | b'^' | b'$' => {
                out.push(char::from(octet));
            }
            _ => literal(octet, &mut out),
        }
    }
    if open > 0 { Err("Unmatched ( or \\(") } else { Ok(out) }
}

/// An interval behind its brace, `1,3` up to `end`, and what stands behind it.
fn interval<'a>(rest: &'a [u8], end: &[u8]) -> Option<(String, &'a [u8])> {
    let at = rest.windows(end.len()).position(|part| part == end)?;
    let (inside, behind) = rest.split_at_checked(at)?;
    let inside = str::from_utf8(inside).ok()?;
    let (low, high) =
        inside.split_once(',').map_or((inside, None), |(low, high)| (low, Some(high)));
    let is_number = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number(low)
        || !high.is_none_or(is_number)
        || (low.is_empty() && high.is_none_or(str::is_empty))
    {
        return None;
    }
    let low = if low.is_empty() { "0" } else { low };
    let text = high.map_or_else(|| format!("{{{low}}}"), |high| format!("{{{low},{high}}}"));
    Some((text, behind.strip_prefix(end).unwrap_or_default()))
}

fn escaped(octet: u8, is_basic: bool, out: &mut String) -> Result<(), &'static str> {
    match octet {
        b'(' | b')' | b'|' | b'+' | b'?' if is_basic => out.push(char::from(octet)),
        b'1'..=b'9' => return Err("Invalid back reference"),
        b'w' => out.push_str("[[:alnum:]_]"),
        b'W' => out.push_str("[^[:alnum:]_]"),
        b's' => out.push_str("[[:space:]]"),
        b'S' => out.push_str("[^[:space:]]"),
        b'b' | b'B' => out.extend(['\\', char::from(octet)]),
        b'<' => out.push_str(r"\b{start}"),
        b'>' => out.push_str(r"\b{end}"),
        b'`' => out.push_str(r"\A"),
        b'\'' => out.push_str(r"\z"),
        _ => literal(octet, out),
    }
    Ok(())
}

fn literal(octet: u8, out: &mut String) {
    use std::fmt::Write;
    if octet.is_ascii_alphanumeric() {
        out.push(char::from(octet));
    } else {
        // Writing to a string does not fail.
        let _written = write!(out, "\\x{octet:02x}");
    }
}

/// Copies what stands in brackets; gives what is behind them.
fn bracket<'a>(inside: &'a [u8], out: &mut String) -> Result<&'a [u8], &'static str> {
    const UNMATCHED: &str = "Unmatched [, [^, [:, [., or [=";
    out.push('[');
    let mut rest = inside;
    if let Some(behind) = rest.strip_prefix(b"^") {
        out.push('^');
        rest = behind;
    }
    if rest.is_empty() {
        return Err("Invalid regular expression");
    }
    let mut is_first = true;
    loop {
        let (&octet, behind) = rest.split_first().ok_or(UNMATCHED)?;
        match (octet, behind.first()) {
            (b']', _) if !is_first => {
                out.push(']');
                return Ok(behind);
            }
            (b'[', Some(b':')) => {
                let end = behind.windows(2).position(|two| two == b":]").ok_or(UNMATCHED)?;
                let name = behind
                    .get(1..end)
                    .and_then(|name| str::from_utf8(name).ok())
                    .unwrap_or_default();
                if !name.bytes().all(|octet| octet.is_ascii_lowercase()) {
                    return Err("Invalid character class name");
                }
                out.push_str("[:");
                out.push_str(name);
                out.push_str(":]");
                rest = behind.get(end.saturating_add(2)..).unwrap_or_default();
            }
            (b'-', Some(&next)) if !is_first && next != b']' => {
                out.push('-');
                rest = behind;
            }
            _ => {
                literal(octet, out);
                rest = behind;
            }
        }
        is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(flags: &[(u8, &str)], pattern: &str) -> Pattern {
        let flags =
            flags.iter().map(|(letter, value)| (*letter, value.as_bytes().into())).collect();
        let spec = MapSpec {
            name: (*b"r").into(),
            class: (*b"regex").into(),
            flags,
            rest: pattern.as_bytes().into(),
        };
        Pattern::open(&spec).unwrap()
    }

    #[test]
    fn the_longest_of_the_leftmost_counts() {
        let mut map = map(&[(b's', "0")], "a|ab|abc");
        assert_eq!(map.lookup(b"xabcd"), Answer::Found(b"abc".to_vec()));
    }

    #[test]
    fn selected_parts_are_joined() {
        let mut map = map(&[(b's', "1,2"), (b'd', ";")], "^([a-z]+)@([a-z.]+)$");
        assert_eq!(map.lookup(b"user@host.test"), Answer::Found(b"user;host.test".to_vec()));
        assert_eq!(map.lookup(b"user"), Answer::NotFound(0));
    }

    #[test]
    fn brackets_are_posix() {
        assert_eq!(map(&[], r"^[]\a-]+$").lookup(br"a\]-"), Answer::Found(Vec::new()));
        assert_eq!(map(&[], "^[[:digit:]]{2}$").lookup(b"42"), Answer::Found(Vec::new()));
        assert_eq!(
            map(&[], r"^(([0-9]{1,3}\.){3}[0-9]){0,1}\.$").lookup(b"10.2.3.4."),
            Answer::Found(Vec::new())
        );
        assert_eq!(map(&[(b'b', "")], r"^a\{2,\}{$").lookup(b"aaa{"), Answer::Found(Vec::new()));
        assert_eq!(map(&[(b'b', "")], r"^a+\(b\)$").lookup(b"a+b"), Answer::Found(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_and_any_key_end(pattern in "[\\[\\](){}|*+?^$.\\\\a-c1:,-]{0,24}", key in "[a-c1:]{0,40}") {
            let spec = MapSpec { rest: pattern.as_bytes().into(), flags: vec![(b's', Box::default())], ..MapSpec::default() };
            if let Ok(mut map) = Pattern::open(&spec) { map.lookup(key.as_bytes()); }
        }
    }
}
