//! The asking ends of edges inside tokio: a question goes out, a task waits for its answer.

mod policy;
mod queue;

pub(crate) use policy::PolicyEdge;
pub(crate) use queue::{LargeBody, QueueEdge};
