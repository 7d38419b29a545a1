//! A [`Link`] inside tokio: who sends marks it, one task writes and reads for all.
//!
//! Frames that several sessions send in one turn of the loop are written together: sending only
//! puts them into the buffer and wakes the port's task, which runs after the sessions that were
//! ready in this turn.

use crate::conversation::is_drained;
use crate::link::{Link, LinkError};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The sending side of a port; cheap to clone, usable from every task of the thread.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: RefCell<Link>,
    /// Wakes the port's task when something waits to be written.
    waker: RefCell<Option<Waker>>,
    is_marked: Cell<bool>,
    is_over: Cell<bool>,
}

impl Port {
    /// Takes one end of a nonblocking socket pair. [`Port::run`] must be spawned for anything to move.
    #[must_use]
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self::from_link(Link::new(socket))
    }

    /// Takes a link that has been used before.
    #[must_use]
    pub(crate) fn from_link(link: Link) -> Self {
        Self {
            inner: Rc::new(Inner {
                link: RefCell::new(link),
                waker: RefCell::new(None),
                is_marked: Cell::new(false),
                is_over: Cell::new(false),
            }),
        }
    }

    /// Whether the other end is gone.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.inner.is_over.get()
    }

    /// Ends the port: its task returns, and the other end sees it closed when the last clone is gone.
    pub(crate) fn close(&self) {
        self.inner.is_over.set(true);
        self.mark();
    }

    /// Sends a frame, as [`Link::send`].
    ///
    /// # Errors
    /// The link is over.
    pub(crate) fn send<T: Serialize>(&self, head: &T, tail: &[u8]) -> Result<(), LinkError> {
        if self.is_over() {
            return Err(LinkError::Closed);
        }
        self.inner.link.borrow_mut().send(head, tail)?;
        self.mark();
        Ok(())
    }

    fn mark(&self) {
        self.inner.is_marked.set(true);
        if let Some(waker) = self.inner.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Moves frames until the link is over; `arrived` is called with the link when it has been filled,
    /// and takes the frames out with [`Link::receive`].
    ///
    /// # Errors
    /// Why the link is over. Not an error: [`Port::close`] was called.
    pub(crate) async fn run(
        &self,
        mut arrived: impl FnMut(&mut Link) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        let result = self.turn(&mut arrived).await;
        self.inner.is_over.set(true);
        result
    }

    async fn turn(
        &self,
        arrived: &mut impl FnMut(&mut Link) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        let twin = self.inner.link.borrow().as_fd().try_clone_to_owned()?;
        let ready = UnixStream::from_std(twin.into())?;
        let mut is_blocked = false;
        // Frames that were read before the link came here.
        arrived(&mut self.inner.link.borrow_mut())?;
        loop {
            let event = poll_fn(|context| {
                if let Poll::Ready(guard) = ready.poll_read_ready(context) {
                    return Poll::Ready(guard.map(|()| Event::Readable));
                }
                if is_blocked && let Poll::Ready(guard) = ready.poll_write_ready(context) {
                    is_drained(&ready, Interest::WRITABLE);
                    return Poll::Ready(guard.map(|()| Event::Writable));
                }
                if self.inner.is_marked.replace(false) {
                    return Poll::Ready(Ok(Event::Marked));
                }
                *self.inner.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await?;
            if self.is_over() {
                return Ok(());
            }
            if matches!(event, Event::Readable) {
                let mut link = self.inner.link.borrow_mut();
                if !link.fill()? {
                    // Nothing is left in the socket: wait for the next edge.
                    is_drained(&ready, Interest::READABLE);
                }
                arrived(&mut link)?;
            }
            is_blocked = !self.inner.link.borrow_mut().flush()?;
        }
    }
}

enum Event {
    Readable,
    Writable,
    Marked,
}
