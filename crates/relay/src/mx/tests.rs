//! Routes to hops, with a table in place of DNS.

use super::*;
use proptest::prelude::*;
use queue::{Outcome, Status};
use std::collections::BTreeMap;
use std::pin::Pin;

#[derive(Default)]
struct Table(BTreeMap<(Vec<u8>, u8), Answer>);

impl Table {
    fn mx(mut self, name: &str, exchangers: &[(u16, &str)]) -> Self {
        let records = exchangers.iter().map(|(p, host)| (*p, host.as_bytes().into())).collect();
        self.0.insert((name.into(), 0), Answer::found(Records::Mx(records)));
        self
    }

    fn at(mut self, name: &str, addresses: &[&str]) -> Self {
        for (key, is_six) in [(1, false), (2, true)] {
            let found: Vec<IpAddr> = addresses
                .iter()
                .map(|text| text.parse().unwrap())
                .filter(|address: &IpAddr| address.is_ipv6() == is_six)
                .collect();
            if !found.is_empty() {
                self.0.insert((name.into(), key), Answer::found(Records::Addresses(found)));
            }
        }
        self
    }

    fn broken(mut self, name: &str, key: u8) -> Self {
        self.0.insert((name.into(), key), Answer::Temporary);
        self
    }
}

impl Lookup for Table {
    fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        let key = match query.kind {
            QueryKind::Mx => 0,
            QueryKind::A => 1,
            QueryKind::Aaaa => 2,
            QueryKind::Ptr | QueryKind::Txt | QueryKind::Cname | QueryKind::Ns | QueryKind::Srv => {
                3
            }
        };
        let is_known = self.0.keys().any(|(name, _)| **name == *query.name);
        let answer = self.0.get(&(query.name.to_vec(), key)).cloned();
        let answer = answer.unwrap_or(if is_known { Answer::NoData } else { Answer::NoSuchName });
        Box::pin(std::future::ready(answer))
    }
}

fn ourselves() -> Ourselves {
    Ourselves {
        names: vec![b"mx.our.example"[..].into()],
        addresses: vec!["192.0.2.99".parse().unwrap()],
        trusted: vec!["127.0.0.7".parse().unwrap()],
    }
}

fn found(table: &Table, host: &str) -> Result<Vec<String>, Nowhere> {
    let chance = |_: &[u8]| 0;
    let ourselves = ourselves();
    let future = find(host.as_bytes(), 25, &ourselves, table, &chance);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(hops) => {
            Ok(hops?.hops.iter().map(|hop| hop.address.to_string()).collect())
        }
        std::task::Poll::Pending => panic!("a table answers at once"),
    }
}

fn status(result: Result<Vec<String>, Nowhere>) -> Status {
    match result.unwrap_err().outcome() {
        Outcome::Never(trouble) | Outcome::Later { trouble, .. } => trouble.status,
        Outcome::Delivered { .. } | Outcome::Relayed { .. } => panic!("not refused"),
    }
}

fn targets(host: &str) -> Option<Vec<(String, u16)>> {
    let targets = parse_hosts(host.as_bytes(), 25).ok()?;
    let text = |target: Target| {
        let host = match target.host {
            Host::Domain(name) => format!("mx {}", name.escape_ascii()),
            Host::Single(name) => format!("a {}", name.escape_ascii()),
            Host::Address(address) => address.to_string(),
        };
        (host, target.port)
    };
    Some(targets.into_iter().map(text).collect())
}

