//! A client of a test: lines to a server, and the last line of each of its replies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a server of this machine, of which nothing was read.
pub(crate) fn session(port: u16) -> BufReader<TcpStream> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return BufReader::new(stream);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody listens");
}

/// Says a line, or with none only listens; gives the last line of the reply.
pub(crate) fn say<S: Read + Write>(session: &mut BufReader<S>, line: &str) -> String {
    if !line.is_empty() {
        session.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }
    loop {
        let mut reply = String::new();
        assert!(session.read_line(&mut reply).unwrap() > 0, "the server closed");
        if reply.as_bytes().get(3) != Some(&b'-') {
            return reply.trim_end().to_owned();
        }
    }
}
