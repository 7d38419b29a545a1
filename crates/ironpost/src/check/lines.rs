//! What the lines of a sendmail.cf say by themselves: options and their names, macros that nobody sets, rule sets that
//! are called and not there.

use super::finding::{Finding, Level, Place};
use policy_cf::machine::Machine;
use policy_cf::options::handling::{self, Handling};
use policy_cf::options::{OPTIONS, table};
use policy_cf::read::lines::Lines;
use std::collections::BTreeSet;
use wire::escape;

/// Macros of one letter that sendmail sets while it works, or that stock configurations leave to whoever needs them.
const LETTERS_OF_SENDMAIL: &[u8] = b"_abcdefghijklmnopqrstuvwxyz";

/// Macros with long names that sendmail sets while it works (manual, section 5.2).
const NAMES_OF_SENDMAIL: &[&str] = &[
    "addr_type",
    "alg_bits",
    "auth_authen",
    "auth_author",
    "auth_ssf",
    "auth_type",
    "bodytype",
    "cert_altnames",
    "cert_fp",
    "cert_issuer",
    "cert_md5",
    "cert_subject",
    "cipher",
    "cipher_bits",
    "client_addr",
    "client_connections",
    "client_flags",
    "client_name",
    "client_port",
    "client_ptr",
    "client_rate",
    "client_resolve",
    "cn_issuer",
    "cn_subject",
    "crlpath",
    "currHeader",
    "daemon_addr",
    "daemon_family",
    "daemon_flags",
    "daemon_info",
    "daemon_name",
    "daemon_port",
    "deliveryMode",
    "dsn_envid",
    "dsn_notify",
    "dsn_ret",
    "envid",
    "hdr_name",
    "hdrlen",
    "if_addr",
    "if_addr_out",
    "if_family",
    "if_family_out",
    "if_name",
    "if_name_out",
    "load_avg",
    "mail_addr",
    "mail_from",
    "mail_host",
    "mail_mailer",
    "msg_id",
    "msg_size",
    "nbadrcpts",
    "nrcpts",
    "ntries",
    "opMode",
    "quarantine",
    "queue_interval",
    "rcpt_addr",
    "rcpt_flags",
    "rcpt_host",
    "rcpt_mailer",
    "sendmailMTACluster",
    "server_addr",
    "server_name",
    "sts_sni",
    "time",
    "tls_version",
    "total_rate",
    "verify",
    "persistentMacros",
    "tls_names",
    "dane",
    "sts",
    "rcpt",
    "status",
];

/// At most this many findings of one kind: a file that is no sendmail.cf must not fill the screen.
pub(super) const FINDINGS_MAX: usize = 200;

/// Looks at every line.
pub(super) fn check(machine: &mut Machine<'_>, file: &[u8], findings: &mut Vec<Finding>) {
    let known = names_set_by_rules(file);
    let defined = sets_defined(file);
    let mut told = BTreeSet::new();
    for line in Lines::new(file) {
        let Some((kind, _)) = line.text.split_first() else { continue };
        let at = |offset: usize| place(&line.text, line.first, offset);
        match kind {
            b'O' => option(&line.text, &at, findings),
            b'R' | b'D' | b'M' | b'H' | b'S' | b'K' => {
                let active = active_part(*kind, &line.text);
                for used in uses(active) {
                    macro_use(machine, &known, &mut told, &used, &at, findings);
                }
                if *kind == b'R' {
                    calls(machine, &defined, active, &at, findings);
                }
            }
            _ => {}
        }
        if findings.len() > FINDINGS_MAX {
            return;
        }
    }
}

/// The place of an octet of a line that may go over several.
fn place(text: &[u8], first: u32, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let ends = before.split(|octet| *octet == b'\n').count().saturating_sub(1);
    let start =
        before.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end.saturating_add(1));
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Place {
        line: first.saturating_add(number(ends)),
        column: number(offset.saturating_sub(start)).saturating_add(1),
    }
}

/// A line without its comment: behind the second run of tabs in a rule, behind `#` in others.
fn active_part(kind: u8, text: &[u8]) -> &[u8] {
    if kind == b'R' {
        let Some(tab) = text.iter().position(|octet| *octet == b'\t') else { return text };
        let behind = text.get(tab..).unwrap_or_default();
        let skip = behind.iter().take_while(|octet| **octet == b'\t').count();
        let from = tab.saturating_add(skip);
        let right = text.get(from..).unwrap_or_default();
        let length = right.iter().position(|octet| *octet == b'\t').unwrap_or(right.len());
        return text.get(..from.saturating_add(length)).unwrap_or(text);
    }
    let mut last = 0;
    let is_comment = |octet: u8| {
        let comment = octet == b'#' && last != b'$' && last != b'\\';
        last = octet;
        comment
    };
    let end = text.iter().copied().position(is_comment);
    text.get(..end.unwrap_or(text.len())).unwrap_or(text)
}

