//! HELP: topics as a table. No version, no host, nothing that tells more than the RFC does.

use alloc::boxed::Box;
use core::fmt;

use wire::escape::text;

use super::outbox::Outbox;

const TOPICS: [(&str, &[&str]); 10] = [
    ("HELO", &["HELO <hostname>", "\tIntroduce yourself."]),
    ("EHLO", &["EHLO <hostname>", "\tIntroduce yourself, and ask what this server can do."]),
    (
        "MAIL",
        &[
            "MAIL FROM:<sender> [ <parameters> ]",
            "\tName the sender: where reports go.",
            "\tParameters: SIZE BODY SMTPUTF8 RET ENVID.",
        ],
    ),
    (
        "RCPT",
        &[
            "RCPT TO:<recipient> [ <parameters> ]",
            "\tName a recipient. May be used many times.",
            "\tParameters: NOTIFY ORCPT.",
        ],
    ),
    ("DATA", &["DATA", "\tSend the message. It ends with a line that holds only a dot."]),
    ("BDAT", &["BDAT <size> [ LAST ]", "\tSend a part of the message, by its size."]),
    ("RSET", &["RSET", "\tForget sender and recipients."]),
    ("NOOP", &["NOOP", "\tDo nothing."]),
    ("VRFY", &["VRFY <recipient>", "\tAsk about a recipient, where that is allowed."]),
    ("QUIT", &["QUIT", "\tEnd the session."]),
];

/// Answers HELP with this topic, or with none.
pub(super) fn say(topic: &[u8], out: &mut Outbox) {
    if topic.is_empty() {
        line(out, format_args!("Topics:"));
        for (name, _) in TOPICS {
            line(out, format_args!("    {name}"));
        }
        line(out, format_args!("For more use \"HELP <topic>\"."));
    } else {
        let known = TOPICS.iter().find(|(name, _)| topic.eq_ignore_ascii_case(name.as_bytes()));
        let Some((_, lines)) = known else {
            return say_unknown(topic, out);
        };
        for text in *lines {
            match text.strip_prefix('\t') {
                Some(indented) => line(out, format_args!("    {indented}")),
                None => line(out, format_args!("{text}")),
            }
        }
    }
    out.say((214, (2, 0, 0)), format_args!("End of HELP info"));
}

/// There is no such topic.
pub(super) fn say_unknown(topic: &[u8], out: &mut Outbox) {
    let topic = topic.get(..80).unwrap_or(topic);
    out.say((504, (5, 3, 0)), format_args!("HELP topic \"{}\" unknown", text(topic)));
}

/// Answers with the owner's text.
pub(super) fn say_lines(lines: &[Box<[u8]>], out: &mut Outbox) {
    for one in lines {
        out.say_text(214, one);
    }
    out.say((214, (2, 0, 0)), format_args!("End of HELP info"));
}

fn line(out: &mut Outbox, text: fmt::Arguments<'_>) {
    out.say_plain(214, false, format_args!("2.0.0 {text}"));
}
