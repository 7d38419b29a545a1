//! The one development tool.
fn main() {}
