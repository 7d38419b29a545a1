//! The header of a message (RFC 5322, 2.2 and 3.6): watched as it streams by, read field by field, added to.

mod fold;
mod head;
mod received;

pub use crate::date::Date;
pub use fold::{Field, Fields, unfold};
pub use head::{Head, HeadEnd, HeadReader, MESSAGE_ID_BYTES_MAX};
pub use received::{Received, write_message_id, write_return_path};
