//! The edge to master in roles that live in tokio: orders come out of a channel, news go in.

use crate::edges::{News, Order};
use crate::port::Port;
use std::os::fd::OwnedFd;
use tokio::sync::mpsc;

/// The edge to master.
pub(crate) struct Life {
    port: Port,
    orders: mpsc::UnboundedReceiver<(Order, Option<OwnedFd>)>,
}

impl Life {
    /// Starts the task that reads orders. Must be called inside a `LocalSet`.
    pub(crate) fn begin(link: crate::link::Link) -> Self {
        let port = Port::from_link(link);
        let (sender, orders) = mpsc::unbounded_channel();
        let reader = port.clone();
        tokio::task::spawn_local(async move {
            let result = reader.run(|link| {
                while let Some((order, _)) = link.receive::<Order>()? {
                    let descriptor = match order {
                        Order::Grant(_) => Some(link.descriptor()?),
                        Order::Settings(_)
                        | Order::Go { .. }
                        | Order::Read(_)
                        | Order::NoChild { .. }
                        | Order::NoSocket { .. }
                        | Order::Prove { .. }
                        | Order::Errand(_)
                        | Order::Proofs { .. }
                        | Order::Stop => None,
                    };
                    // The receiver is gone only when the role is ending.
                    drop(sender.send((order, descriptor)));
                }
                Ok(())
            });
            // Master is gone: the channel ends, and the role with it.
            drop(result.await);
        });
        Self { port, orders }
    }

    /// The next order, with its descriptor if it is a grant; `None`: master is gone.
    pub(crate) async fn order(&mut self) -> Option<(Order, Option<OwnedFd>)> {
        self.orders.recv().await
    }

    /// Tells master something.
    pub(crate) fn tell(&self, news: &News) {
        // If master is gone, the role is about to end.
        drop(self.port.send(news, &[]));
    }

    /// A sender of news for other tasks.
    pub(crate) fn port(&self) -> Port {
        self.port.clone()
    }
}
