//! The hosts of a destination, one after another, until one lets us in.

use crate::connect::{Failures, Race};
use crate::session::{Connection, Server};
use crate::status::Register;
use crate::stream::Stream;
use crate::terms::Terms;
use crate::{Doors, Lookup};
use policy::Carriage;
use queue::{Outcome, Said, Scope, Status, Trouble};
use smtp::client::{Habits, Protocol};
use std::cell::RefCell;
use tokio::net::UnixStream;

/// How many hosts of a destination may refuse us before a connection attempt is given up.
const REFUSALS_MAX: usize = 8;

/// The hosts of a destination that were not tried yet, best first.
pub(crate) struct Hosts<'p> {
    pub(crate) way: Reach<'p>,
    /// How the mailer wants it.
    pub(crate) carriage: Carriage,
    pub(crate) refusals: usize,
}

pub(crate) enum Reach<'p> {
    Race {
        race: Race<'p>,
        failures: &'p Failures,
        register: &'p RefCell<Register>,
        lookup: &'p dyn Lookup,
        protocol: Protocol,
    },
    /// A Unix socket, once.
    Door(Option<(&'p dyn Doors, &'p [u8])>, Protocol),
}

impl Hosts<'_> {
    pub(crate) fn is_over(&self) -> bool {
        match &self.way {
            Reach::Race { race, .. } => race.is_over() || self.refusals >= REFUSALS_MAX,
            Reach::Door(door, _) => door.is_none(),
        }
    }

    /// The next host that lets us in.
    ///
    /// # Errors
    /// The last trouble; `last` if no host is left. What a server said before stays with it.
    pub(crate) async fn next(
        &mut self,
        terms: &Terms,
        mut last: Trouble,
    ) -> Result<Connection, Trouble> {
        let habits = terms.habits(&self.carriage);
        let (race, failures, register, lookup, protocol) = match &mut self.way {
            Reach::Door(door, protocol) => {
                let Some((doors, path)) = door.take() else { return Err(last) };
                let stream = open_door(doors, path).await?;
                let server = Server::local(*protocol).of_mailer(&self.carriage);
                return Connection::open(server, stream, terms, habits, None).await;
            }
            Reach::Race { race, failures, register, lookup, protocol } => {
                (race, failures, register, *lookup, *protocol)
            }
        };
        while self.refusals < REFUSALS_MAX {
            let newer = match race.next().await {
                None => break,
                Some(Err(unreachable)) => {
                    let trouble = unreachable.trouble();
                    register.borrow_mut().refused(&unreachable.name(), &trouble);
                    trouble
                }
                Some(Ok((hop, stream))) => {
                    race.leave(&hop.name);
                    let sends_chunks = register.borrow().takes_chunks(&hop.shown());
                    let habits =
                        Habits { sends_chunks: habits.sends_chunks && sends_chunks, ..habits };
                    let server = Server::of(&hop, protocol).of_mailer(&self.carriage);
                    let server = server.met(&stream, lookup, terms).await;
                    match Connection::open(server, Stream::Tcp(stream), terms, habits, None).await {
                        Ok(connection) => {
                            register.borrow_mut().opened(&hop.shown());
                            return Ok(connection);
                        }
                        Err(trouble) => {
                            register.borrow_mut().refused(&hop.shown(), &trouble);
                            failures.remember(hop.address);
                            self.refusals += 1;
                            trouble
                        }
                    }
                }
            };
            last = newer.after(last);
        }
        Err(last)
    }
}

/// What becomes of everybody when the last host did not let us in either.
pub(crate) fn nobody_let_us_in(last: Trouble) -> Outcome {
    if last.status.0 == 5 {
        // For good, and said by the last of them: a host that accepts no mail (RFC 7504).
        return Outcome::Never(last);
    }
    Outcome::Later { trouble: last, scope: Scope::Destination }
}

/// Before any host was tried: there is none.
pub(crate) fn nowhere() -> Trouble {
    Trouble::ours(Status(4, 4, 1), b"no address to connect to")
}

/// A socket of this machine that somebody else opens for us.
///
/// # Errors
/// Why not.
pub(crate) async fn open_door(doors: &dyn Doors, path: &[u8]) -> Result<Stream, Trouble> {
    let ours = |text: &str| {
        let host = b"localhost"[..].into();
        Trouble { host, ..Trouble::ours(Status(4, 3, 5), text.as_bytes()) }.cleaned()
    };
    let socket = doors.open(path).await.map_err(|why| match &*why {
        why if why.starts_with("No such file") => {
            // In sendmail's words: what is not there is not safe.
            let words = [b"451 4.3.5 makeconnection_ds: unsafe domain socket ", path].concat();
            let said = Said { command: Box::default(), reply: words.into() };
            let host = b"localhost"[..].into();
            let trouble = Trouble::ours(Status(4, 3, 5), why.as_bytes());
            Trouble { host, said: Some(Box::new(said)), ..trouble }.cleaned()
        }
        why => ours(why),
    })?;
    let stream = UnixStream::from_std(socket.into()).map_err(|error| ours(&error.to_string()))?;
    Ok(Stream::Unix(stream))
}
