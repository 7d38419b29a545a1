//! A server for one test: begun with a sendmail.cf in a folder of its own, ended whatever the test came to.

use crate::port::free_port;
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to greet.
const START: Duration = Duration::from_secs(30);

/// A server that runs.
pub(crate) struct Server {
    /// Its first process.
    pub(crate) child: Child,
    /// The port of 127.0.0.1 it listens on.
    pub(crate) port: u16,
}

impl Server {
    /// Begins it with `sendmail.cf` of the folder and waits until it answers. Its log is `log`, its data are in `data`.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same with more flags.
    pub(crate) fn start_with(folder: &Path, flags: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_ironpost"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(folder.join("sendmail.cf"))
            .arg("--data")
            .arg(folder.join("data"))
            .args(flags)
            .stdout(File::create(folder.join("log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self::await_greeting(child, port)
    }

    /// Waits until a server that was begun answers at this port of 127.0.0.1.
    pub(crate) fn await_greeting(child: Child, port: u16) -> Self {
        let server = Self { child, port };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(since.elapsed() < START, "no greeting");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
