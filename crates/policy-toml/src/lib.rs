//! Reads ironpost.toml and answers with typed rules.
#![forbid(unsafe_code)]