fn option(text: &[u8], at: &dyn Fn(usize) -> Place, findings: &mut Vec<Finding>) {
    let Some(rest) = text.strip_prefix(b"O ") else { return };
    let skip = rest.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    let rest = rest.get(skip..).unwrap_or_default();
    let end = rest.iter().position(|octet| matches!(octet, b'=' | b'#')).unwrap_or(rest.len());
    let name = rest.get(..end).unwrap_or_default().trim_ascii_end();
    let head = name.split(|octet| *octet == b'.').next().unwrap_or_default();
    let here = at(skip.saturating_add(2));
    let Some(spec) = table::by_name(name, &mut Vec::new()) else {
        let what = format!("there is no option {}", escape::text(name));
        let hint = match nearest(head) {
            Some(near) => format!("did you mean {near}?"),
            None => "the manual, section 5.6, lists them all".to_owned(),
        };
        findings.push(Finding::at(Level::Error, here, what, &hint));
        return;
    };
    if let Some((name, handling, instead)) = handling::of(spec.name) {
        let (level, word) = match handling {
            Handling::NotNeeded => (Level::Note, "is not needed"),
            Handling::Refused => (Level::Note, "is not obeyed"),
        };
        findings.push(Finding::at(level, here, format!("option {name} {word}"), instead));
    }
    let value = rest.get(end.saturating_add(1)..).unwrap_or_default().trim_ascii();
    if spec.name == "SuperSafe"
        && !matches!(value.first(), None | Some(b't' | b'T' | b'y' | b'Y' | b'1'))
    {
        let what = format!("option SuperSafe={} is not obeyed", escape::text(value));
        let hint = "a message is on the disk before it is taken, always";
        findings.push(Finding::at(Level::Note, here, what, hint));
    }
}

/// The name that is most like a wrong one, if any is near.
fn nearest(wrong: &[u8]) -> Option<&'static str> {
    let folded = wrong.to_ascii_lowercase();
    let near = |name: &str| distance(&folded, name.to_ascii_lowercase().as_bytes());
    let best = OPTIONS.iter().map(|spec| (near(spec.name), spec.name)).min()?;
    (best.0 <= wrong.len().div_ceil(3).max(2)).then_some(best.1)
}

/// Insertions, deletions and changes between two names (Levenshtein); long ones are cut.
fn distance(one: &[u8], other: &[u8]) -> usize {
    const NAME_MAX: usize = 64;
    let one = one.get(..NAME_MAX).unwrap_or(one);
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, octet) in one.iter().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        let mut next = vec![left];
        for (column, wanted) in other.iter().enumerate() {
            let above = row.get(column.saturating_add(1)).copied().unwrap_or(usize::MAX);
            let change = diagonal.saturating_add(usize::from(octet != wanted));
            left = change.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// One macro in a line.
struct Use<'a> {
    name: &'a [u8],
    offset: usize,
}

/// The macros that a text asks for the value of, without those that it asks whether they are set (`$?x`).
fn uses(text: &[u8]) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    let mut guarded = BTreeSet::new();
    let mut at = 0_usize;
    while let Some(octet) = text.get(at) {
        let from = at;
        at = at.saturating_add(1);
        if *octet != b'$' {
            continue;
        }
        let operator = text.get(at).copied();
        let is_guard = operator == Some(b'?');
        if matches!(operator, Some(b'&' | b'?')) {
            at = at.saturating_add(1);
        } else if matches!(operator, Some(b'=' | b'~')) {
            // A class: what follows is its name.
            at = at.saturating_add(1);
            at = at.saturating_add(name_at(text, at).map_or(0, |(_, taken)| taken));
            continue;
        }
        let Some((name, taken)) = name_at(text, at) else {
            at = at.saturating_add(usize::from(operator == Some(b'$')));
            continue;
        };
        at = at.saturating_add(taken);
        if is_guard {
            guarded.insert(name);
        } else {
            found.push(Use { name, offset: from });
        }
    }
    found.retain(|used| !guarded.contains(used.name));
    found
}

