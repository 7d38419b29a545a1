//! An explanation in words: one sentence that says what comes of it, then what ran, indented by who called whom.
//!
//! Everything from outside is escaped: neither an address nor a map may speak to the terminal.

use super::landing::{End, Landing};
use super::source::Source;
use super::steps::{Blamed, Cause, RuleRun, SetRun, Step};
use super::trial::{Explanation, Outcome, Refused, Stage, Way};
use policy_cf::machine::Said;
use std::fmt::Write;
use wire::escape;

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Show {
    /// Colours of a terminal.
    pub(crate) is_coloured: bool,
    /// Also what changed nothing.
    pub(crate) is_verbose: bool,
}

/// Deeper levels are not indented further: the terminal is narrow.
const INDENT_MAX: usize = 40;
/// Answers of maps that are listed at the top.
const ANSWERS_MAX: usize = 20;

/// What a piece of text is.
#[derive(Debug, Clone, Copy)]
enum Ink {
    Good,
    Bad,
    Head,
    Place,
    Map,
    Value,
}

impl Show {
    fn ink(self, ink: Ink, text: &str) -> String {
        if !self.is_coloured {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "1;32",
            Ink::Bad => "1;31",
            Ink::Head => "1;36",
            Ink::Place => "2",
            Ink::Map => "33",
            Ink::Value => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Text of outside, safe to show; an empty one is said to be empty.
pub(crate) fn safe(text: &[u8]) -> String {
    if text.is_empty() { "(nothing)".into() } else { escape::text(text).to_string() }
}

fn shown(address: &[u8]) -> String {
    if address.is_empty() { "<>".into() } else { escape::text(address).to_string() }
}

/// The sentence without colour and without the places of rules: what two configurations are compared by.
pub(crate) fn verdict(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Goes(way) => going(way, Show { is_coloured: false, is_verbose: false }),
        Outcome::Refused(refused) => {
            format!("is refused: {}, by {}", safe(&refused.reply), refused.by)
        }
        Outcome::Discarded(refused) => format!("is taken and thrown away, by {}", refused.by),
    }
}

/// The sentence that comes first.
pub(crate) fn summary(explanation: &Explanation, source: &Source, show: Show) -> String {
    tell(&explanation.address, &explanation.outcome, Some(source), show)
}

/// The same where there are no rules to name.
pub(crate) fn sentence(address: &[u8], outcome: &Outcome, show: Show) -> String {
    tell(address, outcome, None, show)
}

fn tell(address: &[u8], outcome: &Outcome, source: Option<&Source>, show: Show) -> String {
    let address = show.ink(Ink::Value, &shown(address));
    format!("mail to {address} {}", ending(outcome, source, show))
}

fn ending(outcome: &Outcome, source: Option<&Source>, show: Show) -> String {
    match outcome {
        Outcome::Goes(way) => going(way, show),
        Outcome::Refused(refused) => {
            let is_temporary = refused.reply.first() == Some(&b'4');
            let word = if is_temporary { "refused for now" } else { "refused" };
            let reply = show.ink(Ink::Value, &safe(&refused.reply));
            format!("is {}: {reply}, {}", show.ink(Ink::Bad, word), blame(refused, source, show))
        }
        Outcome::Discarded(refused) => {
            let word = show.ink(Ink::Bad, "thrown away");
            format!("is taken and {word}, {}", blame(refused, source, show))
        }
    }
}

/// What one configuration says and what the other does.
pub(crate) fn difference(
    one: &Explanation,
    source: &Source,
    two: &Explanation,
    other_source: &Source,
    show: Show,
) -> String {
    let address = show.ink(Ink::Value, &shown(&one.address));
    let before = ending(&one.outcome, Some(source), show);
    let after = ending(&two.outcome, Some(other_source), show);
    format!("{address}\n  - {before}\n  + {after}\n")
}

fn going(way: &Way, show: Show) -> String {
    let value = |text: &[u8]| show.ink(Ink::Value, &safe(text));
    if let Some(aliases) = &way.aliases {
        let user = value(&way.user);
        return format!("{} an alias: {user} is {}", show.ink(Ink::Good, "is"), value(aliases));
    }
    let mut out = format!("{} by mailer {}", show.ink(Ink::Good, "goes"), value(&way.mailer));
    if !way.landings.is_empty() {
        let user = value(&way.user);
        return format!("{} on from there: {user} has it forwarded", show.ink(Ink::Good, "goes"));
    }
    if let Some(host) = &way.host {
        out.push_str(" to host ");
        out.push_str(&value(host));
    }
    out.push_str(" as user ");
    out.push_str(&value(&way.user));
    if way.is_deferred {
        out.push_str(", later: a map can't answer now");
    }
    if let Some(why) = &way.quarantine {
        out.push_str(", but waits in quarantine: ");
        out.push_str(&value(why));
    }
    out
}

/// By which stage, which rule, and because of which map.
fn blame(refused: &Refused, source: Option<&Source>, show: Show) -> String {
    let mut out = format!("by {}", refused.by);
    let Some(Cause { line, map, .. }) = &refused.cause else { return out };
    if let Some(source) = source
        && *line > 0
    {
        out.push_str(", rule at ");
        out.push_str(&show.ink(Ink::Value, &place(source, *line)));
    }
    let Some(Blamed { map, key, value, trouble }) = map else { return out };
    let [map, key] = [map, key].map(|text| show.ink(Ink::Map, &safe(text)));
    // Writing into a string does not fail.
    match value {
        Some(value) => {
            let value = show.ink(Ink::Map, &safe(value));
            write!(out, ", because map {map} said {value} for key {key}").ok();
        }
        None => {
            write!(out, ", because map {map} can't answer now for key {key}").ok();
        }
    }
    if let Some(trouble) = trouble {
        write!(out, " ({})", escape::text(trouble)).ok();
    }
    out
}

fn place(source: &Source, line: u32) -> String {
    format!("{}:{line}", escape::text(source.short_name()))
}

/// The sentence and everything under it.
pub(crate) fn whole(explanation: &Explanation, source: &Source, show: Show) -> String {
    let mut page = Page { out: String::new(), source, show };
    page.out.push_str(&summary(explanation, source, show));
    page.out.push('\n');
    page.more(&explanation.outcome);
    page.answers(&explanation.stages);
    for stage in &explanation.stages {
        if stage.is_aside && !show.is_verbose {
            continue;
        }
        page.stage(stage);
        if !show.is_verbose && explanation.outcome.ended_at(stage.name) {
            break;
        }
    }
    page.out
}

/// What is being written.
struct Page<'a> {
    out: String,
    source: &'a Source,
    show: Show,
}

impl Page<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let width = depth.saturating_mul(2).min(INDENT_MAX);
        writeln!(self.out, "{:width$}{text}", "").ok();
    }

    /// What the sentence leaves out.
    fn more(&mut self, outcome: &Outcome) {
        let Outcome::Goes(way) = outcome else {
            return;
        };
        if !way.program.is_empty() && way.landings.is_empty() {
            match way.program.as_slice() {
                b"[IPC]" | b"[TCP]" => self.line(1, "over the network"),
                b"[FILE]" => self.line(1, "into a file"),
                program => self.line(1, &format!("to the program {}", safe(program))),
            }
        }
        if let Some(sender) = &way.sender {
            self.line(1, &format!("from {}", safe(sender)));
        }
        for landing in &way.landings {
            let text = self.landing(landing);
            self.line(1, &text);
        }
        if way.untold > 0 {
            self.line(1, &format!("and {} more", way.untold));
        }
    }

    fn landing(&self, landing: &Landing) -> String {
        let name = self.show.ink(Ink::Value, &safe(&landing.address));
        match &landing.end {
            End::Goes { mailer, host, user } => {
                let host = host
                    .as_ref()
                    .map_or_else(String::new, |host| format!(" to host {}", safe(host)));
                format!("to {name}: by mailer {}{host} as user {}", safe(mailer), safe(user))
            }
            End::Refused(reply) => {
                let refused = self.show.ink(Ink::Bad, "refused");
                format!("to {name}: {refused}: {}", safe(reply))
            }
            End::Waits => format!("to {name}: later: something can't be read now"),
        }
    }

    /// What maps had to say, each answer once: often all that one wants to know.
    fn answers(&mut self, stages: &[Stage]) {
        let mut found = Vec::new();
        for stage in stages.iter().filter(|stage| !stage.is_aside) {
            answers_of(&stage.steps, &mut found);
        }
        for (map, key, said) in found {
            self.asked(map, key, said, 1);
        }
    }

    /// A stage that is one rule set is shown as that; others name what they resolve.
    fn stage(&mut self, stage: &Stage) {
        self.out.push('\n');
        let head = self.show.ink(Ink::Head, stage.name);
        let only = match stage.steps.as_slice() {
            [Step::Set(run)] if run.name == stage.name.as_bytes() => Some(run),
            _ => None,
        };
        let end = only.and_then(|run| run.output.as_deref());
        let end = end.map_or_else(String::new, |end| format!(" -> {}", safe(end)));
        self.line(0, &format!("{head}  {}{end}", escape::text(&stage.input)));
        let before = self.out.len();
        self.steps(only.map_or(&stage.steps, |run| &run.steps), 1);
        if self.out.len() == before {
            self.line(1, "no rule changed anything");
        }
    }

    fn steps(&mut self, steps: &[Step], depth: usize) {
        for step in steps {
            match step {
                Step::Set(run) => self.set(run, depth),
                Step::Rule(run) => self.rule(run, depth),
                Step::Asked(map, key, said) => self.asked(map, key, said, depth),
                Step::Computed(map, key, said) => {
                    if self.show.is_verbose {
                        self.asked(map, key, said, depth);
                    }
                }
                Step::Said(text) => self.line(depth, &format!("said: {}", safe(text))),
            }
        }
    }

    fn set(&mut self, run: &SetRun, depth: usize) {
        if !self.show.is_verbose && !run.steps.iter().any(is_telling) {
            return;
        }
        let name = self.show.ink(Ink::Head, &safe(&run.name));
        let arrow = match &run.output {
            Some(output) if *output == run.input => "unchanged".to_owned(),
            Some(output) => format!("-> {}", safe(output)),
            None => "left in the middle".to_owned(),
        };
        self.line(depth, &format!("rule set {name}  {} {arrow}", safe(&run.input)));
        self.steps(&run.steps, depth.saturating_add(1));
    }

    fn rule(&mut self, run: &RuleRun, depth: usize) {
        if !self.show.is_verbose && !run.changed() && !run.steps.iter().any(is_telling) {
            return;
        }
        let at = self.show.ink(Ink::Place, &place(self.source, run.line));
        self.line(depth, &format!("{at}  {}", rule_text(&run.text)));
        let depth = depth.saturating_add(1);
        if self.show.is_verbose {
            self.line(depth, &format!("matched {}", safe(&run.before)));
        }
        self.steps(&run.steps, depth);
        let after = match &run.after {
            Some(after) => format!("=> {}", safe(after)),
            None => "=> failed".to_owned(),
        };
        self.line(depth, &after);
    }

    fn asked(&mut self, map: &[u8], key: &[u8], said: &Said, depth: usize) {
        let answer = match said {
            Said::Found(value) => {
                self.show.ink(Ink::Value, &format!("said \"{}\"", escape::text(value)))
            }
            Said::NotFound => "not found".to_owned(),
            Said::TemporaryFailure => self.show.ink(Ink::Bad, "can't say now"),
        };
        let map = self.show.ink(Ink::Map, &safe(map));
        self.line(depth, &format!("map {map}: \"{}\" {answer}", escape::text(key)));
    }
}

