//! How the server behaves, as options and rule sets ask for it: PrivacyOptions, what EHLO offers, what is counted, which
//! questions are worth asking.

use super::check;
use super::ports::Port;
use super::tune::{positive_u32, value};
use crate::machine::Machine;
use crate::read::values::number;
use alloc::vec::Vec;
use policy::settings::{Manners, Modifiers, Offers, Privacy, Questions, Quirks};

/// NOOP and its like before each costs time, where the configuration says nothing.
const IDLES_MAX: u32 = 20;

/// What `goaway` stands for, beside the answers to VRFY and EXPN.
const GO_AWAY: Privacy = Privacy::NEED_MAIL_HELLO
    .and(Privacy::NEED_EXPN_HELLO)
    .and(Privacy::NEED_VRFY_HELLO)
    .and(Privacy::NO_VERB);

/// How the server behaves; `words` are the flags of PrivacyOptions in lower case.
pub(super) fn manners(machine: &Machine<'_>, words: &[Vec<u8>]) -> Manners {
    Manners {
        privacy: words.iter().fold(Privacy::NONE, |all, word| all.and(privacy(word))),
        offers: offers(machine),
        questions: questions(machine),
        quirks: quirks(machine),
        idles_max: value(machine, "MaxNOOPCommands")
            .map_or(IDLES_MAX, |text| u32::try_from(number(text)).unwrap_or(0)),
        bad_recipients_free: positive_u32(machine, "BadRcptThrottle").unwrap_or(0),
    }
}

fn privacy(word: &[u8]) -> Privacy {
    match word {
        b"needmailhelo" => Privacy::NEED_MAIL_HELLO,
        b"needexpnhelo" => Privacy::NEED_EXPN_HELLO,
        b"needvrfyhelo" => Privacy::NEED_VRFY_HELLO,
        b"noetrn" => Privacy::NO_ETRN,
        b"noverb" => Privacy::NO_VERB,
        b"authwarnings" => Privacy::AUTH_WARNINGS,
        b"goaway" => GO_AWAY,
        _ => Privacy::NONE,
    }
}

fn offers(machine: &Machine<'_>) -> Offers {
    let mut offers = Offers::NONE;
    let is_refused = value(machine, "DeliverByMin").is_some_and(|text| text.starts_with(b"-"));
    if !is_refused {
        offers = offers.and(Offers::DELIVERBY);
    }
    if machine.config.options.truth("SmtpUTF8") {
        offers = offers.and(Offers::SMTPUTF8);
    }
    if positive_u32(machine, "MaxMessageSize").is_none() {
        offers = offers.and(Offers::SIZE_BARE);
    }
    offers
}

fn questions(machine: &Machine<'_>) -> Questions {
    let checks_header = machine.config.headers.iter().any(|header| header.is_check);
    let sets: [(&[u8], Questions); 5] = [
        (b"check_data", Questions::DATA),
        (b"check_eoh", Questions::END_OF_HEADER),
        (b"check_eom", Questions::END_OF_MESSAGE),
        (b"check_etrn", Questions::TURN),
        (b"check_other", Questions::OTHER),
    ];
    let mut questions = Questions::CONNECT.and(Questions::HELP);
    if checks_header {
        questions = questions.and(Questions::END_OF_HEADER);
    }
    for (set, question) in sets {
        if check::has(machine, set) {
            questions = questions.and(question);
        }
    }
    questions
}

fn quirks(machine: &Machine<'_>) -> Quirks {
    let quirks = Quirks::MERGED_RECIPIENTS
        .and(Quirks::FIELDS_ADDED)
        .and(Quirks::ADDRESSES_JUDGED)
        .and(Quirks::LOOSE_COMMANDS)
        .and(Quirks::BARE_ENDS_CLOSE)
        .and(Quirks::DOUBLING_PAUSES)
        .and(Quirks::SILENT_TIMEOUTS)
        .and(Quirks::LONE_HELLO);
    let quirks =
        if machine.config.options.truth("RejectNUL") { quirks.and(Quirks::NO_NUL) } else { quirks };
    let quirks = if machine.config.options.truth("UseCompressedIPv6Addresses") {
        quirks
    } else {
        quirks.and(Quirks::WHOLE_IPV6)
    };
    let also = [("AllowBogusHELO", Quirks::BOGUS_HELLO), ("UseMSP", Quirks::QUEUED_LOGGED)];
    also.into_iter()
        .filter(|(name, _)| machine.config.options.truth(name))
        .fold(quirks, |quirks, (_, one)| quirks.and(one))
}

/// What a listener does otherwise.
pub(super) fn modifiers(port: &Port) -> Modifiers {
    let known = [
        (b'a', Modifiers::NEED_AUTH),
        (b'E', Modifiers::NO_ETRN),
        (b'S', Modifiers::NO_STARTTLS),
        (b's', Modifiers::TLS),
    ];
    let set = known.into_iter().filter(|(letter, _)| port.has(*letter));
    set.fold(Modifiers::NONE, |all, (_, one)| all.and(one))
}
