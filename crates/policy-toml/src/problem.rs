//! What is wrong in a configuration, where, and what is allowed there.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt::Write;
use std::ops::Range;

/// One thing that is wrong, or risky.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Octets of the file that it is about.
    pub span: Range<usize>,
    /// What was found.
    pub what: String,
    /// What is allowed.
    pub help: String,
    /// Risky, but not wrong.
    pub is_warning: bool,
}

/// All that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    name: String,
    text: String,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(name: &str, text: &[u8], mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        Self { name: name.into(), text: String::from_utf8_lossy(text).into_owned(), problems }
    }

    /// One problem that has no place in a file.
    pub(crate) fn of_command_line(what: String, help: &str) -> Self {
        let problem = Problem { span: 0..0, what, help: help.into(), is_warning: false };
        Self { name: String::new(), text: String::new(), problems: vec![problem] }
    }

    /// Whether nothing is wrong; warnings do not count.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.problems.iter().all(|problem| problem.is_warning)
    }

    /// `FILE:LINE:COLUMN: what` a line each, the lines of the file under it, what is allowed.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for problem in &self.problems {
            // Writing into a string does not fail.
            self.one(problem, color, &mut out).ok();
        }
        out.trim_end().to_owned()
    }

    fn one(&self, problem: &Problem, color: bool, out: &mut String) -> std::fmt::Result {
        if self.name.is_empty() {
            return writeln!(out, "{}: {}", problem.what, problem.help);
        }
        let (line, column) = self.place(problem.span.start);
        let kind = if problem.is_warning { "warning: " } else { "" };
        writeln!(out, "{}:{line}:{column}: {kind}{}", self.name, problem.what)?;
        let level = if problem.is_warning { Level::WARNING } else { Level::ERROR };
        let span = self.whole_characters(&problem.span);
        let snippet = Snippet::source(&self.text)
            .path(&self.name)
            .annotation(AnnotationKind::Primary.span(span).label(&problem.help));
        let report = [level.primary_title(&problem.what).element(snippet)];
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        writeln!(out, "{}", renderer.render(&report))
    }

    /// The span widened to whole characters of the text as it is shown: a renderer cuts there, and an octet that was not
    /// UTF-8 is three octets now.
    fn whole_characters(&self, span: &Range<usize>) -> Range<usize> {
        let is_edge = |octet: &usize| self.text.is_char_boundary(*octet);
        let length = self.text.len();
        let start = (0..=span.start.min(length)).rev().find(is_edge).unwrap_or(0);
        let end = (span.end.min(length).max(start)..=length).find(is_edge).unwrap_or(length);
        start..end
    }

    /// Line and column of an octet, both from 1; columns are characters.
    fn place(&self, octet: usize) -> (usize, usize) {
        let before = self.text.get(..octet).unwrap_or(&self.text);
        let line = before.matches('\n').count().saturating_add(1);
        let last = before.rsplit('\n').next().unwrap_or_default();
        (line, last.chars().count().saturating_add(1))
    }
}
