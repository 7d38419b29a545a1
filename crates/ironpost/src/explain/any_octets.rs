//! Whatever stands in a configuration, and whatever is asked of it, is explained: no panic, nothing for the terminal, JSON
//! that can be read.

#[path = "../../../xtask/src/fuzz/targets.rs"]
#[allow(dead_code, reason = "the targets have other callers; here their world is used")]
mod targets;

use super::source::Source;
use super::trial::{self, Session};
use super::words::{self, Show};
use super::{code_of, json};
use proptest::prelude::*;

const SITE: &[u8] = include_bytes!("../../tests/explain/site.cf");

/// Octets of text about one address: above it, something goes round without end.
const TEXT_OCTETS_MAX: usize = 64 * 1024 * 1024;

fn explain(file: &[u8], address: &[u8], from: &[u8]) {
    targets::with_configuration(file, |machine| {
        let source = Source::new(b"any.cf", file);
        let client = "192.0.2.1".parse().map(|ip| (ip, Some(from.to_vec()))).ok();
        let session = Session { client, helo: Some(from.to_vec()), from: Some(from.to_vec()) };
        let explanation = trial::run(machine, &source, &session, address);
        for is_verbose in [false, true] {
            let text = words::whole(&explanation, &source, Show { is_coloured: false, is_verbose });
            assert!(text.len() < TEXT_OCTETS_MAX);
            assert!(text.bytes().all(|octet| octet == b'\n' || (b' '..=b'~').contains(&octet)));
        }
        let object = json::object(&explanation, b"any.cf", "summary");
        assert!(serde_json::from_str::<serde_json::Value>(&object).is_ok(), "{object}");
        assert!([0, 65, 67, 68, 69, 75, 77].contains(&code_of(&explanation.outcome)));
    });
}

/// The site's configuration with one piece replaced by octets of any kind.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    (0..SITE.len(), 0..40_usize, prop::collection::vec(any::<u8>(), 0..20)).prop_map(
        |(at, length, new)| {
            let mut file = SITE.to_vec();
            file.splice(at..(at + length).min(SITE.len()), new);
            file
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_octets_as_a_configuration_are_explained(
        file in prop::collection::vec(any::<u8>(), 0..400),
        address in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        explain(&file, &address, b"a@b.test");
    }

    #[test]
    fn a_configuration_with_a_piece_of_noise_is_explained(file in changed()) {
        explain(&file, b"info@example.test", b"bulk@lists.test");
    }

    #[test]
    fn any_octets_as_addresses_are_explained(
        address in prop::collection::vec(any::<u8>(), 0..600),
        from in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        explain(SITE, &address, &from);
    }
}

#[test]
fn rule_sets_that_call_each_other_for_ever_are_cut_off() {
    let file = b"V10\nMlocal, P=/x, F=l, A=x\nMprog, P=/x, F=l, A=x\nScanonify=3\nR$*\t$: $>canonify $1 $>canonify $1\nSparse=0\nR$+\t$#local $: $1\n";
    explain(file, b"user@host.test", b"a@b.test");
}
