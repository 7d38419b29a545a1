//! A small world around a session: a policy of five rules, a queue that keeps everything, a clock that stands still.

use std::sync::Arc;

use policy::{
    Acceptance, Ask, MailerId, Origin, Question, Refusal, Resolved, Route, Settings, Verdict,
};
use smtp::server::{
    Body, Event, Input, Message, Moment, NotStored, Outbox, Questions, Request, Session, Terms,
};
use wire::QueueId;
use wire::date::Date;

/// The second at which everything happens.
pub(crate) const NOW: Date = Date { unix_s: 1_795_246_593, offset_s: 0 };

/// A session and what came of it.
pub(crate) struct World {
    pub(crate) session: Session,
    pub(crate) said: Vec<u8>,
    /// Messages, each with its whole text.
    pub(crate) stored: Vec<(Message, Vec<u8>)>,
    pub(crate) events: Vec<Event>,
    pub(crate) is_closed: bool,
    pub(crate) moment: Moment,
    /// What the queue answers, if it is not well.
    pub(crate) trouble: Option<NotStored>,
    /// Steps in which something was sent.
    pub(crate) sends: usize,
    large: Vec<u8>,
    out: Outbox,
}

/// Settings of `mail.example.test`.
pub(crate) fn settings() -> Settings {
    Settings {
        host_name: b"mail.example.test"[..].into(),
        greeting: b"Ironpost"[..].into(),
        ..Settings::default()
    }
}

impl World {
    /// A session that was opened.
    pub(crate) fn new(settings: Settings, questions: Questions) -> Self {
        let origin = Origin::Client {
            peer: "192.0.2.10:4025".parse().unwrap(),
            local: "192.0.2.1:25".parse().unwrap(),
            name: b"client.test"[..].into(),
            resolved: Resolved::Ok,
        };
        Self::of(origin, settings, questions)
    }

    /// A session of a user of this machine (`-bs`).
    pub(crate) fn of_a_user() -> Self {
        let origin = Origin::User { uid: 1000, name: b"alice"[..].into() };
        Self::of(origin, settings(), Questions::ENVELOPE)
    }

    fn of(origin: Origin, mut settings: Settings, questions: Questions) -> Self {
        settings.manners.questions = questions;
        let mut world = Self {
            session: Session::new(Arc::new(Terms { settings }), 0, origin),
            said: vec![],
            stored: vec![],
            events: vec![],
            is_closed: false,
            moment: Moment { now: NOW, fresh_id: QueueId::new(NOW.unix_s, 1) },
            trouble: None,
            sends: 0,
            large: vec![],
            out: Outbox::default(),
        };
        world.input(Input::Open);
        world
    }

    /// A session with the defaults.
    pub(crate) fn plain() -> Self {
        Self::new(settings(), Questions::ENVELOPE)
    }

    /// The client sends these octets in one piece.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() && !self.is_closed {
            let taken = self.input(Input::Bytes(rest));
            assert!(taken > 0, "a session that waits for nothing takes octets");
            rest = &rest[taken..];
        }
    }

    /// One input, and all that follows from it without the client. How many octets were taken.
    pub(crate) fn input(&mut self, input: Input<'_>) -> usize {
        let octets = self.step(input);
        while let Some(request) = self.out.request.take() {
            let answer = self.answer(request);
            self.step(answer);
        }
        octets
    }

    fn step(&mut self, input: Input<'_>) -> usize {
        self.out.clear();
        let taken = self.session.step(input, &self.moment, &mut self.out);
        if taken.id {
            let next = self.moment.fresh_id.as_u64() + 1;
            self.moment.fresh_id = QueueId::from_u64(next);
        }
        self.large.extend_from_slice(&self.out.body);
        if self.out.drops_large {
            self.large.clear();
        }
        self.sends += usize::from(!self.out.bytes.is_empty());
        self.said.extend_from_slice(&self.out.bytes);
        self.events.extend(self.out.events.drain(..).map(|entry| entry.event));
        self.is_closed |= self.out.closes;
        assert_eq!(self.is_closed, self.session.is_over());
        taken.octets
    }

    fn answer(&mut self, request: Request) -> Input<'static> {
        match (request, self.trouble) {
            (Request::Ask(question), _) => Input::Verdict(judge(&question)),
            (Request::Pause { .. }, _) => Input::Paused,
            (_, Some(why)) => Input::NotStored(why),
            (Request::OpenLarge, None) => Input::LargeReady,
            (Request::Store(message), None) => {
                let text = match &message.body {
                    Body::Inline(text) => text.clone(),
                    Body::Large => std::mem::take(&mut self.large),
                };
                assert_eq!(u64::try_from(text.len()).unwrap(), message.size_bytes);
                let id = message.id;
                self.stored.push((*message, text));
                Input::Stored(id)
            }
        }
    }

    /// What was said, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.said.clone()).unwrap()
    }

    /// The codes of all replies that were said, in order.
    pub(crate) fn codes(&self) -> Vec<u16> {
        let text = self.text();
        let last = text.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
        last.map(|line| line[..3].parse().unwrap()).collect()
    }

    /// The stored messages without their Received fields: from the line behind it.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let shown = |(_, text): &(Message, Vec<u8>)| {
            let text = String::from_utf8_lossy(text).into_owned();
            assert!(text.starts_with("Received: from client.test "), "{text}");
            let field = text.lines().enumerate();
            let field = field.take_while(|(at, line)| *at == 0 || line.starts_with('\t'));
            let end: usize = field.map(|(_, line)| line.len() + 2).sum();
            text[end..].to_owned()
        };
        self.stored.iter().map(shown).collect()
    }
}

