//! The one development tool: `cargo xtask ci | tidy | bench`.
//!
//! `ci` is all that CI does; `tidy` holds the project to what ARCHITECTURE.md promises; `bench`
//! measures the figures of docs/performance.md.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a development tool speaks to its user"
)]

mod bench_rules;
mod bench_spool;
mod ci;
mod fuzz;
mod siege;
mod sink;
mod tidy;

use anyhow::{Result, bail};
use std::path::PathBuf;

const USAGE: &str = "usage: cargo xtask COMMAND

  ci      fmt, tidy, clippy, tests, docs: all that CI does
  tidy    floors, purity, lengths, documents
  fuzz [SECONDS] [--seed N]  the fuzz targets on stable Rust, with random and mutated input
  bench spool [--dir DIR]   the spool beside a queue of files (use --release)
  bench rules CF            a sendmail.cf as a policy: load, answers, classes (use --release)
  sink LATE_MS ADDRESS      a receiver that takes all mail and gives each answer so late; counts on standard output
  siege [--short]           thousands of bad guests and a good one (after a build of ironpost; use --release)";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => bail!("{USAGE}"),
    };
    match (command, rest) {
        ("ci", []) => ci::run(),
        ("tidy", []) => tidy::run(&root()),
        ("fuzz", arguments) => fuzz::run(&root(), arguments),
        ("bench", [what, arguments @ ..]) if what == "spool" => bench_spool::run(arguments),
        ("bench", [what, arguments @ ..]) if what == "rules" => bench_rules::run(arguments),
        ("sink", arguments) => sink::run(arguments),
        ("siege", arguments) => siege::run(arguments),
        _ => bail!("{USAGE}"),
    }
}

/// The root of the checkout: two floors above this crate.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(|crates| crates.parent()).map_or(here.clone(), PathBuf::from)
}
