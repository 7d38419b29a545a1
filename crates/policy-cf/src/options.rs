//! Options: one table for `O` lines, `-O`, `-o`, `-bO`, checks and the manual.

pub mod check;
pub mod handling;
pub mod table;

pub use check::Complaint;
pub use table::{Kind, OPTIONS, Spec};

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The options of a configuration: what the rules need in fields, everything as text by name.
#[derive(Debug, Clone)]
pub struct Options {
    /// BlankSub: what stands for a blank between words.
    pub blank_substitute: u8,
    /// ColonOkInAddr.
    pub colon_is_plain: bool,
    /// MustQuoteChars, with those that are always in.
    pub must_quote: Vec<u8>,
    /// HelpFile.
    pub help_file: Option<Vec<u8>>,
    /// AliasFile.
    pub alias_files: Vec<u8>,
    /// The operator characters are in use: set, or needed by a rule.
    pub has_operators: bool,
    /// Options of the command line: the file can't change them any more.
    pub fixed: Vec<&'static str>,
    /// Every option set, by its full name, in the words of the file.
    pub values: BTreeMap<&'static str, Vec<u8>>,
    /// The same for options that have parts (`Timeout.mail`) or may stand several times (`DaemonPortOptions`), in order:
    /// name, part, value.
    pub several: Vec<(&'static str, Vec<u8>, Vec<u8>)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            blank_substitute: b' ',
            colon_is_plain: true,
            must_quote: b"@,;:\\()[].'".to_vec(),
            help_file: None,
            alias_files: Vec::new(),
            has_operators: false,
            fixed: Vec::new(),
            values: BTreeMap::new(),
            several: Vec::new(),
        }
    }
}

/// Lines that [`Options::several`] keeps.
const SEVERAL_MAX: usize = 10_000;

const OPERATORS_AGAIN: &[u8] = b"Warning: OperatorChars is being redefined.\n         It should only be set before ruleset definitions.\n";

/// What setting an option came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    /// It is set.
    Done,
    /// The operator characters are new: the tables must be made again.
    Operators(Vec<u8>),
    /// A user is named: whether there is one is known outside.
    User(&'static str, Vec<u8>),
    /// There is no such option.
    Nothing,
}

impl Options {
    /// Whether a yes-or-no option is set to yes.
    #[must_use]
    pub fn truth(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| crate::read::values::truth(value))
    }

    /// Whether a sender who is on a list gets his own mail (`MeToo`).
    #[must_use]
    pub fn keeps_sender_in_lists(&self) -> bool {
        !self.values.contains_key("MeToo") || self.truth("MeToo")
    }

    /// Whether a flag of PrivacyOptions is set; `name` in lower case. `goaway` stands for those that keep strangers out.
    #[must_use]
    pub fn is_private(&self, name: &str) -> bool {
        let mut words = self
            .all("PrivacyOptions")
            .flat_map(|(_, value)| value.split(|octet| matches!(octet, b',' | b' ' | b'\t')));
        let is_in_goaway = !matches!(
            name,
            "restrictmailq"
                | "restrictqrun"
                | "restrictexpand"
                | "noetrn"
                | "nobodyreturn"
                | "bodyreturn"
                | "noactualrecipient"
                | "nostarttls"
                | "privatebounces"
        );
        words.any(|word| {
            word.eq_ignore_ascii_case(name.as_bytes())
                || (is_in_goaway && word.eq_ignore_ascii_case(b"goaway"))
        })
    }

    /// A number, where one is set.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        str::from_utf8(self.values.get(name)?.trim_ascii()).ok()?.parse().ok()
    }

    /// What an option was set to, each time, in order: part and value.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        let named = self.several.iter().filter(move |(known, _, _)| *known == name);
        named.map(|(_, part, value)| (part.as_slice(), value.as_slice()))
    }

    /// Sets an option from the text behind `O`: `Name=value`, ` Name=value` or `Xvalue`.
    #[expect(clippy::too_many_lines, reason = "one arm a case, as the manual lists them")]
    pub fn set(
        &mut self,
        text: &[u8],
        is_from_command_line: bool,
        complaints: &mut Vec<Complaint>,
    ) -> Set {
        let (spec, part, value) = match text.split_first() {
            Some((b' ', rest)) => {
                let rest = crate::read::chars::trim_start(rest);
                let end = rest.iter().position(|octet| *octet == b'=').unwrap_or(rest.len());
                let (name, value) = rest.split_at_checked(end).unwrap_or((rest, b""));
                let name = crate::read::chars::trim_end(name);
                let value = crate::read::chars::trim_start(value.get(1..).unwrap_or_default());
                let Some(spec) = table::by_name(name, complaints) else { return Set::Nothing };
                let dot = name.iter().position(|octet| *octet == b'.');
                let part = dot.and_then(|dot| name.get(dot.saturating_add(1)..));
                (spec, part.unwrap_or_default(), value)
            }
            Some((letter, value)) => {
                let Some(spec) = table::by_letter(*letter) else {
                    let text = alloc::format!("readcf: unknown option name 0x{letter:x}");
                    complaints.push(Complaint::System(text.into_bytes()));
                    return Set::Nothing;
                };
                (spec, b"".as_slice(), value)
            }
            None => {
                let text = b"readcf: unknown option name 0x0".to_vec();
                complaints.push(Complaint::System(text));
                return Set::Nothing;
            }
        };
        if is_from_command_line {
            self.fixed.push(spec.name);
        } else if self.fixed.contains(&spec.name) && spec.kind != Kind::Privacy {
            return Set::Nothing;
        }
        check::check(spec, part, value, complaints);
        self.values.insert(spec.name, value.to_vec());
        if matches!(
            spec.name,
            "Timeout" | "DaemonPortOptions" | "ClientPortOptions" | "PrivacyOptions"
        ) && self.several.len() < SEVERAL_MAX
        {
            self.several.push((spec.name, part.to_ascii_lowercase(), value.to_vec()));
        }
        match spec.name {
            "BlankSub" => self.blank_substitute = value.first().copied().unwrap_or(0),
            "ColonOkInAddr" => self.colon_is_plain = crate::read::values::truth(value),
            "MustQuoteChars" => {
                self.must_quote = [b"@,;:\\()[]".as_slice(), value].concat();
            }
            "HelpFile" => {
                self.help_file =
                    Some(if value.is_empty() { b"helpfile".to_vec() } else { value.to_vec() });
            }
            "AliasFile" => {
                if !self.alias_files.is_empty() {
                    self.alias_files.push(b',');
                }
                self.alias_files.extend_from_slice(value);
            }
            "OperatorChars" => {
                if self.has_operators {
                    complaints.push(Complaint::Plain(OPERATORS_AGAIN.to_vec()));
                }
                self.has_operators = true;
                return Set::Operators(crate::read::values::munch(value, 0).0);
            }
            "DefaultUser" | "RunAsUser" | "TrustedUser" => {
                return Set::User(spec.name, value.to_vec());
            }
            _ => {}
        }
        Set::Done
    }
}
