//! `cargo xtask fuzz [SECONDS]`: the fuzz targets on stable Rust, with random and mutated input, for a short time.
//!
//! Nothing is learned from coverage here: `fuzz/` is for that. This is the form that CI runs with every change. The
//! number it begins with is printed, and `--seed N` begins there again; what fails is written to `target/fuzz/`.

mod targets;

use anyhow::{Context, Result, bail};
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long without a word of the caller.
const SECONDS_DEFAULT: u64 = 10;
/// One input may take this long, in a debug build on a slow machine.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);
/// The largest input, octets.
const INPUT_OCTETS_MAX: usize = 256 * 1024;

/// A function that is fuzzed.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    seeds: Seeds,
}

/// Where the first inputs of a target are from.
#[derive(Clone, Copy)]
enum Seeds {
    Configurations,
    Addresses,
    Databases,
}

const TARGETS: [Target; 4] = [
    Target { name: "cf_read", run: targets::cf_read, seeds: Seeds::Configurations },
    Target { name: "rules", run: targets::rules, seeds: Seeds::Configurations },
    Target { name: "token", run: targets::token, seeds: Seeds::Addresses },
    Target { name: "bdb", run: targets::bdb, seeds: Seeds::Databases },
];

const ADDRESSES: [&[u8]; 8] = [
    b"user@host.example",
    b"\"quoted user\"@[192.0.2.1]",
    b"Full Name <user%far@near> (comment)",
    b"@a,@b:user@c",
    b"host!host!user",
    b"group: a@b, c@d;",
    b"\\user+detail@host.",
    b"|/bin/program -a \"b c\"",
];

/// Runs every target in turn until the time is over.
///
/// # Errors
/// An input made a target panic or take too long; wrong arguments.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (seconds, seed) = read(arguments)?;
    println!("fuzz: {seconds} s, --seed {seed}");
    let mut random = Random(seed | 1);
    let corpus: Vec<Vec<Vec<u8>>> =
        TARGETS.iter().map(|target| seeds(root, target.seeds)).collect();
    let mut counts = [0_u64; TARGETS.len()];
    let end = Instant::now() + Duration::from_secs(seconds);
    let speaks = panic::take_hook();
    // A panic is reported with its input, below.
    panic::set_hook(Box::new(|_| {}));
    let outcome = (|| {
        while Instant::now() < end {
            for ((target, seeds), count) in TARGETS.iter().zip(&corpus).zip(&mut counts) {
                let input = random.input(seeds);
                one(root, target, &input)?;
                *count += 1;
            }
        }
        Ok(())
    })();
    panic::set_hook(speaks);
    for (target, count) in TARGETS.iter().zip(counts) {
        println!("fuzz: {:8} {count} inputs", target.name);
    }
    outcome
}

fn read(arguments: &[String]) -> Result<(u64, u64)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut seconds, mut seed) = (SECONDS_DEFAULT, now.as_secs());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--seed" {
            seed = words.next().context("--seed wants a number")?.parse()?;
        } else {
            seconds = word.parse().with_context(|| format!("{word} is no number of seconds"))?;
        }
    }
    Ok((seconds, seed))
}

fn one(root: &Path, target: &Target, input: &[u8]) -> Result<()> {
    let began = Instant::now();
    let ended = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let why = match ended {
        Ok(()) if began.elapsed() <= INPUT_TIME_MAX => return Ok(()),
        Ok(()) => format!("took {:?}", began.elapsed()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panicked: {}", text.unwrap_or("(no text)"))
        }
    };
    let folder = root.join("target/fuzz");
    fs::create_dir_all(&folder)?;
    let path = folder.join(target.name);
    fs::write(&path, input)?;
    bail!("{} {why}; its input is {}", target.name, path.display())
}

/// The first inputs: our own, and those that lie beside the checkout where there are any.
fn seeds(root: &Path, kind: Seeds) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = match kind {
        Seeds::Addresses => return ADDRESSES.iter().map(|address| address.to_vec()).collect(),
        Seeds::Configurations => {
            fs::read(root.join("crates/ironpost/tests/explain/site.cf")).into_iter().collect()
        }
        Seeds::Databases => vec![database()],
    };
    let (folder, ending) = match kind {
        Seeds::Databases => ("crates/maps/tests/data", "db"),
        Seeds::Configurations | Seeds::Addresses => ("../shared/oracle/golden-public/cf", "cf"),
    };
    let found = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    for entry in found.filter(|entry| entry.path().extension().is_some_and(|end| end == ending)) {
        seeds.extend(fs::read(entry.path()));
    }
    seeds.retain(|seed| seed.len() <= INPUT_OCTETS_MAX);
    seeds
}

/// The first page of a hash file of version 9, for what comes behind to be random.
fn database() -> Vec<u8> {
    let mut page = vec![0_u8; 4096];
    for (at, value) in [(12, 0x0006_1561_u32), (16, 9), (20, 4096)] {
        for (place, octet) in page.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *place = octet;
        }
    }
    if let Some(kind) = page.get_mut(25) {
        *kind = 8;
    }
    page
}

/// xorshift64: enough for noise.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Noise, or a seed with some of its octets changed, its pieces moved, or its end cut off.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let noise = seeds.is_empty() || self.below(8) == 0;
        if noise {
            let length = self.below(512);
            return (0..length).map(|_| self.octet()).collect();
        }
        let which = self.below(seeds.len());
        let mut input = seeds.get(which).cloned().unwrap_or_default();
        for _ in 0..=self.below(16) {
            self.change(&mut input);
        }
        input.truncate(INPUT_OCTETS_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        const WORDS: [&[u8]; 12] =
            [b"$*", b"$@", b"$:", b"$>", b"$(", b"$)", b"$1", b"$#", b"\0", b"\n", b"\t", b"$&{x}"];
        let at = self.below(input.len() + 1);
        match self.below(5) {
            0 => {
                let octet = self.octet();
                if let Some(place) = input.get_mut(at) {
                    *place = octet;
                }
            }
            1 => {
                let word = WORDS.get(self.below(WORDS.len())).copied().unwrap_or_default();
                input.splice(at..at, word.iter().copied());
            }
            2 => {
                let end = (at + self.below(64)).min(input.len());
                input.drain(at..end);
            }
            3 => {
                let end = (at + self.below(256)).min(input.len());
                let piece = input.get(at..end).unwrap_or_default().to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            _ => {
                let octet = self.octet();
                input.splice(at..at, [octet]);
            }
        }
    }
}
