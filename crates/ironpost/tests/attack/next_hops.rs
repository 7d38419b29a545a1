//! What another server, or whoever writes a zone, could do to us: words that speak in our name, talk without end, names that
//! lead to our own services.

use crate::town::{LOCAL, Town, is_root};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Keeps nothing.
const PROGRAM: &str = "cat > /dev/null\n";

/// What a next hop says, and to what.
#[derive(Clone, Copy)]
enum Says {
    /// What is right.
    Yes,
    /// These octets to RCPT, and a line end.
    ToRecipient(&'static [u8]),
    /// The same line to RCPT, for ever.
    WithoutEnd(&'static [u8]),
    /// An octet now and then to RCPT, never a line.
    Slowly,
}

/// A next hop at an address of its own; it tells each message it got.
fn next_hop(address: Ipv4Addr, port: u16, says: Says) -> Receiver<String> {
    let listener = TcpListener::bind((address, port)).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // A client that goes away has what it wants.
                if let Ok(text) = talk(stream.unwrap(), says) {
                    drop(sender.send(text));
                }
            });
        }
    });
    receiver
}

fn talk(mut out: TcpStream, says: Says) -> std::io::Result<String> {
    let mut lines = BufReader::new(out.try_clone()?);
    let mut line = String::new();
    out.write_all(b"220 hop ESMTP\r\n")?;
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match (line.get(..4).unwrap_or_default(), says) {
            ("RCPT", Says::ToRecipient(words)) => out.write_all(&[words, b"\r\n"].concat())?,
            ("RCPT", Says::WithoutEnd(words)) => loop {
                out.write_all(&[words, b"\r\n"].concat())?;
            },
            ("RCPT", Says::Slowly) => loop {
                out.write_all(b"2")?;
                std::thread::sleep(Duration::from_millis(200));
            },
            ("DATA", _) => {
                out.write_all(b"354 go\r\n")?;
                let mut text = String::new();
                while lines.read_line(&mut text)? > 0 && !text.ends_with("\r\n.\r\n") {}
                out.write_all(b"250 taken\r\n")?;
                return Ok(text);
            }
            _ => out.write_all(b"250 ok\r\n")?,
        }
    }
}

/// A port that is free at every address of the loopback network.
fn port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// The network's mailers at this port.
fn mailers(port: u16) -> String {
    format!("O Timeout.rcpt=3s\nMesmtp, P=[IPC], F=mDFMuXa, A=TCP $h {port}\n{LOCAL}")
}

#[test]
fn the_words_of_another_server_are_no_lines_of_ours() {
    if !is_root() {
        return;
    }
    let port = port();
    let words = b"450-4.2.0 x\x1b[2J\x07\rto=<forged@remote.test>\x00\x9b\xff\r\n450 4.2.0 R<forged@remote.test>\x7f";
    drop(next_hop([127, 0, 1, 1].into(), port, Says::ToRecipient(words)));
    let town = Town::with(&mailers(port), PROGRAM);
    town.send("bob@[127.0.1.1]");
    town.until("a deferral", || town.log().contains("stat=Deferred"));
    for shown in [town.log(), town.mailq()] {
        assert!(
            !shown.chars().any(|one| one.is_control() && one != '\n' && one != '\t'),
            "{shown:?}"
        );
        assert!(!shown.lines().any(|line| line.trim_start().starts_with("to=<forged")), "{shown}");
        assert!(!shown.lines().any(|line| line.trim_start().starts_with("R<forged")), "{shown}");
    }
    // Nobody came to the message by that.
    assert_eq!(town.mailq().matches("bob@[127.0.1.1]").count(), 1, "{}", town.mailq());
}