type Answered<'a> = (&'a [u8], &'a [u8], &'a Said);

fn answers_of<'a>(steps: &'a [Step], found: &mut Vec<Answered<'a>>) {
    for step in steps {
        match step {
            Step::Set(run) => answers_of(&run.steps, found),
            Step::Rule(run) => answers_of(&run.steps, found),
            Step::Asked(map, key, said) if *said != Said::NotFound => {
                let answer = (map.as_slice(), key.as_slice(), said);
                if found.len() < ANSWERS_MAX && !found.contains(&answer) {
                    found.push(answer);
                }
            }
            Step::Asked(..) | Step::Computed(..) | Step::Said(_) => {}
        }
    }
}

/// Whether a step says anything to who does not want everything.
fn is_telling(step: &Step) -> bool {
    match step {
        Step::Set(run) => run.steps.iter().any(is_telling),
        Step::Rule(run) => run.changed() || run.steps.iter().any(is_telling),
        Step::Asked(..) | Step::Said(_) => true,
        Step::Computed(..) => false,
    }
}

/// A rule's text: the tabs between its parts become blanks.
fn rule_text(text: &[u8]) -> String {
    let parts = text.split(|octet| matches!(octet, b'\t' | b'\n')).filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(|part| escape::text(part).to_string()).collect();
    parts.join("   ")
}
