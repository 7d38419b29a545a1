//! `.forward` files and lists of users: read as their user, trusted only if nobody else can have written them, obeyed in
//! a cage that is the user's. The names say which attack each test is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
mod server;
#[path = "running/soon.rs"]
mod soon;

use server::Server;
use soon::is_soon;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const CF: &str = "V10/Berkeley
Djmail.example.test
Ct USER
O OperatorChars=.:%@!^/[]+
O AliasFile=DIR/aliases
O ForwardPath=DIR/forward/$u
O DontBlameSendmail=TrustStickyBit
S3
R<$*>\t$1
S0
R:include:$*\t$#local $: :include:$1
R/$*\t$#local $: /$1
R$-\t$#local $: $1
R$-@mail.example.test\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, A=sh DIR/program $u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
Mprog, P=/bin/sh, F=lsDFMoqeu9, A=sh -c $u
M*file*, P=[FILE], F=lsDFMPEouq9, A=FILE $u
";

/// A server with one user, who may have a `.forward`.
struct Town {
    folder: TempDir,
    user: String,
    server: Server,
}

/// Somebody whose mail may be delivered here: as root another user, else ourselves.
fn somebody() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    if name == "root" { "nobody".to_owned() } else { name }
}

impl Town {
    fn with(aliases: &str) -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("forward", 0o755), ("out", 0o777)] {
            fs::create_dir(path.join(name)).unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let (place, user) = (path.to_str().unwrap(), somebody());
        let fill = |text: &str| text.replace("DIR", place).replace("USER", &user);
        fs::write(path.join("sendmail.cf"), fill(CF)).unwrap();
        fs::write(path.join("aliases"), fill(aliases)).unwrap();
        fs::write(path.join("program"), fill("cat > DIR/out/mailbox.$$\n")).unwrap();
        let server = Server::start(path);
        Self { folder, user, server }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the user's `.forward`; he owns it.
    fn forward(&self, text: &str, mode: u32) {
        let path = self.path().join("forward").join(&self.user);
        fs::write(&path, text.replace("DIR", self.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let owner = format!("{}:", self.user);
        // Where we are not root it is ours already.
        drop(Command::new("chown").arg(owner).arg(&path).status());
    }

    fn send(&self, to: &str) {
        let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", self.server.port)).unwrap());
        let to = format!("RCPT TO:<{to}>\r\n");
        let from = "MAIL FROM:<sender@remote.test>\r\n";
        for said in ["", "HELO x\r\n", from, &to, "DATA\r\n", "Subject: x\r\n\r\nhello\r\n.\r\n"] {
            talk.get_mut().write_all(said.as_bytes()).unwrap();
            let mut line = String::new();
            talk.read_line(&mut line).unwrap();
            assert!(line.starts_with(['2', '3']), "{said} {line}");
        }
    }

    /// Waits; says what the server logged if it was in vain.
    fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        assert!(is_soon(is_so), "waited in vain for {what}: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.path().join("out").join(name).exists()
    }

    /// How many messages came into the user's mailbox.
    fn mailbox(&self) -> usize {
        let files = fs::read_dir(self.path().join("out")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("mailbox.")).count()
    }
}

#[test]
fn a_forward_is_read_and_its_programs_run_as_its_user() {
    let town = Town::with("x: x@remote.test\n");
    let text = "# mine\n\\USER, \"|cat > DIR/out/letter; id -un > DIR/out/who\"\n";
    town.forward(&text.replace("USER", &town.user), 0o600);
    town.send(&town.user);
    town.until("both deliveries", || town.has("who") && town.mailbox() == 1);
    let who = || fs::read_to_string(town.path().join("out/who")).unwrap();
    town.until("the name", || who().trim() == town.user);
    let letter = fs::read_to_string(town.path().join("out/letter")).unwrap();
    assert!(letter.contains("hello"), "{letter}");
}

#[test]
fn a_forward_that_others_may_write_is_not_obeyed() {
    let town = Town::with("x: x@remote.test\n");
    town.forward("\"|touch DIR/out/owned\"\n", 0o664);
    town.send(&town.user);
    town.until("the mailbox", || town.mailbox() == 1);
    assert!(!town.has("owned"), "{}", town.log());
}

#[test]
fn two_forwards_in_a_ring_end_in_the_mailbox_once() {
    let town = Town::with("ring: USER@mail.example.test\n");
    town.forward("ring@mail.example.test, ring@mail.example.test\n", 0o644);
    town.send(&town.user);
    town.until("the mailbox", || town.mailbox() == 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(town.mailbox(), 1);
}

#[test]
fn a_list_that_its_user_may_not_read_is_not_read_for_him() {
    let town = Town::with("x: x@remote.test\n");
    let secret = town.path().join("secret");
    fs::write(&secret, "victim@remote.test\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let text = format!("\\{}, :include:DIR/secret\n", town.user);
    town.forward(&text, 0o644);
    town.send(&town.user);
    town.until("the refusal", || town.log().contains("Permission denied"));
    town.until("the mailbox", || town.mailbox() == 1);
    assert!(!town.log().contains("victim"), "{}", town.log());
}

#[test]
fn a_list_of_the_aliases_is_read_and_each_member_gets_it_once() {
    let town = Town::with("all: :include:DIR/list\nowner-all: USER\n");
    fs::write(town.path().join("list"), format!("{0}\n{0}@mail.example.test, {0}\n", town.user))
        .unwrap();
    town.send("all");
    town.until("the mailbox", || town.mailbox() == 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(town.mailbox(), 1, "{}", town.log());
}

#[test]
fn a_program_of_the_aliases_runs_and_one_in_an_address_does_not() {
    let town = Town::with("prog: \"|cat > DIR/out/letter\"\n");
    town.send("prog");
    town.until("the program", || town.has("letter"));
    let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", town.server.port)).unwrap());
    let attack =
        format!("RCPT TO:<\"|touch {}/out/owned\"@mail.example.test>\r\n", town.path().display());
    for said in
        ["", "HELO x\r\n", "MAIL FROM:<>\r\n", &attack, "RCPT TO:<|id>\r\n", "RCPT TO:</etc/x>\r\n"]
    {
        talk.get_mut().write_all(said.as_bytes()).unwrap();
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        assert_eq!(said.starts_with("RCPT"), line.starts_with('5'), "{said} {line}");
    }
    assert!(!town.has("owned"));
}

#[test]
fn a_file_of_a_forward_is_written_as_its_user_and_a_link_is_not_followed() {
    let town = Town::with("x: x@remote.test\n");
    town.forward("DIR/out/file, DIR/out/link\n", 0o600);
    let target = town.path().join("out/target");
    std::os::unix::fs::symlink(&target, town.path().join("out/link")).unwrap();
    town.send(&town.user);
    town.until("the file", || town.has("file"));
    town.until("the refusal", || town.log().contains("stat=Can't create output"));
    assert!(!target.exists());
    let owner = Command::new("stat").args(["-c", "%U"]).arg(town.path().join("out/file")).output();
    assert_eq!(String::from_utf8(owner.unwrap().stdout).unwrap().trim(), town.user);
}
