//! Envelopes and notes as the spool keeps them: what is written is read again, and whatever else
//! is read is an error, never a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

use policy::{MailerId, Resolved, Route};
use proptest::{collection::vec, option, prelude::*};
use queue::{
    ADDRESS_BYTES_MAX, Added, BodyKind, Controller, DropReason, Envelope, Followed, Hold, Note,
    Notify, Origin, Purpose, QueueId, Receipt, Recipient, RecordError, Return, Returns, Said,
    State, Status, Trouble, Voice, Way,
};

fn octets() -> impl Strategy<Value = Box<[u8]>> {
    vec(any::<u8>(), 0..40).prop_map(Into::into)
}

fn notify() -> impl Strategy<Value = Notify> {
    let some =
        vec(prop::sample::select(vec![Notify::SUCCESS, Notify::FAILURE, Notify::DELAY]), 0..3);
    let some = some.prop_map(|all| all.into_iter().fold(Notify::UNSET, Notify::and));
    prop_oneof![Just(Notify::NEVER), some]
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let names = (octets(), octets(), octets(), option::of(octets()));
    (names, any::<u8>(), any::<bool>(), notify(), option::of(followed())).prop_map(
        |((address, host, user, original), mailer, expands, notify, followed)| Recipient {
            address,
            route: Route { mailer: MailerId(mailer), host, user, expands },
            notify,
            original,
            followed: followed.map(Box::new),
        },
    )
}

fn followed() -> impl Strategy<Value = Followed> {
    let user = || {
        let user = (octets(), octets(), any::<u32>(), any::<u32>());
        option::of(user.prop_map(|(address, login, uid, gid)| Controller {
            address,
            login,
            uid,
            gid,
        }))
    };
    // What is kept of trouble is cleaned.
    let refused =
        "[a-z ]{0,40}".prop_map(|text| Trouble::ours(Status(5, 1, 1), text.as_bytes()).cleaned());
    let way = (octets(), octets()).prop_map(|(from, first)| Way { from, first });
    (user(), user(), option::of(refused), any::<bool>(), option::of(way)).prop_map(
        |(controller, logged, refused, is_as_written, way)| Followed {
            controller,
            logged,
            refused,
            is_as_written,
            goes_at_once: is_as_written,
            way,
            share: if is_as_written { queue::Share::OneTold } else { queue::Share::One },
        },
    )
}

