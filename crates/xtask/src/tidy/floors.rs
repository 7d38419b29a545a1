//! A crate uses lower floors only; a pure crate says `no_std`; every crate but `sys` forbids unsafe;
//! every dependency of ours has its line in docs/dependencies.md.

use super::Finding;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// What a crate says of itself.
struct Manifest {
    floor: i64,
    pure: bool,
    uses: Vec<String>,
}

/// Compares the floors with the real graph.
pub(super) fn check(root: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let mut crates = BTreeMap::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        crates.insert(name, read(&folder, findings)?);
    }
    for (name, manifest) in &crates {
        for used in &manifest.uses {
            if let Some(other) = crates.get(used)
                && other.floor >= manifest.floor
            {
                findings.push(Finding(format!(
                    "{name} (floor {}) uses {used} (floor {}): lower floors only",
                    manifest.floor, other.floor
                )));
            }
        }
        let face = fs::read_to_string(root.join("crates").join(name).join("src/lib.rs"))
            .or_else(|_| fs::read_to_string(root.join("crates").join(name).join("src/main.rs")))
            .with_context(|| format!("{name} has neither lib.rs nor main.rs"))?;
        if manifest.pure && !face.contains("#![no_std]") {
            findings.push(Finding(format!("{name} is pure, but its lib.rs has no #![no_std]")));
        }
        if name != "sys" && !face.contains("#![forbid(unsafe_code)]") {
            findings.push(Finding(format!("{name} does not forbid unsafe code")));
        }
    }
    dependencies(root, findings)
}

fn read(folder: &Path, findings: &mut Vec<Finding>) -> Result<Manifest> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let table: Table = text.parse().with_context(|| path.display().to_string())?;
    let ours = table
        .get("package")
        .and_then(|package| package.get("metadata"))
        .and_then(|metadata| metadata.get("ironpost"));
    let floor = ours.and_then(|ours| ours.get("floor")).and_then(Value::as_integer);
    if floor.is_none() {
        findings.push(Finding(format!("{} names no floor", path.display())));
    }
    let uses = table
        .get("dependencies")
        .and_then(Value::as_table)
        .map(|uses| uses.keys().cloned().collect())
        .unwrap_or_default();
    Ok(Manifest {
        floor: floor.unwrap_or(i64::MAX),
        pure: ours.and_then(|ours| ours.get("pure")).and_then(Value::as_bool).unwrap_or(false),
        uses,
    })
}

/// Every crate of other people in the workspace's table is in docs/dependencies.md.
fn dependencies(root: &Path, findings: &mut Vec<Finding>) -> Result<()> {
    let manifest: Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let document = fs::read_to_string(root.join("docs/dependencies.md"))
        .context("docs/dependencies.md is missing")?;
    let all = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table)
        .context("the workspace has no table of dependencies")?;
    for (name, value) in all {
        let is_ours = value.get("path").is_some();
        if !is_ours && !document.contains(&format!("| {name} |")) {
            findings.push(Finding(format!("{name} has no line in docs/dependencies.md")));
        }
    }
    Ok(())
}
