//! The text of a report.
use super::Report;
use crate::QueueId;
use alloc::vec::Vec;
pub(super) fn write(_report: &Report, _id: QueueId, original: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(original);
}