fn origin() -> impl Strategy<Value = Origin> {
    let facts = (octets(), octets(), octets(), octets(), octets());
    let resolved = prop::sample::select(vec![
        Resolved::Ok,
        Resolved::Fail,
        Resolved::Temporary,
        Resolved::Forged,
    ]);
    let macros = vec((octets(), octets()), 0..3);
    let rest = (option::of(any::<u32>()), any::<u8>(), resolved, macros);
    (facts, rest).prop_map(|(facts, (uid, daemon, resolved, macros))| Origin {
        client_name: facts.0,
        client_address: facts.1,
        hello: facts.2,
        protocol: facts.3,
        user: facts.4,
        uid,
        daemon,
        resolved,
        macros,
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let purpose = prop::sample::select(vec![Purpose::Mail, Purpose::Report, Purpose::DoubleBounce]);
    let body =
        prop::sample::select(vec![BodyKind::SevenBit, BodyKind::EightBit, BodyKind::Unlabelled]);
    let ret = option::of(prop::sample::select(vec![Return::Full, Return::Headers]));
    let numbers =
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>(), any::<i64>());
    let texts = (octets(), option::of(octets()), option::of(octets()));
    (numbers, texts, purpose, body, ret, origin(), vec(recipient(), 0..5)).prop_map(
        |(numbers, texts, purpose, body, ret, origin, recipients)| Envelope {
            id: QueueId::from_u64(numbers.0),
            created_s: numbers.1,
            purpose,
            sender: texts.0,
            size_bytes: numbers.2,
            body,
            is_utf8: numbers.4,
            ret,
            by: (origin.daemon & 1 == 1).then_some(queue::DeliverBy {
                seconds: i64::from(origin.daemon) - 100,
                returns: origin.daemon & 2 == 2,
                traces: origin.daemon & 4 == 4,
            }),
            envelope_id: texts.1,
            origin,
            quarantine: texts.2,
            mailers_mark: numbers.3,
            returns: Returns {
                without_text: numbers.4,
                also_to: recipients.iter().take(1).cloned().collect(),
            },
            recipients,
            priority: numbers.5,
        },
    )
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let voice = prop::sample::select(vec![Voice::Smtp, Voice::Local]);
    let said = option::of((octets(), octets()));
    ((any::<u8>(), any::<u16>(), any::<u16>()), octets(), octets(), voice, said).prop_map(
        |(status, text, host, voice, said)| Trouble {
            status: Status(status.0, status.1, status.2),
            text,
            host,
            voice,
            said: said.map(|(command, reply)| Box::new(Said { command, reply })),
        },
    )
}

fn receipt() -> impl Strategy<Value = Option<Receipt>> {
    option::of((octets(), octets()).prop_map(|(host, text)| Receipt { host, text }))
}

fn state() -> impl Strategy<Value = State> {
    let reasons = vec![
        DropReason::DoubleBounce,
        DropReason::NoPostmaster,
        DropReason::NotWanted,
        DropReason::Saved,
        DropReason::Storm,
    ];
    prop_oneof![
        Just(State::Waiting),
        trouble().prop_map(State::Later),
        trouble().prop_map(State::Failed),
        receipt().prop_map(State::Delivered),
        receipt().prop_map(State::Relayed),
        (option::of(octets()), receipt())
            .prop_map(|(owner, receipt)| State::Expanded { owner, receipt }),
        Just(State::Bounced),
        prop::sample::select(reasons).prop_map(State::Dropped),
        Just(State::Discarded),
        trouble().prop_map(State::Lost),
    ]
}

fn note() -> impl Strategy<Value = Note> {
    let added = (any::<u32>(), any::<u32>(), recipient())
        .prop_map(|(parent, mailers_mark, recipient)| Added { parent, mailers_mark, recipient });
    let hold =
        prop_oneof![Just(Hold::AsAccepted), Just(Hold::Released), octets().prop_map(Hold::Held)];
    let numbers = (any::<u32>(), any::<u64>(), any::<bool>(), any::<u8>(), any::<u64>());
    (vec(state(), 0..6), vec(added, 0..4), numbers, hold, octets()).prop_map(
        |(states, added, numbers, hold, said)| Note {
            states,
            added,
            tries: numbers.0,
            next_try_s: numbers.1,
            is_warned: numbers.2,
            crashes: numbers.3,
            tried_s: numbers.4,
            hold,
            said,
        },
    )
}

proptest! {
    #[test]
    fn an_envelope_comes_back_as_it_was(envelope in envelope()) {
        let mut record = Vec::new();
        envelope.encode(&mut record).unwrap();
        prop_assert_eq!(Envelope::decode(&record), Ok(envelope));
    }

    #[test]
    fn a_note_comes_back_as_it_was(note in note()) {
        let mut record = Vec::new();
        note.encode(&mut record);
        prop_assert_eq!(Note::decode(&record), Ok(note));
    }

    #[test]
    fn any_octets_are_a_record_or_an_error(octets: Vec<u8>) {
        let mut record = vec![1];
        record.extend_from_slice(&octets);
        for octets in [&octets, &record] {
            drop((Envelope::decode(octets), Note::decode(octets)));
        }
    }

    #[test]
    fn a_damaged_record_is_a_record_or_an_error(
        envelope in envelope(), note in note(), at: prop::sample::Index, octet: u8,
    ) {
        let mut record = Vec::new();
        envelope.encode(&mut record).unwrap();
        let place = at.index(record.len());
        record[place] = octet;
        drop(Envelope::decode(&record));
        prop_assert!(Envelope::decode(&record[..place]).is_err());
        record.clear();
        note.encode(&mut record);
        let place = at.index(record.len());
        record[place] = octet;
        drop(Note::decode(&record));
        prop_assert!(Note::decode(&record[..place]).is_err());
    }
}

/// Version 1 as it was written first: it is read for ever.
#[test]
fn the_first_version_is_still_read() {
    let envelope =
        b"\x01\x05\xac\x02\x00\x03a@b\x90\x03\x07\x00\x02mx\x00\x02hi\x04SMTP\x00\x00\x02\
        \x00\xff\x01\x01\x03c@d\x00\x01d\x03c@d\x08\x00";
    let envelope = Envelope::decode(envelope).unwrap();
    assert_eq!((envelope.id, envelope.created_s), (QueueId::from_u64(5), 300));
    assert_eq!((&*envelope.sender, envelope.size_bytes), (&b"a@b"[..], 400));
    assert_eq!((envelope.body, envelope.is_utf8), (BodyKind::EightBit, true));
    assert_eq!((envelope.ret, envelope.mailers_mark), (Some(Return::Full), 255));
    assert_eq!(envelope.recipients[0].notify, Notify::FAILURE);
    let note = Note::decode(b"\x01\x02\x00\x01\x00\x00\x00\x02\x00\x01\x04\x02\x01\x00\x02no\x00")
        .unwrap();
    assert_eq!((note.tries, note.is_warned), (2, true));
    assert_eq!(
        note.states[1],
        State::Later(Trouble {
            status: Status(4, 2, 1),
            text: b"no"[..].into(),
            host: Box::default(),
            voice: Voice::Smtp,
            said: None,
        })
    );
}

#[test]
fn an_envelope_that_could_not_be_read_back_is_not_written() {
    let mut envelope = Envelope::decode(
        b"\x01\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    )
    .unwrap();
    envelope.sender = vec![b'a'; ADDRESS_BYTES_MAX + 1].into();
    let mut record = Vec::new();
    assert_eq!(envelope.encode(&mut record), Err(RecordError::TooMuch));
    assert!(record.is_empty());
}

#[test]
fn an_envelope_of_version_1_is_still_read() {
    // Written by the first server that had an envelope.
    let record: &[u8] = &[
        1, 7, 200, 1, 0, 3, b'a', b'@', b'b', 9, 0b101, 0, 0, 2, b'[', b']', 1, b'h', 4, b'S',
        b'M', b'T', b'P', 0, 1, 0, 0, 5, 1, 1, b'c', 2, 0, 1, b'c', 0, 0,
    ];
    let envelope = Envelope::decode(record).unwrap();
    assert_eq!((envelope.id, envelope.created_s), (QueueId::from_u64(7), 200));
    assert_eq!(&*envelope.origin.client_address, b"[]");
    assert_eq!(&*envelope.origin.protocol, b"SMTP");
    assert_eq!((envelope.origin.uid, envelope.origin.resolved), (Some(0), Resolved::Ok));
    assert!(envelope.origin.macros.is_empty());
    assert_eq!((envelope.mailers_mark, envelope.priority), (5, 30_009));
    assert_eq!(&*envelope.recipients[0].address, b"c");
    let mut newer = Vec::new();
    envelope.encode(&mut newer).unwrap();
    assert_eq!((newer[0], Envelope::decode(&newer)), (4, Ok(envelope)));
}

#[test]
fn a_note_of_version_1_is_still_read() {
    // Three rounds, the next at 200, warned, kept back because of `x`, no recipients.
    let record = [1, 3, 200, 1, 1, 0, 2, 2, b'x', 0, 0];
    let note = Note::decode(&record).unwrap();
    assert_eq!((note.tries, note.next_try_s, note.tried_s, note.is_warned), (3, 200, 0, true));
    assert_eq!(note.hold, Hold::Held(b"x"[..].into()));
}