#[test]
fn a_server_that_talks_without_end_keeps_nobody_elses_mail() {
    if !is_root() {
        return;
    }
    let port = port();
    for (last, says) in
        [(2, Says::WithoutEnd(b"250-more")), (3, Says::WithoutEnd(b"\0\x1b[2J")), (4, Says::Slowly)]
    {
        drop(next_hop([127, 0, 1, last].into(), port, says));
    }
    let good = next_hop([127, 0, 1, 5].into(), port, Says::Yes);
    let town = Town::with(&mailers(port), PROGRAM);
    let began = Instant::now();
    for number in 0..60 {
        town.send(&format!("bob{number}@[127.0.1.{}]", 2 + number % 4));
    }
    for _ in 0..15 {
        good.recv_timeout(Duration::from_secs(20)).expect("the good server's mail");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    for bad in 2..5 {
        let to = format!("@[127.0.1.{bad}]>");
        town.until("a deferral", || {
            town.log().lines().any(|line| line.contains(&to) && line.contains("stat=Deferred"))
        });
    }
}

/// A name server that knows every name of `evil.test`: its first label is the address, `-` for `.` or `:`.
fn name_server(address: Ipv4Addr) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        loop {
            let (length, peer) = socket.recv_from(&mut packet).unwrap();
            let label = packet.get(13..13 + usize::from(packet[12])).unwrap_or_default();
            let label = String::from_utf8_lossy(label).to_lowercase();
            let kind = packet[..length].windows(2).rev().nth(1).map_or(0, |kind| kind[1]);
            let end = packet[12..length].iter().position(|&octet| octet == 0).unwrap_or(0) + 17;
            let kind = packet.get(end - 3).copied().unwrap_or(kind);
            let data = match (kind, label.strip_prefix("v6-")) {
                (28, Some(six)) => {
                    six.replace('-', ":").parse::<Ipv6Addr>().map(|one| one.octets().to_vec()).ok()
                }
                (1, None) => label
                    .replace('-', ".")
                    .parse::<Ipv4Addr>()
                    .map(|one| one.octets().to_vec())
                    .ok(),
                _ => None,
            };
            let mut reply = packet[..2].to_vec();
            reply.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
            reply.extend_from_slice(&packet[12..end]);
            if let Some(data) = data {
                reply.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
                reply.push(u8::try_from(data.len()).unwrap());
                reply.extend_from_slice(&data);
            }
            drop(socket.send_to(&reply, peer));
        }
    });
}

#[test]
fn a_zone_cannot_send_us_to_ourselves_or_to_nowhere() {
    if !is_root() {
        return;
    }
    let port = port();
    let server = Ipv4Addr::new(127, 58, 1, 53);
    name_server(server);
    let (heard, services) = channel();
    for service in [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])] {
        // A machine without IPv6 has one service less to be reached.
        let Ok(listener) = TcpListener::bind((service, port)) else { continue };
        let heard = heard.clone();
        std::thread::spawn(move || heard.send(listener.accept().unwrap().1).ok());
    }
    let resolv = format!(
        "echo nameserver {server} > DIR/resolv.conf && mount --bind DIR/resolv.conf /etc/resolv.conf"
    );
    let town = Town::prepared(&mailers(port), PROGRAM, &resolv);
    let names = [
        "127-0-0-1",
        "127-58-1-53",
        "0-0-0-0",
        "0-1-2-3",
        "169-254-1-1",
        "224-0-0-1",
        "255-255-255-255",
        "v6---1",
        "v6---",
        "v6---ffff-7f00-1",
        "v6-64-ff9b--7f00-1",
        "v6-fe80--1",
        "v6-ff02--1",
    ];
    for name in names {
        town.send(&format!("bob@{name}.evil.test"));
    }
    // Where we listen it would come back to us.
    let ends = ["stat=Local configuration error", "has only addresses where no mail can go"];
    for name in names {
        let to = format!("bob@{name}.evil.test>");
        town.until("an end", || {
            town.log()
                .lines()
                .any(|line| line.contains(&to) && ends.iter().any(|end| line.contains(end)))
        });
    }
    assert!(services.try_recv().is_err(), "{}", town.log());
}
