//! A server in a folder of its own, and a client that talks to it.

use crate::port::free_port;
use crate::soon::is_soon;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ironpost");

/// No wait of these tests is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A user that nobody has, for servers without root.
pub(crate) const STRANGER: u32 = 58_999;

/// A server in a folder of its own.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    /// The listener in the configuration, `PORT` for the port.
    pub(crate) listen: String,
    /// `log.to` in the configuration.
    pub(crate) log_to: &'static str,
    pub(crate) server: Option<Child>,
    /// The server reads a file.
    is_configured: bool,
    /// Server and commands run as this user.
    user: Option<u32>,
    program: PathBuf,
    /// Words before the server's own: another program that becomes it.
    wrapper: Vec<String>,
}

impl House {
    /// Starts a server without configuration and waits for its greeting.
    pub(crate) fn new() -> Self {
        let mut house = Self::empty();
        house.start();
        house
    }

    /// The same with a file: these lines, and where it listens and writes its log.
    pub(crate) fn configured(lines: &str) -> Self {
        let mut house = Self::empty();
        house.configure(lines);
        house.start();
        house
    }

    /// The same without root's rights, also where the tests have them.
    pub(crate) fn without_root() -> Self {
        let mut house = Self::empty();
        if is_root() {
            // Where the program lies, others need not have access.
            house.program = house.folder.path().join("ironpost");
            fs::copy(PROGRAM, &house.program).unwrap();
            std::os::unix::fs::chown(house.folder.path(), Some(STRANGER), Some(STRANGER)).unwrap();
            house.user = Some(STRANGER);
        }
        house.start();
        house
    }

    /// A folder and a port; nobody serves yet.
    pub(crate) fn empty() -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        // Its roles are other users when we are root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            folder,
            port: free_port(),
            log_to: "stdout",
            listen: "\"127.0.0.1:PORT\"".into(),
            server: None,
            is_configured: false,
            user: None,
            program: PROGRAM.into(),
            wrapper: Vec::new(),
        }
    }

    /// Starts the server through another program.
    pub(crate) fn wrapped(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Writes the configuration; tables go last in `lines`.
    pub(crate) fn configure(&mut self, lines: &str) {
        let listen = self.listen.replace("PORT", &self.port.to_string());
        let head = format!("host_name = \"mail.example.test\"\nlisten = [{listen}]\n");
        let text = format!("{head}{lines}\n[log]\nto = \"{}\"\nlevel = 15\n", self.log_to);
        fs::write(self.configuration(), text).unwrap();
        self.is_configured = true;
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("ironpost.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }

    /// A command as the house's user.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    pub(crate) fn start(&mut self) {
        let mut words = self.wrapper.clone();
        words.push(self.program.display().to_string());
        words.extend(["serve".into(), "--data".into(), self.data().display().to_string()]);
        if self.is_configured {
            words.extend(["--config".into(), self.configuration().display().to_string()]);
        } else {
            words.extend(["--listen".into(), format!("127.0.0.1:{}", self.port)]);
        }
        until("the greeting", || {
            // A port that was free may be somebody else's for a moment.
            if self.server.as_mut().is_none_or(|server| server.try_wait().unwrap().is_some()) {
                self.server = Some(self.spawn(&words));
            }
            self.talk().is_some()
        });
    }

    fn spawn(&self, words: &[String]) -> Child {
        let log = self.folder.path().join("log");
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let complaints = log.try_clone().unwrap();
        let mut command = self.command(Path::new(&words[0]));
        command.args(&words[1..]).stdout(log).stderr(complaints).spawn().unwrap()
    }

    /// A session that was greeted.
    pub(crate) fn talk(&self) -> Option<Session> {
        let mut session = Session::open(self.port)?;
        (session.reply()? == 220).then_some(session)
    }

    pub(crate) fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(&self.program);
        command.arg(words[0]).arg("--data").arg(self.data()).args(&words[1..]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read is a command that has said why.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// What `mailq` says.
    pub(crate) fn mailq(&self) -> String {
        String::from_utf8_lossy(&self.run(&["mailq"], "").stdout).into_owned()
    }

    /// The letters in all mailboxes: the word behind `X-Number:` and how often it is there.
    pub(crate) fn letters(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for mailbox in list(&self.data().join("mail")) {
            for letter in list(&mailbox.join("new")) {
                count(&fs::read_to_string(letter).unwrap(), &mut found);
            }
        }
        found
    }

    /// Our processes: id and role.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let master = self.master();
        let mut found = Vec::new();
        for process in list(Path::new("/proc")) {
            let Ok(stat) = fs::read_to_string(process.join("stat")) else { continue };
            let rest = stat.rsplit(')').next().unwrap();
            if rest.split_whitespace().nth(1) == Some(&master.to_string()) {
                let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
                let pid = process.file_name().unwrap().to_string_lossy().parse().unwrap();
                found.push((pid, words.split('\0').nth(2).unwrap_or_default().to_owned()));
            }
        }
        found
    }

    pub(crate) fn master(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        kill("TERM", self.master());
        self.ended()
    }

    /// Waits for the end; the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut server = self.server.take().unwrap();
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = server.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(server.kill());
        drop(server.wait());
        panic!("the server did not stop");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let text = format!("the last lines of the log, newest first: {tail:#?}\n");
            drop(std::io::stderr().write_all(text.as_bytes()));
        }
    }
}

