//! Lines as clients, testers and attackers send them.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::dsn::{Notify, Ret};

fn mail(line: &str) -> Result<Mail<'_>, Fault<'_>> {
    let command = Command::parse(line.as_bytes())?;
    let Command::Mail(mail) = command else { panic!("{command:?}") };
    Ok(mail)
}

fn rcpt(line: &str) -> Result<Rcpt<'_>, Fault<'_>> {
    let command = Command::parse(line.as_bytes())?;
    let Command::Rcpt(rcpt) = command else { panic!("{command:?}") };
    Ok(rcpt)
}

#[test]
fn verbs_are_read_in_any_case() {
    assert_eq!(Command::parse(b"hElO a.test"), Ok(Command::Helo(b"a.test")));
    assert_eq!(Command::parse(b"EHLO [192.0.2.1]"), Ok(Command::Ehlo(b"[192.0.2.1]")));
    assert_eq!(Command::parse(b"data"), Ok(Command::Data));
    assert_eq!(Command::parse(b"QUIT now"), Ok(Command::Quit));
    assert_eq!(Command::parse(b"RSET x"), Ok(Command::Rset));
    assert_eq!(Command::parse(b"NOOP  a b "), Ok(Command::Noop));
    assert_eq!(Command::parse(b"HELP  mail rcpt"), Ok(Command::Help(b"mail rcpt")));
    assert_eq!(Command::parse(b"VRFY a b"), Ok(Command::Vrfy(b"a b")));
    assert_eq!(
        Command::parse(b"AUTH PLAIN AGEAYg=="),
        Ok(Command::Auth { mechanism: b"PLAIN", initial: Some(b"AGEAYg==") })
    );
    for line in ["", " ", "DEBUG", "SHOWQ", "WIZ", "DATAX", "GET / HTTP/1.0", " HELO a"] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(Command::Unknown), "{line}");
    }
}

#[test]
fn mail_is_read_with_all_its_parameters() {
    let read = mail(
        "MAIL FROM:<a@b.test> SIZE=100 BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=QQ+2D1 AUTH=<> BY=-5;NT",
    );
    let read = read.unwrap();
    assert_eq!(read.path.address, b"a@b.test");
    assert_eq!(
        (read.size_bytes, read.body, read.is_utf8),
        (Some(100), Some(BodyKind::EightBit), true)
    );
    assert_eq!(
        (read.ret, read.envelope_id, read.auth),
        (Some(Ret::Headers), Some(&b"QQ+2D1"[..]), Some(&b"<>"[..]))
    );
    assert_eq!(read.by, Some(DeliverBy { seconds: -5, returns: false, traces: true }));
    for line in [
        "mail from:<a@b.test>",
        "MAIL  FROM:<a@b.test>",
        "MAIL FROM :<a@b.test>",
        "MAIL FROM: a@b.test",
    ] {
        assert_eq!(mail(line).unwrap().path.address, b"a@b.test", "{line}");
    }
}

#[test]
fn mail_is_strict_about_its_parameters() {
    use Parameter::{Auth, Body, By, Envid, Ret, Size, SmtpUtf8};
    for (line, fault) in [
        ("MAIL", Fault::Keyword(b"")),
        ("MAIL FROM", Fault::Keyword(b"FROM")),
        ("MAIL FROM:", Fault::Keyword(b"FROM")),
        ("MAIL TO:<a@b>", Fault::Keyword(b"TO")),
        ("MAIL FROM:<a@b>x", Fault::Path(b"<a@b>x", PathFault::Junk)),
        ("MAIL FROM:<a@b>SIZE=1", Fault::Path(b"<a@b>SIZE=1", PathFault::Junk)),
        ("MAIL FROM:<a@b> JUNK", Fault::Unknown(b"JUNK")),
        ("MAIL FROM:<a@b> JUNK=1", Fault::Unknown(b"JUNK")),
        ("MAIL FROM:<a@b> NOTIFY=NEVER", Fault::Unknown(b"NOTIFY")),
        ("MAIL FROM:<a@b> =1", Fault::Unknown(b"")),
        ("MAIL FROM:<a@b> SIZE", Fault::ValueMissing(Size)),
        ("MAIL FROM:<a@b> SIZE=", Fault::ValueMissing(Size)),
        ("MAIL FROM:<a@b> SIZE=abc", Fault::Value(Size, b"abc")),
        ("MAIL FROM:<a@b> SIZE=-1", Fault::Value(Size, b"-1")),
        ("MAIL FROM:<a@b> SIZE=18446744073709551616", Fault::SizeTooLarge),
        ("MAIL FROM:<a@b> SIZE=999999999999999999999", Fault::SizeTooLarge),
        ("MAIL FROM:<a@b> SIZE=1 size=1", Fault::Duplicate(Size)),
        ("MAIL FROM:<a@b> BODY=FOO", Fault::Value(Body, b"FOO")),
        ("MAIL FROM:<a@b> BODY=BINARYMIME", Fault::Value(Body, b"BINARYMIME")),
        ("MAIL FROM:<a@b> SMTPUTF8=1", Fault::Value(SmtpUtf8, b"1")),
        ("MAIL FROM:<a@b> RET=FOO", Fault::Value(Ret, b"FOO")),
        ("MAIL FROM:<a@b> RET=FULL RET=HDRS", Fault::Duplicate(Ret)),
        ("MAIL FROM:<a@b> ENVID=+zz", Fault::Value(Envid, b"+zz")),
        ("MAIL FROM:<a@b> ENVID=+0A", Fault::Value(Envid, b"+0A")),
        ("MAIL FROM:<a@b> AUTH=+0D", Fault::Value(Auth, b"+0D")),
        ("MAIL FROM:<a@b> BY=-5;R", Fault::Value(By, b"-5;R")),
        ("MAIL FROM:<a@b> BY=1234567890;R", Fault::Value(By, b"1234567890;R")),
        ("MAIL FROM:<ä@b>", Fault::Utf8Needed("ä@b".as_bytes())),
        ("MAIL FROM:<a\tb@c>", Fault::Control(Verb::Mail)),
    ] {
        assert_eq!(mail(line), Err(fault), "{line}");
    }
    assert_eq!(Command::parse(b"MAIL FROM:<\xe4@b> SMTPUTF8"), Err(Fault::EightBit(Verb::Mail)));
    assert_eq!(Command::parse(b"MAIL FROM:<a\0@b>"), Err(Fault::Control(Verb::Mail)));
    let many = [&b"MAIL FROM:<a@b>"[..], &b" X".repeat(20)].concat();
    assert_eq!(Command::parse(&many), Err(Fault::Unknown(b"X")));
}

