//! A server with two users of this machine, and a mail spool of its own.

use crate::port::free_port;
use crate::soon::is_soon;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Who attacks.
pub(crate) const MALLORY: &str = "mallory";

/// Who is attacked.
pub(crate) const BOB: &str = "bob";

/// Somebody whose processes are counted.
pub(crate) const EVE: &str = "eve";
pub(crate) const EVES_UID: u32 = 58_103;

/// The users of the town.
const USERS: [(&str, u32); 3] = [(MALLORY, 58_101), (BOB, 58_102), (EVE, EVES_UID)];

const CF: &str = "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O AliasFile=DIR/aliases
O ForwardPath=DIR/forward/$u
O DontBlameSendmail=TrustStickyBit
O MinQueueAge=0
S3
R<$*>\t$1
S0
R:include:$*\t$#local $: :include:$1
R/$*\t$#local $: /$1
R$-\t$#local $: $1
R$-@mail.example.test\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
Mprog, P=/bin/sh, F=lsDFMoqeu9, A=sh -c $u
M*file*, P=[FILE], F=lsDFMPEouq9, A=FILE $u
";

/// The local mailer, run as sendmail's own: `F=S`.
pub(crate) const LOCAL: &str = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPSn, A=sh DIR/program $u\n";

/// Whether these tests can be other users, with a mail spool of their own: root in a container may not.
pub(crate) fn is_root() -> bool {
    let mut mounts = Command::new("unshare");
    mounts.args(["--mount", "true"]).stderr(Stdio::null());
    rustix::process::geteuid().is_root() && mounts.status().is_ok_and(|status| status.success())
}

/// A server whose `/var/mail` is `DIR/mail`, as Debian has it: `drwxrwsr-x root mail`.
pub(crate) struct Town {
    folder: TempDir,
    port: u16,
    server: Child,
}

impl Town {
    /// With these lines of configuration behind the usual ones, and this program as local mailer (`DIR`: the folder).
    pub(crate) fn with(lines: &str, program: &str) -> Self {
        Self::prepared(lines, program, "true")
    }

    /// The same, where root runs these commands first, in a mount namespace of the server's.
    pub(crate) fn prepared(lines: &str, program: &str, commands: &str) -> Self {
        Self::begun(lines, program, commands, "ironpost")
    }

    /// A server that was started under this name (`argv[0]`).
    pub(crate) fn named(name: &str, lines: &str, program: &str) -> Self {
        Self::begun(lines, program, "true", name)
    }

