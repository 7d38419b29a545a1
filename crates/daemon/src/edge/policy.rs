//! Asks the policy. Answers come in the order of the questions, so no tickets are needed.

use crate::edges::{FromPolicy, ToPolicy};
use crate::link::LinkError;
use crate::port::Port;
use policy::{Question, Verdict};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::sync::oneshot;

/// Questions that may wait on one edge; more fail at once.
const WAITING_MAX: usize = 65_536;

/// An edge to a policy; cheap to clone. Open sessions keep theirs over a reload.
#[derive(Debug, Clone)]
pub(crate) struct PolicyEdge {
    port: Port,
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<FromPolicy>>>>,
    /// Closes the port when the last session that asks here is gone.
    _last: Rc<Closer>,
}

#[derive(Debug)]
struct Closer(Port);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl PolicyEdge {
    /// Starts the edge's task. Must be called inside a `LocalSet`.
    pub(crate) fn open(socket: OwnedFd) -> Self {
        let port = Port::new(socket);
        let waiting: Rc<RefCell<VecDeque<oneshot::Sender<FromPolicy>>>> = Rc::default();
        let (reader, answered) = (port.clone(), Rc::clone(&waiting));
        tokio::task::spawn_local(async move {
            let result = reader.run(|link| {
                while let Some((answer, _)) = link.receive::<FromPolicy>()? {
                    let asker = answered.borrow_mut().pop_front();
                    let asker = asker.ok_or(LinkError::Garbled("an answer without a question"))?;
                    // A session that has ended meanwhile wants no answer.
                    drop(asker.send(answer));
                }
                Ok(())
            });
            drop(result.await);
            // Whoever waits is told that no answer will come.
            answered.borrow_mut().clear();
        });
        Self { _last: Rc::new(Closer(port.clone())), port, waiting }
    }

    /// Asks and waits. `None`: the policy is gone, or answered something else.
    pub(crate) async fn judge(&self, question: Question) -> Option<Verdict> {
        let (sender, receiver) = oneshot::channel();
        if self.waiting.borrow().len() >= WAITING_MAX {
            return None;
        }
        self.port.send(&ToPolicy::Judge(question), &[]).ok()?;
        self.waiting.borrow_mut().push_back(sender);
        match receiver.await.ok()? {
            FromPolicy::Verdict(verdict) => Some(verdict),
            FromPolicy::Route(_)
            | FromPolicy::Members(_)
            | FromPolicy::Expansion(_)
            | FromPolicy::Dressed(_) => None,
        }
    }
}