#[test]
fn rcpt_is_read_and_strict() {
    let read = rcpt("RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b").unwrap();
    assert_eq!(read.notify, Some(Notify::On { success: true, failure: false, delay: true }));
    assert_eq!(read.original, Some(&b"rfc822;a+40b"[..]));
    for (line, fault) in [
        ("RCPT", Fault::Keyword(b"")),
        ("RCPT <a>", Fault::Keyword(b"<a>")),
        ("RCPT TO a", Fault::Keyword(b"TO a")),
        ("RCPT TO:<>", Fault::Path(b"<>", PathFault::Missing)),
        ("RCPT TO:<a>>", Fault::Path(b"<a>>", PathFault::Brackets)),
        ("RCPT TO:<a@b> SIZE=1", Fault::Unknown(b"SIZE")),
        ("RCPT TO:<a@b> NOTIFY", Fault::ValueMissing(Parameter::Notify)),
        ("RCPT TO:<a@b> NOTIFY=FOO", Fault::Value(Parameter::Notify, b"FOO")),
        ("RCPT TO:<a@b> ORCPT=foo", Fault::Value(Parameter::Orcpt, b"foo")),
        ("RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", Fault::Duplicate(Parameter::Notify)),
    ] {
        assert_eq!(rcpt(line), Err(fault), "{line}");
    }
}

#[test]
fn other_commands_have_their_faults() {
    for (line, fault) in [
        ("HELO", Fault::ArgumentMissing(Verb::Helo)),
        ("EHLO x y", Fault::Name(Verb::Ehlo, DomainFault::Character)),
        ("EHLO a..b", Fault::Name(Verb::Ehlo, DomainFault::Empty)),
        ("DATA extra", Fault::ArgumentNotAllowed(Verb::Data)),
        ("STARTTLS x", Fault::ArgumentNotAllowed(Verb::StartTls)),
        ("VRFY", Fault::ArgumentMissing(Verb::Vrfy)),
        ("EXPN ", Fault::ArgumentMissing(Verb::Expn)),
        ("ETRN", Fault::ArgumentMissing(Verb::Etrn)),
        ("BDAT", Fault::Chunk),
        ("BDAT x", Fault::Chunk),
        ("BDAT 1 FIRST", Fault::Chunk),
        ("BDAT -1", Fault::Chunk),
        ("BDAT 99999999999999999999", Fault::Chunk),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Err(fault), "{line}");
    }
    assert_eq!(
        Command::parse(b"bdat 5 last"),
        Ok(Command::Bdat(Chunk { size_bytes: 5, is_last: true }))
    );
    assert_eq!(Command::parse(b"HELO \xe4.test"), Err(Fault::EightBit(Verb::Helo)));
    assert_eq!(Command::parse(b"EHLO x\0y"), Err(Fault::Control(Verb::Ehlo)));
    assert_eq!(Command::parse(b"EHLO x\ty"), Err(Fault::Control(Verb::Ehlo)));
    assert_eq!(Command::parse(b"\xff\xfe"), Err(Fault::EightBit(Verb::Other)));
}

proptest! {
    #[test]
    fn any_line_is_a_command_or_a_fault(line: Vec<u8>) {
        drop(Command::parse(&line));
    }

    #[test]
    fn lines_that_look_like_commands_are_too(verb in "(MAIL FROM:|RCPT TO:|EHLO|BDAT|AUTH|VRFY) ?", rest in "[<>@a-z\"\\\\ =;+A-Z0-9.,:-]{0,60}") {
        let line = [verb.as_bytes(), rest.as_bytes()].concat();
        drop(Command::parse(&line));
    }
}
