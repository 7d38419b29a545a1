//! `sendmail -bs`: SMTP on standard input and output. The same session as on port 25, in this process, as the user who
//! called it; messages go the way of all submissions.

use super::{Taken, take};
use crate::place::Place;
use crate::printer::Printer;
use daemon::request::Submission;
use policy::{Acceptance, Ask, MailerId, Origin, Route, Settings, Verdict};
use queue::Notify;
use smtp::server::{
    Body, Input, Message, Moment, NotStored, Outbox, Questions, Request, Session, Terms,
};
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

/// Octets that are read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// The dialogue's state.
struct Dialogue<'a> {
    session: Session,
    out: Outbox,
    place: &'a Place,
    login: Box<[u8]>,
    /// A body that is larger than the session keeps.
    large: Vec<u8>,
}

/// Speaks until QUIT or the end of the input.
pub(super) fn run(place: &Place, printer: &mut Printer) -> ExitCode {
    let login = sys::user::current_name();
    let settings = Settings { host_name: sys::host_name().into(), ..Settings::default() };
    let terms = Arc::new(Terms { settings, questions: Questions::ENVELOPE });
    let origin = Origin::User { uid: sys::user::real_uid(), name: login.clone().into() };
    let mut dialogue = Dialogue {
        session: Session::new(terms, 0, origin),
        out: Outbox::default(),
        place,
        login: login.into(),
        large: Vec::new(),
    };
    dialogue.step(Input::Open, printer);
    let mut input = std::io::stdin().lock();
    let mut piece = vec![0; PIECE_BYTES];
    while !dialogue.session.is_over() {
        let count = input.read(&mut piece).unwrap_or(0);
        if count == 0 {
            dialogue.step(Input::Eof, printer);
            break;
        }
        let mut rest = piece.get(..count).unwrap_or_default();
        while !rest.is_empty() && !dialogue.session.is_over() {
            let taken = dialogue.step(Input::Bytes(rest), printer);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
    ExitCode::SUCCESS
}

impl Dialogue<'_> {
    /// A step, and everything that it asks for: when it returns, the session wants octets or is over.
    fn step(&mut self, input: Input<'_>, printer: &mut Printer) -> usize {
        let octets = self.one(input, printer);
        while let Some(request) = self.out.request.take() {
            let answer = match request {
                Request::Ask(question) => Input::Verdict(verdict(&question.ask)),
                Request::OpenLarge => Input::LargeReady,
                Request::Store(message) => self.store(*message),
            };
            self.one(answer, printer);
        }
        octets
    }

    fn one(&mut self, input: Input<'_>, printer: &mut Printer) -> usize {
        let moment = Moment { now: daemon::now(), fresh_id: daemon::fresh_id() };
        self.out.clear();
        let taken = self.session.step(input, &moment, &mut self.out);
        self.large.extend_from_slice(&self.out.body);
        if self.out.drops_large {
            self.large.clear();
        }
        printer.octets(&self.out.bytes);
        taken.octets
    }

    fn store(&mut self, message: Message) -> Input<'static> {
        let text = match message.body {
            Body::Inline(text) => text,
            Body::Large => std::mem::take(&mut self.large),
        };
        let submission = Submission {
            login: self.login.clone(),
            sender: message.sender,
            recipients: message.recipients.into_iter().map(|one| one.address).collect(),
            notify: Notify::UNSET,
        };
        match take(&submission, &text, self.place) {
            Taken::Yes(id) => Input::Stored(id.unwrap_or(message.id)),
            Taken::NotNow(_) | Taken::Never(_) => Input::NotStored(NotStored::Trouble),
        }
    }
}

/// A user of this machine may send to anybody; where to, the queue asks when it has the message.
fn verdict(ask: &Ask) -> Verdict {
    let Ask::Recipient { address } = ask else { return Verdict::accept() };
    let route = Route {
        mailer: MailerId(u8::MAX),
        host: Box::default(),
        user: address.clone(),
        expands: true,
    };
    Verdict::Accept(Acceptance { route: Some(route), ..Acceptance::default() })
}
