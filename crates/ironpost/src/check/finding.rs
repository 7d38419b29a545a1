//! One thing that `ironpost check` has to say of a sendmail.cf: where, what, and what to do.

use crate::mailq::quoted;
use wire::escape;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// It does not work.
    Error,
    /// It works otherwise than it looks, or is dangerous.
    Warning,
    /// Good to know; shown to who asks for everything.
    Note,
}

impl Level {
    /// Its word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place in the file: line and column, from 1; line 0: the file as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) place: Place,
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Finding {
    /// About a place in the file.
    pub(crate) fn at(level: Level, place: Place, what: String, hint: &str) -> Self {
        Self { level, place, what, hint: hint.to_owned() }
    }

    /// `FILE:LINE:COLUMN: level: what` and the hint under it.
    pub(crate) fn text(&self, name: &[u8], is_coloured: bool) -> String {
        let Place { line, column } = self.place;
        let name = escape::text(name);
        let at = if line == 0 { format!("{name}") } else { format!("{name}:{line}:{column}") };
        let word = self.level.word();
        let (begin, end) = match self.level {
            _ if !is_coloured => ("", ""),
            Level::Error => ("\x1b[1;31m", "\x1b[0m"),
            Level::Warning => ("\x1b[1;33m", "\x1b[0m"),
            Level::Note => ("\x1b[1;36m", "\x1b[0m"),
        };
        format!("{at}: {begin}{word}:{end} {}\n    {}\n", self.what, self.hint)
    }

    /// The same as an object.
    pub(crate) fn json(&self) -> String {
        format!(
            r#"{{"level":"{}","line":{},"column":{},"what":{},"hint":{}}}"#,
            self.level.word(),
            self.place.line,
            self.place.column,
            quoted(self.what.as_bytes()),
            quoted(self.hint.as_bytes())
        )
    }
}