    fn begun(lines: &str, program: &str, commands: &str, name: &str) -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("forward", 0o755), ("out", 0o777), ("mail", 0o2775)] {
            fs::create_dir(path.join(name)).unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        run("chown", &["root:mail"], &path.join("mail"));
        run("chmod", &["2775"], &path.join("mail"));
        let place = path.to_str().unwrap();
        let fill = |text: &str| text.replace("DIR", place);
        fs::write(path.join("sendmail.cf"), fill(&[CF, lines].concat())).unwrap();
        fs::write(path.join("aliases"), "").unwrap();
        fs::write(path.join("program"), fill(program)).unwrap();
        let mut users = fs::read_to_string("/etc/passwd").unwrap();
        for (name, uid) in USERS {
            writeln!(users, "{name}:x:{uid}:{uid}::{place}/home/{name}:/bin/sh").unwrap();
            let home = path.join("home").join(name);
            fs::create_dir_all(&home).unwrap();
            run("chown", &[&format!("{uid}:{uid}")], &home);
        }
        fs::write(path.join("passwd"), users).unwrap();
        let port = free_port();
        let server = serve(path, port, &fill(commands), &fill(name));
        let town = Self { folder, port, server };
        town.until("a greeting", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        town
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts another alias file in the place of the one there, as an editor does.
    pub(crate) fn aliases(&self, text: &str, mode: u32) {
        let new = self.path().join("aliases.new");
        fs::write(&new, text.replace("DIR", self.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, self.path().join("aliases")).unwrap();
    }

    /// Writes a user's `.forward`; he owns it.
    pub(crate) fn forward(&self, user: &str, text: &str) {
        let path = self.path().join("forward").join(user);
        fs::write(&path, text.replace("DIR", self.path().to_str().unwrap())).unwrap();
        run("chown", &[&uid_of(user)], &path);
    }

    /// Gives a file to a user.
    #[expect(clippy::unused_self, reason = "only a town has users")]
    pub(crate) fn owned_by(&self, user: &str, path: &Path) {
        run("chown", &[&uid_of(user)], path);
    }

    /// Makes a mailbox with this in it, `0660 user:mail`.
    pub(crate) fn mailbox(&self, user: &str, text: &str) {
        let path = self.path().join("mail").join(user);
        fs::write(&path, text).unwrap();
        run("chown", &[&format!("{}:mail", uid_of(user))], &path);
        run("chmod", &["660"], &path);
    }

    pub(crate) fn send(&self, to: &str) {
        self.send_from("sender@remote.test", to);
    }

    /// What waits in the queue.
    pub(crate) fn mailq(&self) -> String {
        self.command("mailq", &[])
    }

    /// Tries everything that waits, now.
    pub(crate) fn flush(&self) {
        self.command("queue", &["flush"]);
    }

    fn command(&self, name: &str, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ironpost"));
        command.arg(name).arg("--data").arg(self.path().join("data")).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same from this sender.
    pub(crate) fn send_from(&self, from: &str, to: &str) {
        self.send_all(from, to, "hello\r\n");
    }

    /// A message with this text, or with this header and text.
    pub(crate) fn send_text(&self, to: &str, text: &str) {
        self.send_all("sender@remote.test", to, text);
    }

    /// The reply to a recipient.
    pub(crate) fn replies_to(&self, from: &str, to: &str) -> String {
        let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        let lines = [format!("MAIL FROM:<{from}>\r\n"), format!("RCPT TO:<{to}>\r\n")];
        let mut reply = String::new();
        for said in ["", "HELO x\r\n", &lines[0], &lines[1]] {
            talk.get_mut().write_all(said.as_bytes()).unwrap();
            reply.clear();
            talk.read_line(&mut reply).unwrap();
        }
        reply
    }

    pub(crate) fn send_all(&self, from: &str, to: &str, text: &str) {
        let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        let to = format!("RCPT TO:<{to}>\r\n");
        let from = format!("MAIL FROM:<{from}>\r\n");
        let header = if text.contains("\r\n\r\n") { "" } else { "Subject: x\r\n\r\n" };
        let text = format!("{header}{text}.\r\n");
        for said in ["", "HELO x\r\n", &from, &to, "DATA\r\n", &text] {
            talk.get_mut().write_all(said.as_bytes()).unwrap();
            let mut line = String::new();
            talk.read_line(&mut line).unwrap();
            assert!(line.starts_with(['2', '3']), "{said} {line}");
        }
    }

    /// Waits; says what the server logged if it was in vain.
    pub(crate) fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        assert!(is_soon(is_so), "waited in vain for {what}: {}", self.log());
    }

    /// Waits until the last report is kept back, as nobody here reads one; and nothing was run or written on the way.
    pub(crate) fn ends_without_a_deed(&self) {
        self.until("an end", || self.log().contains("savemail panic"));
        for name in ["ran", "written"] {
            assert!(!self.path().join("out").join(name).exists(), "{}", self.log());
        }
    }

    /// Lets the server read its configuration again.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_raw(self.server.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path().join("log")).unwrap()).into_owned()
    }

    /// What a program left in a file of `out`; nothing: there is none.
    pub(crate) fn out(&self, name: &str) -> String {
        fs::read_to_string(self.path().join("out").join(name)).unwrap_or_default()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn uid_of(user: &str) -> String {
    USERS.iter().find(|(name, _)| *name == user).unwrap().1.to_string()
}

/// Starts the server, as root with our spool and users in the place of the system's.
fn serve(path: &Path, port: u16, commands: &str, name: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_ironpost");
    let place = path.to_str().unwrap();
    let serve = format!(
        "exec -a {name} {program} serve --listen 127.0.0.1:{port} --config {place}/sendmail.cf --data {place}/data"
    );
    let mut command = if is_root() {
        let mut command = Command::new("unshare");
        let mount = format!(
            "mount --bind {place}/mail /var/mail && mount --bind {place}/passwd /etc/passwd \
             && {commands} && {serve}"
        );
        command.args(["--mount", "bash", "-c", &mount]);
        command
    } else {
        let mut command = Command::new("bash");
        command.args(["-c", &serve]);
        command
    };
    let log = File::create(path.join("log")).unwrap();
    command.stdout(log).stderr(Stdio::null()).spawn().unwrap()
}

/// Changes what only root can; without root it stays as it is.
fn run(program: &str, words: &[&str], path: &Path) {
    drop(Command::new(program).args(words).arg(path).stderr(Stdio::null()).status());
}
