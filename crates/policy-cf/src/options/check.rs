//! What sendmail says about an option's value when it reads it.
//!
//! Most wrong values are taken silently, as there; what is listed here is all that it speaks about.

use super::table::{Kind, Spec};
use crate::read::values::number;
use alloc::vec::Vec;

/// Something to say, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// With file and line; the run will end with 70.
    System(Vec<u8>),
    /// With file and line; the run's status stays.
    User(Vec<u8>),
    /// Without file and line, as it is.
    Plain(Vec<u8>),
    /// With file and line; the run ends now with 64.
    Fatal(Vec<u8>),
}

/// Suboptions of Timeout.
const TIMEOUTS: [&str; 34] = [
    "initial",
    "mail",
    "rcpt",
    "datainit",
    "datablock",
    "datafinal",
    "command",
    "rset",
    "helo",
    "quit",
    "misc",
    "ident",
    "fileopen",
    "connect",
    "queuewarn",
    "queuewarn.normal",
    "queuewarn.urgent",
    "queuewarn.non-urgent",
    "queuereturn",
    "queuereturn.normal",
    "queuereturn.urgent",
    "queuereturn.non-urgent",
    "hoststatus",
    "iconnect",
    "resolver.retrans",
    "resolver.retrans.first",
    "resolver.retrans.normal",
    "resolver.retry",
    "resolver.retry.first",
    "resolver.retry.normal",
    "control",
    "lhlo",
    "auth",
    "starttls",
];

/// More suboptions of Timeout, of later versions.
const TIMEOUTS_MORE: [&str; 3] = ["aconnect", "queuereturn.dsn", "queuewarn.dsn"];

/// Flags of PrivacyOptions.
const PRIVACY: [&str; 21] = [
    "public",
    "needmailhelo",
    "needexpnhelo",
    "needvrfyhelo",
    "noexpn",
    "novrfy",
    "restrictexpand",
    "restrictmailq",
    "restrictqrun",
    "noetrn",
    "noverb",
    "authwarnings",
    "noreceipts",
    "nobodyreturn",
    "goaway",
    "noactualrecipient",
    "bodyreturn",
    "nostarttls",
    "needehlo",
    "noactual",
    // Ours: reports tell strangers nothing of our inside.
    "privatebounces",
];

/// Flags of ResolverOptions.
const RESOLVER: [&str; 13] = [
    "aaonly",
    "usevc",
    "primary",
    "igntc",
    "recurse",
    "defnames",
    "stayopen",
    "dnsrch",
    "debug",
    "haswildcardmx",
    "workaroundbrokenaaaa",
    "use_edns0",
    "use_dnssec",
];

/// Flags of DontBlameSendmail.
const BLAME: [&str; 42] = [
    "safe",
    "assumesafechown",
    "classfileinunsafedirpath",
    "dontwarnforwardfileinunsafedirpath",
    "errorheaderinunsafedirpath",
    "filedeliverytohardlink",
    "filedeliverytosymlink",
    "forwardfileingroupwritabledirpath",
    "forwardfileinunsafedirpath",
    "forwardfileinunsafedirpathsafe",
    "groupreadablekeyfile",
    "groupreadablesasldbfile",
    "groupreadabledefaultauthinfofile",
    "groupwritablealiasfile",
    "groupwritabledirpathsafe",
    "groupwritableforwardfile",
    "groupwritableforwardfilesafe",
    "groupwritableincludefile",
    "groupwritableincludefilesafe",
    "groupwritablesasldbfile",
    "helpfileinunsafedirpath",
    "includefileingroupwritabledirpath",
    "includefileinunsafedirpath",
    "includefileinunsafedirpathsafe",
    "insufficiententropy",
    "linkedaliasfileinwritabledir",
    "linkedclassfileinwritabledir",
    "linkedforwardfileinwritabledir",
    "linkedincludefileinwritabledir",
    "linkedmapinwritabledir",
    "linkedserviceswitchfileinwritabledir",
    "mapinunsafedirpath",
    "nonrootsafeaddr",
    "runprograminunsafedirpath",
    "runwritableprogram",
    "truststickybit",
    "worldwritablealiasfile",
    "worldwritableforwardfile",
    "worldwritableincludefile",
    "writemaptohardlink",
    "writemaptosymlink",
    "writestatstohardlink",
];

/// Suboptions of Milter.
const MILTER: [&str; 11] = [
    "loglevel",
    "maxdatasize",
    "macros.connect",
    "macros.helo",
    "macros.envfrom",
    "macros.envrcpt",
    "macros.data",
    "macros.eoh",
    "macros.eom",
    "macros",
    "fallback",
];

