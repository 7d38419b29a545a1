//! `cargo xtask bench rules`: a sendmail.cf as a policy — how fast it loads and answers, and what a large class takes.
//!
//! Names are answered at once and in the process, so that no name server is measured. Map files are those that the file names;
//! `--replace OLD=NEW` puts other paths in.

use anyhow::{Context as _, Result, bail};
use maps::dns::{Answer, Asker, Data, Failure, Kind, Record};
use maps::{Outside, Places};
use policy::{Ask, Facts, Origin, Policy, Question, Resolved, Verdict};
use policy_cf::load;
use policy_cf::machine::ScanTable;
use policy_cf::resolve::Side;
use policy_cf::token::meta;
use policy_cf::{CfPolicy, Config, Engine, Given, Machine, Pool, World};
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const USAGE: &str = "usage: cargo xtask bench rules CF [--replace OLD=NEW]...";

/// Questions of each kind, in rounds of which the fastest counts; and words of the class.
const QUESTIONS: u32 = 50_000;
const ROUNDS: u32 = 20;
const WORDS: u32 = 1_000_000;
/// Loads, of which the fastest counts.
const LOADS: u32 = 10;

/// Knows every name: it is an address of the documentation's network.
#[derive(Debug)]
struct Known;

impl Asker for Known {
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Answer, Failure> {
        if kind != Kind::A {
            return Err(Failure::NoData);
        }
        let data = Data::Address([192, 0, 2, 1].into());
        let records = vec![Record { name: name.to_vec(), kind, data }];
        Ok(Answer { code: 0, is_truncated: false, records })
    }
}

fn outside() -> Outside {
    Outside::new(Places::default()).asking(Arc::new(Known))
}

#[derive(Default)]
struct Engines(Mutex<Vec<Engine>>);

impl Pool for Engines {
    fn world(&self) -> Box<dyn World + Send> {
        Box::new(outside())
    }

    fn take(&self) -> Option<Engine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, engine: Engine) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
    }
}

/// Measures and prints a table.
///
/// # Errors
/// The file can't be read, or is wrong.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let Some((file, rest)) = args.split_first() else { bail!("{USAGE}") };
    let mut text = std::fs::read_to_string(file).with_context(|| file.clone())?;
    let mut rest = rest.iter();
    while let Some(flag) = rest.next() {
        let pair = rest.next().and_then(|pair| pair.split_once('='));
        match (flag.as_str(), pair) {
            ("--replace", Some((old, new))) => text = text.replace(old, new),
            _ => bail!("{USAGE}"),
        }
    }
    if cfg!(debug_assertions) {
        println!("not a release build: the figures say little");
    }
    let policy = loads(file, text.as_bytes())?;
    addresses(file, text.as_bytes());
    check_rcpt(file, text.as_bytes());
    questions(&policy)?;
    class();
    Ok(())
}

fn given() -> Given {
    let facts = load::Facts {
        host: b"mail.example.test".to_vec(),
        version: b"8.17.1.9".to_vec(),
        ..load::Facts::default()
    };
    Given { facts, ..Given::default() }
}

fn loads(name: &str, text: &[u8]) -> Result<CfPolicy> {
    let before = resident_bytes();
    let (mut fastest, mut kept) = (f64::MAX, None);
    for _ in 0..LOADS {
        let begin = Instant::now();
        let opened = CfPolicy::open(name.as_bytes(), text, &given(), Box::new(Engines::default()));
        fastest = fastest.min(begin.elapsed().as_secs_f64());
        match opened {
            Ok((policy, _)) if kept.is_none() => {
                kept = Some(policy);
                let bytes = resident_bytes().saturating_sub(before);
                println!("load: {} KiB with one engine", bytes / 1024);
            }
            Ok(_) => {}
            Err(said) => bail!("{}", String::from_utf8_lossy(&said)),
        }
    }
    println!("load: {:.2} ms, the fastest of {LOADS}", fastest * 1e3);
    kept.context("nothing was loaded")
}

/// A machine that has read the file.
fn machine<'w>(name: &str, text: &[u8], world: &'w mut Outside) -> Machine<'w> {
    let mut machine = Machine::new(Config::default(), world);
    load::prepare(&mut machine, &given().facts);
    load::read(&mut machine, name.as_bytes(), text);
    load::finish(&mut machine);
    machine
}