/// The name at a place, braces off, and how long it is with them.
fn name_at(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = text.get(at..)?;
    match rest.split_first()? {
        (b'{', behind) => {
            let end = behind.iter().position(|octet| *octet == b'}')?;
            Some((behind.get(..end)?, end.saturating_add(2)))
        }
        (octet, _) if octet.is_ascii_alphabetic() || *octet == b'_' => Some((rest.get(..1)?, 1)),
        _ => None,
    }
}

/// The names that rules set by themselves: `$(macro {Name} $@ value $)`, whatever the map is called.
fn names_set_by_rules(file: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for line in Lines::new(file).filter(|line| line.text.first() == Some(&b'R')) {
        let text = line.text.as_slice();
        for (at, _) in text.windows(2).enumerate().filter(|(_, pair)| *pair == b"$(") {
            let rest = text.get(at.saturating_add(2)..).unwrap_or_default().trim_ascii_start();
            let word = rest.iter().take_while(|octet| !octet.is_ascii_whitespace()).count();
            let key = rest.get(word..).unwrap_or_default().trim_ascii_start();
            if let Some((name, _)) = name_at(key, 0) {
                names.insert(name.to_vec());
            }
        }
    }
    names
}

fn macro_use(
    machine: &Machine<'_>,
    known: &BTreeSet<Vec<u8>>,
    told: &mut BTreeSet<Vec<u8>>,
    used: &Use<'_>,
    at: &dyn Fn(usize) -> Place,
    findings: &mut Vec<Finding>,
) {
    let macros = &machine.config.macros;
    let is_set = match used.name {
        [letter] => LETTERS_OF_SENDMAIL.contains(letter) || macros.value(*letter).is_some(),
        name => {
            NAMES_OF_SENDMAIL.iter().any(|known| known.as_bytes() == name)
                || macros.value_named(name).is_some()
        }
    };
    // Capital letters are the owner's: stock rules test many of them for being empty.
    let is_capital = matches!(used.name, [letter] if letter.is_ascii_uppercase());
    if is_set || is_capital || known.contains(used.name) || !told.insert(used.name.to_vec()) {
        return;
    }
    let what = format!("macro {} is used, and nothing sets it", escape::text(used.name));
    let hint = "it is always empty; set it with a D line, or correct its name";
    findings.push(Finding::at(Level::Warning, at(used.offset), what, hint));
}

/// The names of all S lines, in small letters.
fn sets_defined(file: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = Lines::new(file).filter(|line| line.text.first() == Some(&b'S'));
    let names = lines.map(|line| {
        let name = line.text.get(1..).unwrap_or_default().trim_ascii();
        set_name(name).to_ascii_lowercase()
    });
    names.collect()
}

fn set_name(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|octet| octet.is_ascii_alphanumeric() || **octet == b'_');
    text.get(..length.count()).unwrap_or_default()
}

/// `$>name` where no S line and no number of one has that name.
fn calls(
    machine: &Machine<'_>,
    defined: &BTreeSet<Vec<u8>>,
    text: &[u8],
    at: &dyn Fn(usize) -> Place,
    findings: &mut Vec<Finding>,
) {
    for (offset, _) in text.windows(2).enumerate().filter(|(_, pair)| *pair == b"$>") {
        let rest = text.get(offset.saturating_add(2)..).unwrap_or_default().trim_ascii_start();
        let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
        let name = set_name(rest);
        let is_number = name.first().is_some_and(u8::is_ascii_digit);
        if name.is_empty() || defined.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        let found = machine.config.sets.find(name);
        if found.number.is_some_and(|number| !machine.config.sets.of(number).is_empty()) {
            continue;
        }
        let shown = escape::text(name);
        let what = format!("rule set {shown} is called, and there is none");
        let finding = if is_number || found.number.is_some() {
            let hint = "the call does nothing";
            Finding::at(Level::Note, at(offset), what, hint)
        } else {
            let hint = format!("sendmail says \"Unknown ruleset {shown}\" when this rule fires");
            Finding::at(Level::Warning, at(offset), what, &hint)
        };
        findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_option_is_one_that_differs_by_little() {
        assert_eq!(nearest(b"MaxMesageSize"), Some("MaxMessageSize"));
        assert_eq!(nearest(b"Zzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn macros_that_are_asked_for_first_are_not_used_blindly() {
        let names =
            |text: &'static [u8]| uses(text).iter().map(|used| used.name).collect::<Vec<_>>();
        assert_eq!(names(b"R$* $=w $&{one} ${two}$1\t$>x $j"), [b"one".as_slice(), b"two", b"j"]);
        assert!(names(b"D{x}$?{auth}by ${auth}$.").is_empty());
        assert!(names(b"$$x $# $@ $: $| $. $[ $]").is_empty());
    }
}