#[test]
fn every_way_to_write_a_host_is_read() {
    let cases: &[(&str, &[(&str, u16)])] = &[
        ("a.example", &[("mx a.example", 25)]),
        ("a.example.", &[("mx a.example", 25)]),
        ("a.example:2525", &[("mx a.example", 2525)]),
        ("[a.example]", &[("a a.example", 25)]),
        ("[a.example]:587", &[("a a.example", 587)]),
        ("[192.0.2.1]", &[("192.0.2.1", 25)]),
        ("[127.0.0.1]:2526", &[("127.0.0.1", 2526)]),
        ("[IPv6:2001:db8::1]:26", &[("2001:db8::1", 26)]),
        ("[ipv6:::1]", &[("::1", 25)]),
        ("[2001:db8::1]", &[("2001:db8::1", 25)]),
        ("a:b", &[("mx a", 25), ("mx b", 25)]),
        ("a:26:[b]:27:c", &[("mx a", 26), ("a b", 27), ("mx c", 25)]),
        ("a, [b]:26 ,c,,", &[("mx a", 25), ("a b", 26), ("mx c", 25)]),
    ];
    for (host, expected) in cases {
        let expected = expected.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        assert_eq!(targets(host), Some(expected), "{host}");
    }
}

#[test]
fn brackets_are_put_around_every_name_of_a_list() {
    for (written, wanted) in [
        ("a.test", "[a.test]"),
        (
            "a.test.:b.test:26, [c.test]:[192.0.2.1]:27",
            "[a.test.]:[b.test]:26,[c.test]:[192.0.2.1]:27",
        ),
        ("[a", "[a"),
    ] {
        assert_eq!(bracketed(written.as_bytes()), wanted.as_bytes());
    }
}

#[test]
fn what_is_no_host_is_refused() {
    for host in [
        "", ",", ":", "[a", "[]", "a]", "[a]b", "[IPv6:1]", "a b", "a..b", "a:0", "a:65536", "25",
        ":25", "a,25", "a\nb",
    ] {
        assert_eq!(targets(host), None, "{host:?}");
    }
}

#[test]
fn exchangers_come_by_preference_and_by_chance_among_equals() {
    let list = || -> Vec<(u16, Box<[u8]>)> {
        [(20, "c"), (10, "a"), (10, "b"), (5, "d")]
            .map(|(preference, host)| (preference, host.as_bytes().into()))
            .into()
    };
    let order = |chance: &dyn Fn(&[u8]) -> u64| -> Vec<u8> {
        let ordered = order_exchangers(list(), &ourselves(), chance);
        ordered.iter().map(|(_, host)| host[0]).collect()
    };
    assert_eq!(order(&|name| name[0].into()), b"dabc");
    assert_eq!(order(&|name| 255 - u64::from(name[0])), b"dbac");
}

#[test]
fn an_exchanger_s_addresses_are_tried_in_order() {
    let table = Table::default()
        .mx("a.example", &[(20, "two.example"), (10, "one.example")])
        .at("one.example", &["198.51.100.1", "2001:db8::1"])
        .at("two.example", &["198.51.100.2"]);
    assert_eq!(
        found(&table, "a.example").unwrap(),
        ["[2001:db8::1]:25", "198.51.100.1:25", "198.51.100.2:25"]
    );
}

#[test]
fn a_name_without_exchangers_is_its_own() {
    let table = Table::default().at("a.example", &["198.51.100.1"]);
    assert_eq!(found(&table, "a.example:26").unwrap(), ["198.51.100.1:26"]);
    assert_eq!(found(&table, "[a.example]").unwrap(), ["198.51.100.1:25"]);
}

#[test]
fn brackets_pass_over_the_exchangers() {
    let table =
        Table::default().mx("a.example", &[(1, "b.example")]).at("a.example", &["198.51.100.1"]);
    assert_eq!(found(&table, "[a.example]").unwrap(), ["198.51.100.1:25"]);
}

#[test]
fn the_null_exchanger_means_no_mail_at_all() {
    let table = Table::default().mx("a.example", &[(0, "")]).at("a.example", &["198.51.100.1"]);
    assert_eq!(status(found(&table, "a.example")), Status(5, 1, 10));
    let table = Table::default().mx("a.example", &[(0, ".")]);
    assert_eq!(status(found(&table, "a.example")), Status(5, 1, 10));
}

