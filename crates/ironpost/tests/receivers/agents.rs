//! The delivery agents of Debian as local mailers (`F=S`), each with its usual line of a sendmail.cf, in the server's cage: mail
//! arrives whole in mailbox and Maildir, an agent's wish for another try is heard, nobody gets mail of a name that is no user,
//! and nothing stays in the mail spool but mailboxes.

use crate::dialogue::{say, session};
use crate::port::free_port;
use crate::server::Server;
use crate::soon::is_soon;
use crate::{in_a_room, prepare};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const AGENTS_SH: &str = include_str!("agents.sh");

const CF: &str = "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O AliasFile=/etc/mail/aliases
O MinQueueAge=0
S3
R<$*>\t$1
S0
R$-\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
Mprog, P=/bin/sh, F=lsDFMoqeu9, A=sh -c $u
M*file*, P=[FILE], F=lsDFMPEouq9, A=FILE $u
";

/// What a mailbox could be torn at.
const BODY: &str = "Mail from here\n.\n..\nFrom the start of a line\n\nlast\n";

/// An agent, and what its users and its administrator wrote.
struct Scene {
    test: &'static str,
    /// `P=`, `F=` and `A=` of the local mailer.
    mailer: &'static str,
    /// What runs in the room before the server.
    commands: &'static str,
    /// Whether u1 and u2 have an mbox.
    has_mbox: bool,
    /// A file in the home of u3 that wants a Maildir there; none: the agent knows no Maildir.
    maildir: Option<(&'static str, &'static str)>,
    /// A file in the home of u4 that lets the agent end with `EX_TEMPFAIL`; none: a lock of u4's.
    later: Option<(&'static str, &'static str)>,
}

const PROCMAIL_MAILDIR: Option<(&str, &str)> = Some((".procmailrc", "DEFAULT=$HOME/Maildir/\n"));
const PROCMAIL_LATER: Option<(&str, &str)> = Some((".procmailrc", "EXITCODE=75\nHOST=none\n"));

#[test]
fn procmail_delivers_as_the_local_mailer() {
    Scene {
        test: "agents::procmail_delivers_as_the_local_mailer",
        mailer: "P=/usr/bin/procmail, F=lsDFMSAw5:|/@qPfhn9, A=procmail -t -Y -a $h -d $u",
        commands: "",
        has_mbox: true,
        maildir: PROCMAIL_MAILDIR,
        later: PROCMAIL_LATER,
    }
    .play();
}

#[test]
fn sensible_mda_delivers_as_the_local_mailer() {
    Scene {
        test: "agents::sensible_mda_delivers_as_the_local_mailer",
        mailer: "P=/usr/sbin/sensible-mda, F=lsDFMSAw5:|/@qPhn9, \
                 A=sensible-mda $g $u $h ${client_addr}",
        commands: "",
        has_mbox: true,
        maildir: PROCMAIL_MAILDIR,
        later: PROCMAIL_LATER,
    }
    .play();
}

#[test]
fn maildrop_delivers_as_the_local_mailer() {
    Scene {
        test: "agents::maildrop_delivers_as_the_local_mailer",
        mailer: "P=/usr/bin/maildrop, F=lsDFMSAw5:|/@qPhn9, A=maildrop -d $u",
        // What it asks about users.
        commands: "set -a; . /etc/courier/authdaemonrc
            /usr/lib/courier/courier-authlib/authdaemond 5>&1 &
            for try in 1 2 3 4 5 6 7 8 9; do
                [ -e /run/courier/authdaemon/socket ] || sleep 1
            done",
        has_mbox: true,
        maildir: Some((".mailfilter", "DEFAULT=\"$HOME/Maildir/\"\n")),
        later: Some((".mailfilter", "EXITCODE=75\nexit\n")),
    }
    .play();
}

/// Its line, as its manual has it; without `-d` it asks nobody about the user.
const DOVECOT: &str = "P=/usr/lib/dovecot/dovecot-lda, F=lsDFMSAw5:|/@qPhn9, \
                       A=/usr/lib/dovecot/dovecot-lda -e -f $g";

#[test]
fn dovecot_lda_delivers_as_the_local_mailer_into_mailboxes() {
    Scene {
        test: "agents::dovecot_lda_delivers_as_the_local_mailer_into_mailboxes",
        mailer: DOVECOT,
        commands: "printf 'log_path = /dev/stderr\nssl = no\npostmaster_address = p@x.test\n\
            mail_location = mbox:~/mail:INBOX=/var/mail/%%u\n' > /etc/dovecot/dovecot.conf",
        has_mbox: true,
        maildir: None,
        later: Some(("mail", "no folder")),
    }
    .play();
}

#[test]
fn dovecot_lda_delivers_as_the_local_mailer_into_maildirs() {
    Scene {
        test: "agents::dovecot_lda_delivers_as_the_local_mailer_into_maildirs",
        mailer: DOVECOT,
        commands: "printf 'log_path = /dev/stderr\nssl = no\npostmaster_address = p@x.test\n\
            mail_location = maildir:~/Maildir\n' > /etc/dovecot/dovecot.conf",
        has_mbox: false,
        maildir: Some((".plain", "")),
        later: Some(("Maildir", "no folder")),
    }
    .play();
}

