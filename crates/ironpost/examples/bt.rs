//! Address test mode alone, to be measured.

#[path = "../src/address_test.rs"]
mod address_test;

fn main() -> std::process::ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    std::process::ExitCode::from(address_test::run(&words))
}
