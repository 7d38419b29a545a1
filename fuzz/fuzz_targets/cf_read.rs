//! Any octets as a configuration.
#![no_main]

#[path = "../../crates/xtask/src/fuzz/targets.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cf_read(data));