fn forbidden() -> Verdict {
    no(550, (5, 7, 0), "Not here", "check_other")
}

/// The policy: `example.test` is ours, `nobody` does not live there, `later` is asked again, the rest is not relayed; mail
/// from `discard@…` is thrown away; `evil.test` may not say hello.
pub(crate) fn judge(question: &Question) -> Verdict {
    let shown = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match &question.ask {
        Ask::Hello { name } if **name == *b"evil.test" => {
            no(550, (5, 7, 1), "Access denied", "check_helo")
        }
        Ask::Sender { address, .. } if address.ends_with(b"@nx.invalid") => {
            let address = shown(address);
            let text = format!("<{address}>... Domain of sender address {address} does not exist");
            no(553, (5, 1, 8), &text, "check_mail")
        }
        Ask::Sender { address, .. } if address.starts_with(b"discard@") => {
            Verdict::Discard { by: b"check_mail"[..].into(), subject: None }
        }
        Ask::Other { line, .. } if line.starts_with(b"FORBIDDEN") => forbidden(),
        Ask::Recipient { address } => {
            let text = shown(address);
            let (user, host) = text.rsplit_once('@').unwrap_or((&text, "example.test"));
            match (user, host) {
                ("nobody", "example.test") => {
                    no(550, (5, 1, 1), &format!("<{text}>... User unknown"), "users")
                }
                ("later", "example.test") => {
                    no(450, (4, 2, 0), &format!("<{text}>... Try again later"), "greylist")
                }
                (_, "example.test") => Verdict::Accept(Acceptance {
                    route: Some(Route {
                        mailer: MailerId(0),
                        host: Box::default(),
                        user: user.as_bytes().into(),
                        expands: false,
                    }),
                    ..Acceptance::default()
                }),
                _ => no(550, (5, 7, 1), &format!("<{text}>... Relaying denied"), "check_rcpt"),
            }
        }
        Ask::Help { topic } => Verdict::Accept(Acceptance {
            lines: if topic.starts_with(b"no") {
                vec![]
            } else {
                vec![b"QUIT"[..].into(), b"    End the session."[..].into()]
            },
            ..Acceptance::default()
        }),
        Ask::Verify { argument } => Verdict::Accept(Acceptance {
            lines: vec![[b"Alice Adams <", &argument[..], b"@example.test>"].concat().into()],
            ..Acceptance::default()
        }),
        Ask::Connect
        | Ask::Hello { .. }
        | Ask::Sender { .. }
        | Ask::Data
        | Ask::EndOfHeader { .. }
        | Ask::EndOfMessage { .. }
        | Ask::Expand { .. }
        | Ask::Turn { .. }
        | Ask::Other { .. }
        | Ask::Left => Verdict::accept(),
    }
}

fn no(code: u16, status: (u8, u16, u16), text: &str, by: &str) -> Verdict {
    Verdict::Refuse(Refusal::new(code, status, text.as_bytes(), by.as_bytes()))
}