#[test]
fn the_list_is_cut_at_our_name_and_at_our_address() {
    let table = Table::default()
        .mx("a.example", &[(10, "one.example"), (20, "MX.our.example."), (30, "b.example")])
        .mx("b.example", &[(10, "one.example"), (20, "self.example"), (20, "two.example")])
        .at("one.example", &["198.51.100.1"])
        .at("two.example", &["198.51.100.2"])
        .at("self.example", &["198.51.100.9", "192.0.2.99"]);
    assert_eq!(found(&table, "a.example").unwrap(), ["198.51.100.1:25"]);
    assert_eq!(found(&table, "b.example").unwrap(), ["198.51.100.1:25"]);
}

#[test]
fn a_list_that_points_back_is_for_good() {
    let table = Table::default()
        .mx("a.example", &[(10, "mx.our.example"), (20, "b.example")])
        .mx("c.example", &[(10, "self.example")])
        .at("self.example", &["192.0.2.99"]);
    let refused = found(&table, "a.example").unwrap_err();
    assert_eq!(refused.to_string(), "MX list for a.example points back to mx.our.example");
    let refused = found(&table, "c.example").unwrap_err();
    assert_eq!(refused.to_string(), "MX list for c.example points back to 192.0.2.99");
    assert_eq!(status(Err(refused)), Status(5, 3, 5));
}

#[test]
fn dns_cannot_send_us_to_our_own_services() {
    for address in [
        "127.0.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
    ] {
        let table = Table::default().at("a.example", &[address]);
        assert_eq!(status(found(&table, "a.example")), Status(5, 4, 6), "{address}");
        assert_eq!(status(found(&table, "[a.example]")), Status(5, 4, 6), "{address}");
    }
    let table = Table::default().at("a.example", &["127.0.0.7", "127.0.0.1"]);
    assert_eq!(found(&table, "a.example").unwrap(), ["127.0.0.7:25"]);
    assert_eq!(found(&table, "[127.0.0.1]:2526").unwrap(), ["127.0.0.1:2526"]);
}

#[test]
fn a_question_without_an_answer_is_asked_again_later() {
    let table = Table::default().broken("a.example", 0);
    assert_eq!(status(found(&table, "a.example")), Status(4, 4, 3));
    let table = Table::default()
        .mx("a.example", &[(1, "gone.example"), (2, "b.example")])
        .broken("b.example", 1);
    assert_eq!(status(found(&table, "a.example")), Status(4, 4, 3));
    let table = table.at("gone.example", &["198.51.100.1"]);
    assert_eq!(found(&table, "a.example").unwrap(), ["198.51.100.1:25"]);
}

#[test]
fn unknown_names_are_for_good() {
    let table = Table::default().mx("a.example", &[(1, "gone.example")]);
    assert_eq!(status(found(&table, "nowhere.example")), Status(5, 1, 2));
    assert_eq!(status(found(&table, "a.example")), Status(5, 1, 2));
}

#[test]
fn a_list_falls_back_to_the_next_host() {
    let table = Table::default().at("b.example", &["198.51.100.1"]).broken("c.example", 0);
    assert_eq!(found(&table, "a.example,b.example").unwrap(), ["198.51.100.1:25"]);
    assert_eq!(status(found(&table, "a.example:c.example")), Status(4, 4, 3));
}

proptest! {
    #[test]
    fn any_octets_are_hosts_or_refused_within_bounds(host: Vec<u8>) {
        if let Ok(targets) = parse_hosts(&host, 25) {
            prop_assert!(!targets.is_empty() && targets.len() <= HOSTS_MAX);
        }
    }

    #[test]
    fn a_huge_answer_is_bounded(exchangers in proptest::collection::vec((any::<u16>(), "[a-z.]{0,9}"), 0..100)) {
        let list = exchangers.into_iter().map(|(p, host)| (p, host.into_bytes().into())).collect();
        let ordered = order_exchangers(list, &ourselves(), &|_| 7);
        prop_assert!(ordered.len() <= EXCHANGERS_MAX);
        prop_assert!(ordered.is_sorted_by_key(|(preference, _)| *preference));
    }
}
