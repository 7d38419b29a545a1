//! Files: each opens with what it is for, stays short, has the name of a noun, and leaves nothing undone.
//!
//! The production part of a file is what stands above `#[cfg(test)]`.

use super::Finding;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of the production part of a file.
const FILE_LINES_MAX: usize = 600;

/// Lines of ARCHITECTURE.md: two pages.
const ARCHITECTURE_LINES_MAX: usize = 120;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "misc", "types", "manager"];

/// Documents that a newcomer is promised.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/spool.md",
    "docs/security.md",
    "docs/dependencies.md",
    "docs/performance.md",
    "docs/differences.md",
];

/// Checks every source file and document.
pub(super) fn check(root: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let mut files = Vec::new();
    collect(&root.join("crates"), &mut files)?;
    for path in &files {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        file(&shown, path, &text, findings);
    }
    for name in DOCUMENTS {
        if !root.join(name).is_file() {
            findings.push(Finding(format!("{name} is missing")));
        }
    }
    if let Ok(text) = fs::read_to_string(root.join("ARCHITECTURE.md"))
        && text.lines().count() > ARCHITECTURE_LINES_MAX
    {
        findings.push(Finding(format!("ARCHITECTURE.md is above {ARCHITECTURE_LINES_MAX} lines")));
    }
    Ok(())
}

/// All Rust files below a folder, in order.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn file(shown: &str, path: &Path, text: &str, findings: &mut Vec<Finding>) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if stem == "mod" || EMPTY_NAMES.contains(&stem.as_ref()) {
        findings.push(Finding(format!("{shown}: the name says nothing")));
    }
    if !text.starts_with("//!") {
        findings.push(Finding(format!("{shown}: does not open with what it is for (//!)")));
    }
    let is_test = shown.contains("/tests/") || stem == "tests";
    let production = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    if !is_test && production > FILE_LINES_MAX {
        findings.push(Finding(format!("{shown}: {production} lines, {FILE_LINES_MAX} at most")));
    }
    for (index, line) in text.lines().enumerate() {
        // Written apart, so that this file does not find itself.
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ign", "ore")] {
            if line.contains(word) {
                findings.push(Finding(format!("{shown}:{}: {word}", index.saturating_add(1))));
            }
        }
    }
}