fn is_in(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|octet| octet.is_ascii_whitespace() || *octet == b',')
        .filter(|word| !word.is_empty())
}

/// Checks a value. `part` is what stands behind the first dot of the name (`queuereturn` of `Timeout.queuereturn`).
pub fn check(spec: &Spec, part: &[u8], value: &[u8], out: &mut Vec<Complaint>) {
    let system = |parts: &[&[u8]]| Complaint::System(parts.concat());
    match spec.kind {
        Kind::Time => time(value, out),
        Kind::Timeouts => {
            if part.is_empty() {
                time(value, out);
            } else if is_in(&TIMEOUTS, part) || is_in(&TIMEOUTS_MORE, part) {
                let is_count =
                    part.get(..14).is_some_and(|head| head.eq_ignore_ascii_case(b"resolver.retry"));
                if !is_count {
                    time(value, out);
                }
            } else {
                out.push(system(&[b"settimeout: invalid timeout ", part]));
            }
        }
        Kind::Privacy => {
            for word in list(value).filter(|word| !is_in(&PRIVACY, word)) {
                out.push(system(&[b"readcf: Op line: ", word, b" unrecognized"]));
            }
        }
        Kind::Blame => {
            for word in list(value).filter(|word| !is_in(&BLAME, word)) {
                if !word.eq_ignore_ascii_case(b"writestatstosymlink") {
                    out.push(system(&[
                        b"readcf: DontBlameSendmail option: ",
                        word,
                        b" unrecognized",
                    ]));
                }
            }
        }
        Kind::Milter if !is_in(&MILTER, part) => {
            out.push(system(&[b"milter_set_option: invalid Milter option ", part]));
        }
        Kind::MimeLengths => mime_lengths(value, out),
        Kind::Choice => choice(spec.name, value, out),
        Kind::Text if spec.name == "ResolverOptions" => {
            for word in list(value) {
                let bare = match word.split_first() {
                    Some((b'+' | b'-', rest)) => rest,
                    _ => word,
                };
                let is_truth = is_in(&["true", "false", "t", "f"], bare);
                if !is_in(&RESOLVER, bare) && !is_truth {
                    out.push(system(&[b"readcf: I option value ", bare, b" unrecognized"]));
                }
            }
        }
        Kind::Truth
        | Kind::Number
        | Kind::Text
        | Kind::Letter
        | Kind::List
        | Kind::FileMode
        | Kind::User
        | Kind::Ports
        | Kind::Milter => {}
    }
}

/// A time: numbers with units `w d h m s`.
fn time(value: &[u8], out: &mut Vec<Complaint>) {
    for octet in value {
        if !octet.is_ascii_digit() && !b"wdhms".contains(octet) && !octet.is_ascii_whitespace() {
            let text = [b"Invalid time unit `".as_slice(), core::slice::from_ref(octet), b"'"];
            out.push(Complaint::User(text.concat()));
        }
    }
}

fn mime_lengths(value: &[u8], out: &mut Vec<Complaint>) {
    let mut parts = value.splitn(2, |octet| *octet == b'/');
    let header = number(parts.next().unwrap_or_default());
    let field = parts.next().map_or(header.checked_div(2).unwrap_or(0), number);
    let line = |what: &str, least: &str| {
        let text = alloc::format!(
            "Warning: MaxMimeHeaderLength: {what} length limit set lower than {least}\n"
        );
        Complaint::Plain(text.into_bytes())
    };
    if (1..128).contains(&header) {
        out.push(line("header", "128"));
    }
    if (1..40).contains(&field) {
        out.push(line("field", "40"));
    }
}

fn choice(name: &str, value: &[u8], out: &mut Vec<Complaint>) {
    let first = value.first().copied().unwrap_or(0);
    let letter: &[u8] = value.get(..1).unwrap_or_default();
    match name {
        "DeliveryMode" if !b"\0ibqd".contains(&first) => {
            out.push(Complaint::Fatal([b"Unknown delivery mode ", letter].concat()));
        }
        "EightBitMode" if !b"mMpPsSaA".contains(&first) => {
            out.push(Complaint::Fatal([b"Unknown 8-bit mode ", letter].concat()));
        }
        "QueueSortOrder" if !b"hHpPtTfFmMrRnN".contains(&first) => {
            let text = [b"Invalid queue sort order \"", value, b"\""].concat();
            out.push(Complaint::System(text));
        }
        "NoRecipientAction"
            if !is_in(
                &["none", "add-to", "add-apparently-to", "add-bcc", "add-to-undisclosed"],
                value,
            ) =>
        {
            out.push(Complaint::System([b"Invalid NoRecipientAction: ", value].concat()));
        }
        _ => {}
    }
}