pub(crate) struct Session {
    pub(crate) input: BufReader<TcpStream>,
    pub(crate) stream: TcpStream,
}

impl Session {
    /// A connection; nothing is read yet.
    pub(crate) fn open(port: u16) -> Option<Self> {
        Self::open_from(port, std::net::Ipv4Addr::LOCALHOST)
    }

    /// The same from and to this address of ours.
    pub(crate) fn open_from(port: u16, address: std::net::Ipv4Addr) -> Option<Self> {
        // To connect to an own address is to come from it.
        let stream = TcpStream::connect((address, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        Some(Self { input: BufReader::new(stream.try_clone().ok()?), stream })
    }

    /// The lines of the next reply; `None`: the connection is gone.
    pub(crate) fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let start = text.len();
            if self.input.read_line(&mut text).ok()? == 0 {
                return None;
            }
            if text.as_bytes().get(start + 3) != Some(&b'-') {
                return Some(text);
            }
        }
    }

    /// The code of the next reply; `None`: the connection is gone.
    pub(crate) fn reply(&mut self) -> Option<u16> {
        self.text()?.get(..3)?.parse().ok()
    }

    pub(crate) fn say(&mut self, line: &str) -> Option<u16> {
        self.ask(line)?.get(..3)?.parse().ok()
    }

    /// Says a line; the whole reply.
    pub(crate) fn ask(&mut self, line: &str) -> Option<String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        self.text()
    }

    /// Sends a numbered letter; whether it was acknowledged.
    pub(crate) fn send(&mut self, number: &str, to: &str) -> Option<bool> {
        let body = "a line of text\r\n".repeat(200);
        Some(self.letter(number, &format!("{to}@example.org"), &body)?.starts_with("250"))
    }

    /// Sends a numbered letter with this text; the reply that decided on it.
    pub(crate) fn letter(&mut self, number: &str, to: &str, body: &str) -> Option<String> {
        for line in ["RSET", "MAIL FROM:<a@example.org>", &format!("RCPT TO:<{to}>")] {
            let said = self.ask(line)?;
            if !said.starts_with("250") {
                return Some(said);
            }
        }
        let said = self.ask("DATA")?;
        if !said.starts_with("354") {
            return Some(said);
        }
        self.ask(&format!("X-Number: {number}\r\n\r\n{body}the end\r\n."))
    }
}

/// Counts a letter by its number; one that is torn is an error.
pub(crate) fn count(text: &str, found: &mut BTreeMap<String, usize>) {
    let number = text.lines().find_map(|line| line.strip_prefix("X-Number: "));
    let number = number.expect("a letter without its number is torn").to_owned();
    assert!(text.ends_with("the end\n") || text.ends_with("the end\r\n"), "{number} is torn");
    *found.entry(number).or_default() += 1;
}

pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

pub(crate) fn until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(is_soon(is_so), "waited in vain for {what}");
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let script = format!("kill -{signal} {pid}");
    // A process that is gone already can't be signalled.
    drop(Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status());
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Says in the test's output, also when it passes, that a part was done in another way, and why.
pub(crate) fn note(text: &str) {
    std::io::stderr().write_all(format!("note: {text}\n").as_bytes()).unwrap();
}
