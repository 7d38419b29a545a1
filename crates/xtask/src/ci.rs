//! All that CI does, in the order of what fails fastest.

use anyhow::{Context, Result, bail};
use std::process::Command;

/// One step: a name, the arguments of cargo, the warnings of rustdoc.
struct Step(&'static str, &'static [&'static str], &'static str);

const STEPS: [Step; 7] = [
    Step("fmt", &["fmt", "--all", "--check"], ""),
    Step("tidy", &["xtask", "tidy"], ""),
    Step(
        "clippy",
        &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
        "",
    ),
    Step("doc", &["doc", "--locked", "--workspace", "--no-deps"], "-D warnings"),
    Step("test", &["test", "--locked", "--workspace", "--no-fail-fast"], ""),
    Step("siege", &["xtask", "siege", "--short"], ""),
    Step("fuzz", &["xtask", "fuzz", "10"], ""),
];

/// Runs every step; the first that fails ends the run.
///
/// # Errors
/// A step could not be started or did not succeed.
pub(crate) fn run() -> Result<()> {
    for Step(name, arguments, rustdoc) in STEPS {
        println!("== {name}: cargo {}", arguments.join(" "));
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .env("RUSTDOCFLAGS", rustdoc)
            .status()
            .with_context(|| format!("cannot start cargo for {name}"))?;
        if !status.success() {
            bail!("{name} failed");
        }
    }
    println!("== ci: every step passed");
    Ok(())
}
