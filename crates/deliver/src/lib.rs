//! Local delivery: mbox, Maildir, LMTP, as the recipient.
#![forbid(unsafe_code)]
