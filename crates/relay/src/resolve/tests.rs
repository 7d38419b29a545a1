//! Questions and answers, with a small DNS server of our own.

use super::*;
use proptest::prelude::*;
use tokio::net::UdpSocket;

fn query(name: &str, kind: QueryKind) -> Query {
    Query { name: name.as_bytes().into(), kind }
}

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// A type and the octets of a record.
type Data = (u16, Vec<u8>);

/// Answers one question after the other: the code of the answer, then its records.
async fn serve(socket: UdpSocket, replies: Vec<(u8, Vec<Data>)>) {
    let mut packet = [0; 512];
    for (code, records) in replies {
        let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
        // The question ends after its name, type and class.
        let mut end = 12;
        while packet[end] != 0 {
            end += usize::from(packet[end]) + 1;
        }
        let question = &packet[12..end + 5];
        assert!(length >= end + 5);
        let mut reply = packet[..2].to_vec();
        reply.extend_from_slice(&[0x81, 0x80 | code, 0, 1]);
        reply.extend_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        reply.extend_from_slice(&[0; 4]);
        reply.extend_from_slice(question);
        for (kind, data) in records {
            reply.extend_from_slice(&[0xc0, 12]);
            reply.extend_from_slice(&kind.to_be_bytes());
            reply.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            reply.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            reply.extend_from_slice(&data);
        }
        socket.send_to(&reply, peer).await.unwrap();
    }
}

fn asked(name: &str, kind: QueryKind, code: u8, records: Vec<Data>) -> Answer {
    in_runtime(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![socket.local_addr().unwrap()];
        let resolver = Resolver::new(&Configuration { servers, ..Configuration::default() });
        let server = tokio::spawn(serve(socket, vec![(code, records); 4]));
        let answer = resolver.unwrap().answer(&query(name, kind)).await;
        server.abort();
        answer
    })
}

#[test]
fn exchangers_are_found_and_the_root_is_no_octets() {
    let answer = asked(
        "a.example",
        QueryKind::Mx,
        0,
        vec![(15, b"\x00\x0a\x02mx\xc0\x0c".to_vec()), (15, b"\x00\x00\x00".to_vec())],
    );
    let expected: Vec<(u16, Box<[u8]>)> =
        vec![(10, b"mx.a.example"[..].into()), (0, Box::default())];
    assert_eq!(answer, Answer::found(Records::Mx(expected)));
}

#[test]
fn addresses_behind_another_name_are_found() {
    let answer = asked("a.example.", QueryKind::A, 0, vec![(1, vec![192, 0, 2, 1])]);
    assert_eq!(answer, Answer::found(Records::Addresses(vec!["192.0.2.1".parse().unwrap()])));
}

#[test]
fn where_a_name_is_an_alias_the_answer_tells_whose_the_records_are() {
    let name = Name::from_ascii("a.example.").unwrap();
    let other = Name::from_ascii("C.example.").unwrap();
    let address = |name: &Name| {
        Record::from_rdata(name.clone(), 60, RData::A(std::net::Ipv4Addr::new(192, 0, 2, 1).into()))
    };
    let true_name = |records: &[Record]| {
        let answer = answered(&query("A.Example", QueryKind::A), records);
        let Answer::Found { true_name, .. } = answer else { panic!("{answer:?}") };
        true_name
    };
    assert_eq!(true_name(&[address(&name)]), None);
    assert_eq!(true_name(&[address(&other)]), Some(b"C.example"[..].into()));
}

#[test]
fn aliases_name_servers_and_services_are_names() {
    let expected = |name: &str| Answer::found(Records::Names(vec![name.as_bytes().into()]));
    let kinds = [
        (QueryKind::Cname, 5, b"\x03hub\xc0\x0c".to_vec()),
        (QueryKind::Ns, 2, b"\x03hub\xc0\x0c".to_vec()),
        (QueryKind::Srv, 33, b"\x00\x00\x00\x00\x00\x19\x03hub\x01a\x07example\x00".to_vec()),
    ];
    for (kind, number, data) in kinds {
        let answer = asked("a.example", kind, 0, vec![(number, data)]);
        assert_eq!(answer, expected("hub.a.example"), "{kind:?}");
    }
}

#[test]
fn no_such_name_and_no_data_and_no_answer_are_told_apart() {
    assert_eq!(asked("a.example", QueryKind::A, 3, vec![]), Answer::NoSuchName);
    assert_eq!(asked("a.example", QueryKind::Mx, 0, vec![]), Answer::NoData);
    assert!(matches!(asked("a.example", QueryKind::A, 2, vec![]), Answer::Temporary));
}

#[test]
fn the_hosts_file_counts_and_is_never_opened() {
    let hosts = b"192.0.2.7 mailhub.example mailhub\n".to_vec();
    let servers = vec!["127.0.0.1:9".parse().unwrap()];
    let answer = in_runtime(async {
        let resolver = Resolver::new(&Configuration { servers, hosts, ..Default::default() });
        resolver.unwrap().answer(&query("mailhub", QueryKind::A)).await
    });
    assert_eq!(answer, Answer::found(Records::Addresses(vec!["192.0.2.7".parse().unwrap()])));
}

#[test]
fn servers_come_from_the_text_of_resolv_conf() {
    in_runtime(async {
        let conf = |text: &str| Configuration {
            resolv_conf: text.as_bytes().to_vec(),
            ..Configuration::default()
        };
        assert!(Resolver::new(&conf("nameserver 192.0.2.1\nsearch x.example\n")).is_ok());
        assert!(matches!(Resolver::new(&conf("# none\n")), Err(SetupError::NoServer(_))));
        assert!(matches!(Resolver::new(&conf("")), Err(SetupError::NoServer(_))));
    });
}

#[test]
fn what_is_no_name_does_not_exist() {
    for name in ["", "a b", "a\\.b", "..", "a..b", "*.x", "\u{0}"] {
        assert!(question(&query(name, QueryKind::A)).is_none(), "{name:?}");
    }
    assert!(question(&query("not an address", QueryKind::Ptr)).is_none());
    let (name, _) = question(&query("192.0.2.1", QueryKind::Ptr)).unwrap();
    assert_eq!(name.to_ascii(), "1.2.0.192.in-addr.arpa.");
}

proptest! {
    #[test]
    fn any_octets_can_be_asked_about(name: Vec<u8>, kind in 0..5_usize) {
        let kinds = [QueryKind::Mx, QueryKind::A, QueryKind::Aaaa, QueryKind::Ptr, QueryKind::Txt];
        let query = Query { name: name.into(), kind: kinds[kind] };
        question(&query);
        let frame = postcard::to_allocvec(&query).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Query>(&frame).unwrap(), query);
    }

    #[test]
    fn any_frame_is_an_answer_or_none(frame: Vec<u8>) {
        if let Ok(answer) = postcard::from_bytes::<Answer>(&frame) {
            let again = postcard::to_allocvec(&answer).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Answer>(&again).unwrap(), answer);
        }
    }
}
