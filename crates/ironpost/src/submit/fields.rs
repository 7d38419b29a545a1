//! What the header of a submission says: recipients (`-t`), Message-Id, Precedence, how many servers it has passed; and what is
//! changed in it before it is handed over: Bcc, and what stands for missing recipients (option `NoRecipientAction`).

use super::collect::Collected;
use wire::header::{Field, Fields, unfold};

/// The fields of a submission.
#[derive(Debug)]
pub(super) struct Head {
    /// As it is handed over.
    pub(super) text: Vec<u8>,
    /// Lists of recipients, in their order.
    pub(super) lists: Vec<Vec<u8>>,
    /// Who is to hear of failures (`Errors-To`).
    pub(super) errors_to: Vec<Vec<u8>>,
    /// The value of Message-Id (or Resent-Message-Id).
    pub(super) message_id: Option<Vec<u8>>,
    /// The value of Precedence.
    pub(super) precedence: Option<Vec<u8>>,
    /// Fields that servers leave behind.
    pub(super) hops: u32,
    /// It calls itself MIME.
    pub(super) is_mime: bool,
    /// It asks for a receipt (`Return-Receipt-To`).
    pub(super) wants_receipt: bool,
    /// There is a field that names recipients.
    pub(super) names_recipients: bool,
}

/// Fields with recipients, and whether they are the hidden ones.
const RECIPIENT_FIELDS: [(&str, bool); 4] =
    [("to", false), ("cc", false), ("bcc", true), ("apparently-to", false)];

/// Fields that servers leave behind.
const TRACE_FIELDS: [&str; 4] = ["received", "x400-received", "via", "mail-from"];

/// A field that is about recipients.
struct Naming {
    is_hidden: bool,
    is_resent: bool,
}

fn naming(field: &Field<'_>) -> Option<Naming> {
    let (name, is_resent) = match field.name.get(..7) {
        Some(start) if start.eq_ignore_ascii_case(b"resent-") => {
            (field.name.get(7..).unwrap_or_default(), true)
        }
        _ => (field.name, false),
    };
    let known = RECIPIENT_FIELDS.iter();
    let (_, is_hidden) =
        known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some(Naming { is_hidden: *is_hidden, is_resent })
}

impl Head {
    /// Reads the header of a message.
    pub(super) fn read(message: &Collected) -> Self {
        let fields: Vec<Field<'_>> = Fields::new(&message.head).collect();
        let is_resent =
            fields.iter().any(|field| field.name.to_ascii_lowercase().starts_with(b"resent-"));
        let has_shown = fields.iter().filter_map(naming).any(|naming| !naming.is_hidden);
        let mut head = Self {
            text: Vec::with_capacity(message.head.len()),
            lists: Vec::new(),
            errors_to: Vec::new(),
            message_id: None,
            precedence: None,
            hops: 0,
            is_mime: fields.iter().any(|field| field.is("mime-version")),
            wants_receipt: fields.iter().any(|field| field.is("return-receipt-to")),
            names_recipients: false,
        };
        let own_id = if is_resent { "resent-message-id" } else { "message-id" };
        for field in &fields {
            let value = unfold(field.value);
            if field.is(own_id) {
                head.message_id = Some(value.clone());
            } else if field.is("precedence") {
                head.precedence = Some(value.clone());
            } else if field.is("errors-to") {
                head.errors_to.push(value.clone());
            } else if TRACE_FIELDS.iter().any(|name| field.is(name)) {
                head.hops = head.hops.saturating_add(1);
            }
            let Some(naming) = naming(field) else {
                head.text.extend_from_slice(field.whole);
                continue;
            };
            head.names_recipients = true;
            if naming.is_resent == is_resent {
                head.lists.push(value);
            }
            // Who got a hidden copy is nobody's business; where all are hidden, an empty field stays (RFC 5322, 3.6.3).
            if !naming.is_hidden {
                head.text.extend_from_slice(field.whole);
            } else if !has_shown {
                head.text.extend_from_slice(field.name);
                head.text.extend_from_slice(b":\r\n");
            }
        }
        head
    }

    /// Takes out the fields that ask for a receipt: it was asked for in the envelope instead (option `RrtImpliesDsn`).
    pub(super) fn drop_receipt(&mut self) {
        let fields = Fields::new(&self.text).filter(|field| !field.is("return-receipt-to"));
        self.text = fields.flat_map(|field| field.whole.iter().copied()).collect();
    }

    /// Adds what option `NoRecipientAction` says where no field names a recipient.
    pub(super) fn name_recipients(&mut self, action: &[u8], recipients: &[&[u8]]) {
        if self.names_recipients {
            return;
        }
        let action = action.trim_ascii().to_ascii_lowercase();
        let line: Vec<u8> = match action.as_slice() {
            b"add-bcc" => b"Bcc:\r\n".to_vec(),
            b"add-to-undisclosed" => b"To: undisclosed-recipients:;\r\n".to_vec(),
            b"add-to" => [b"To: ".as_slice(), &recipients.join(&b", "[..]), b"\r\n"].concat(),
            b"add-apparently-to" => {
                let line = |address: &&[u8]| [b"Apparently-To: ", *address, b"\r\n"].concat();
                recipients.iter().map(line).collect::<Vec<_>>().concat()
            }
            _ => return,
        };
        self.text.extend_from_slice(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let head = text.replace('\n', "\r\n").into_bytes();
        Head::read(&Collected { head, ..Collected::default() })
    }

    fn text(head: &Head) -> String {
        String::from_utf8(head.text.clone()).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn hidden_recipients_are_recipients_and_no_field() {
        let head = head("To: a@x,\n b@x\nBcc: c@x\nSubject: s\n");
        assert_eq!(head.lists, [b"a@x, b@x".to_vec(), b"c@x".to_vec()]);
        assert_eq!(text(&head), "To: a@x,\n b@x\nSubject: s\n");
    }

    #[test]
    fn where_all_recipients_are_hidden_an_empty_field_stays() {
        assert_eq!(text(&head("Bcc: c@x\nSubject: s\n")), "Bcc:\nSubject: s\n");
    }

    #[test]
    fn a_message_that_is_sent_again_goes_to_the_new_recipients() {
        let head = head("To: old@x\nResent-To: new@x\nResent-Message-Id: <2>\nMessage-Id: <1>\n");
        assert_eq!(head.lists, [b"new@x".to_vec()]);
        assert_eq!(head.message_id.as_deref(), Some(&b"<2>"[..]));
    }

    #[test]
    fn a_missing_recipient_field_is_made_as_the_option_says() {
        let made = |action: &str| {
            let mut head = head("Subject: s\n");
            head.name_recipients(action.as_bytes(), &[b"a@x", b"b@x"]);
            text(&head)
        };
        assert_eq!(made("none"), "Subject: s\n");
        assert_eq!(made("add-to"), "Subject: s\nTo: a@x, b@x\n");
        assert_eq!(made("add-bcc"), "Subject: s\nBcc:\n");
        assert_eq!(made("add-to-undisclosed"), "Subject: s\nTo: undisclosed-recipients:;\n");
        assert_eq!(
            made("add-apparently-to"),
            "Subject: s\nApparently-To: a@x\nApparently-To: b@x\n"
        );
        let mut head = head("Bcc: x\n");
        head.name_recipients(b"add-to", &[b"a@x"]);
        assert_eq!(text(&head), "Bcc:\n");
    }

    #[test]
    fn hops_are_counted() {
        assert_eq!(head("Received: a\nVia: b\nReceived: c\n d\nTo: x\n").hops, 3);
    }
}