/// `check_rcpt` by itself, as a client's RCPT runs it.
fn check_rcpt(name: &str, text: &[u8]) {
    let mut world = outside();
    let mut machine = machine(name, text, &mut world);
    let Some(set) = machine.config.sets.find(b"check_rcpt").number else { return };
    for (name, value) in [
        ("client_addr", "192.0.2.10"),
        ("client_name", "client.good.test"),
        ("client_ptr", "client.good.test"),
        ("client_resolve", "OK"),
        ("mail_from", "<a@remote.test>"),
        ("addr_type", "e r"),
    ] {
        machine.config.macros.set_named(name.as_bytes(), value.as_bytes());
    }
    let ground = machine.config.arena.len();
    let mut tokens = Vec::new();
    let (mut refused, mut steps) = (0_u32, 0_u64);
    let each_s = processor_s_each(|number| {
        let address = format!("<{}>", address(number));
        tokens.clear();
        machine.scan(address.as_bytes(), ScanTable::NoComments, 0, &mut tokens);
        machine.rewrite(&mut tokens, set);
        steps = steps.saturating_add(machine.steps());
        refused += u32::from(tokens.first().is_some_and(|token| token.lead == meta::MAILER));
        machine.config.arena.cut(ground);
        machine.replies.clear();
        machine.out.clear();
    });
    println!(
        "check_rcpt alone: {:.1} us, {} steps of matching, {refused} of {QUESTIONS} refused",
        each_s * 1e6,
        steps / u64::from(QUESTIONS)
    );
}

/// `3,0` and `/parse`: rule sets over addresses, in one machine.
fn addresses(name: &str, text: &[u8]) {
    let mut world = outside();
    let mut machine = machine(name, text, &mut world);
    let ground = machine.config.arena.len();
    let each_s = processor_s_each(|number| {
        let address = format!("user{number}@host{}.remote.test", number % 1000);
        black_box(machine.parse(address.as_bytes(), Side::default()));
        machine.config.arena.cut(ground);
        machine.replies.clear();
        machine.out.clear();
    });
    println!("/parse (3, 0, 2, R=, 4): {:.0} addresses/s", 1.0 / each_s);
}

fn questions(policy: &CfPolicy) -> Result<()> {
    let facts = Facts {
        origin: Origin::Client {
            peer: "192.0.2.10:4711".parse()?,
            local: "192.0.2.1:25".parse()?,
            name: b"client.good.test"[..].into(),
            resolved: Resolved::Ok,
        },
        daemon: 0,
        hello: b"client.good.test"[..].into(),
        is_esmtp: true,
        sender: Some(b"a@remote.test"[..].into()),
        recipients: 0,
        macros: Vec::new(),
    };
    let before = resident_bytes();
    let mut refused = 0_u32;
    let each_s = processor_s_each(|number| {
        let verdict = policy.judge(&recipient(&facts, number));
        refused += u32::from(matches!(verdict, Verdict::Refuse(_)));
    });
    println!(
        "RCPT (rule sets 3 and 0, check_rcpt, user): {:.1} us, {refused} of {QUESTIONS} refused, {} KiB more",
        each_s * 1e6,
        resident_bytes().saturating_sub(before) / 1024
    );
    Ok(())
}

fn recipient(facts: &Facts, number: u32) -> Question {
    let ask = Ask::Recipient { address: address(number).into_bytes().into() };
    Question { facts: facts.clone(), ask }
}

/// Four kinds by turns: relaying, two that the access map knows, a host of ours.
fn address(number: u32) -> String {
    match number % 4 {
        0 => format!("u{number}@other.test"),
        1 => "badrcpt@example.test".to_owned(),
        2 => "u@closed.test".to_owned(),
        _ => format!("u{number}@mail.example.test"),
    }
}

fn class() {
    let before = resident_bytes();
    let mut classes = policy_cf::class::Classes::default();
    for number in 0..WORDS {
        classes.add(b'R', format!("host{number}.example.test").as_bytes());
    }
    let bytes = resident_bytes().saturating_sub(before);
    let begin = Instant::now();
    let mut found = 0_u32;
    for number in 0..WORDS {
        let word = format!("host{}.example.test", number.wrapping_mul(7919) % (WORDS * 2));
        found += u32::from(classes.contains(b'R', word.as_bytes()));
    }
    let each = begin.elapsed().as_secs_f64() / f64::from(WORDS);
    println!(
        "class of {WORDS} words: {:.1} MiB, {:.0} ns a look-up with its text made ({found} found)",
        f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0,
        each * 1e9
    );
}

/// Seconds of the processor that one of `work` takes, on average over the fastest round: what other programs do meanwhile
/// counts as little as can be.
fn processor_s_each(mut work: impl FnMut(u32)) -> f64 {
    let each_round = QUESTIONS / ROUNDS;
    let mut fastest = f64::MAX;
    for round in 0..ROUNDS {
        let begin = processor_s();
        for number in 0..each_round {
            work(round * each_round + number);
        }
        fastest = fastest.min((processor_s() - begin) / f64::from(each_round));
    }
    fastest
}

/// Seconds that this thread has run: proc(5), `schedstat`.
fn processor_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

/// Octets of memory that this process holds.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