#[test]
fn mail_local_of_sendmail_delivers_as_the_local_mailer() {
    Scene {
        test: "agents::mail_local_of_sendmail_delivers_as_the_local_mailer",
        mailer: "P=/usr/libexec/sendmail/mail.local, F=lsDFMSAw5:|/@qPn9, A=mail.local -d $u",
        commands: "",
        has_mbox: true,
        maildir: None,
        later: None,
    }
    .play();
}

impl Scene {
    fn play(&self) {
        in_a_room(self.test, |room| self.play_inside(room));
    }

    fn play_inside(&self, room: &Path) {
        let system = prepare(room);
        let server = self.start(room, &system);
        let spool = room.join("var/mail");
        let all: &[_] = if self.has_mbox { &[("u1", 2), ("u2", 1)] } else { &[] };
        for &(user, count) in all {
            for _ in 0..count {
                send(server.port, user);
            }
            let read = || fs::read_to_string(spool.join(user)).unwrap_or_default();
            let arrived = || read().matches("\nlast\n").count() == count;
            assert!(is_soon(arrived), "{user}: {}\n{}", read(), log(room));
            assert_eq!(plain(&read()).matches(BODY).count(), count, "{}", read());
            assert_eq!(fs::metadata(spool.join(user)).unwrap().mode() & 0o007, 0);
        }
        if self.maildir.is_some() {
            send(server.port, "u3");
            let new = room.join("home/u3/Maildir/new");
            let read = || fs::read_dir(&new).unwrap().flatten().next();
            assert!(is_soon(|| read().is_some()), "{}", log(room));
            let text = fs::read_to_string(read().unwrap().path()).unwrap();
            assert!(plain(&text).ends_with(BODY), "{text}");
        }
        if self.later.is_some() {
            send(server.port, "u4");
            assert!(is_soon(|| log(room).contains("to=<u4>")), "{}", log(room));
            assert!(log(room).contains("dsn=4.0.0, stat=Deferred"), "{}", log(room));
        }
        assert!(say_to(server.port, "nosuch").starts_with("550 5.1.1 "));
        assert!(is_soon(|| names(&spool).iter().all(|name| !name.contains('.'))));
        assert!(names(&spool).iter().all(|name| name.starts_with('u')), "{:?}", names(&spool));
    }

    /// The server, in the room.
    fn start(&self, room: &Path, system: &Path) -> Server {
        let status = Command::new("sh")
            .args(["-c", AGENTS_SH, "agents.sh"])
            .args([system, room, Path::new(env!("CARGO_BIN_EXE_ironpost"))])
            .status()
            .unwrap();
        assert!(status.success());
        for (user, file) in [("u3", self.maildir), ("u4", self.later)] {
            if let Some((name, text)) = file {
                let path = room.join("home").join(user).join(name);
                drop(fs::remove_dir(&path));
                fs::write(&path, text).unwrap();
                let owner = fs::metadata(path.parent().unwrap()).unwrap().uid();
                std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
            }
        }
        fs::write(room.join("etc/mail/aliases"), "").unwrap();
        let cf = format!("{CF}Mlocal, {}\n", self.mailer);
        fs::write(room.join("etc/mail/sendmail.cf"), cf).unwrap();
        let port = free_port();
        let serve = format!(
            "{}\nexec /home/ironpost serve --listen 127.0.0.1:{port} \
             --config /etc/mail/sendmail.cf --data /var/spool/ironpost",
            self.commands
        );
        let child = Command::new("chroot")
            .arg(system)
            .args(["/bin/sh", "-c", &serve])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(File::create(room.join("log")).unwrap())
            .stderr(File::create(room.join("errors")).unwrap())
            .spawn()
            .unwrap();
        Server::await_greeting(child, port)
    }
}

/// Sends the letter to a user.
fn send(port: u16, user: &str) {
    let mut talk = session(port);
    let text = BODY.replace('\n', "\r\n").replace("\r\n.", "\r\n..");
    let recipient = format!("RCPT TO:<{user}>");
    let letter = format!("Subject: {user}\r\n\r\n{text}.");
    let lines = ["", "HELO x", "MAIL FROM:<a@remote.test>", &recipient, "DATA", &letter, "QUIT"];
    for line in lines {
        let reply = say(&mut talk, line);
        assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
    }
}

/// The reply to a recipient.
fn say_to(port: u16, user: &str) -> String {
    let mut talk = session(port);
    let recipient = format!("RCPT TO:<{user}>");
    let replies = ["", "HELO x", "MAIL FROM:<a@remote.test>", &recipient];
    replies.map(|line| say(&mut talk, line)).into_iter().next_back().unwrap()
}

/// A text as it was before a mailbox quoted it.
fn plain(text: &str) -> String {
    text.replace("\n>From ", "\nFrom ")
}

fn names(folder: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn log(room: &Path) -> String {
    let read = |name: &str| fs::read(room.join(name)).unwrap_or_default();
    String::from_utf8_lossy(&[read("log"), read("errors")].concat()).into_owned()
}
