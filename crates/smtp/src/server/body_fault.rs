//! What is wrong with a message, in words: for the client, and for the log.

use wire::dot::TextFault;
use wire::escape::text;

use super::body::{BodyFault, Collecting};
use super::event::Event;
use super::outbox::Outbox;
use super::{NotStored, Session};

impl Session {
    /// Tells the log of a message that is refused.
    pub(super) fn tell_fault(
        &mut self,
        fault: &BodyFault,
        collecting: &Collecting,
        out: &mut Outbox,
    ) {
        let limits = self.terms.settings.limits;
        match fault {
            BodyFault::HeaderTooLarge => {
                self.tell(Event::HeaderTooLarge { most: limits.header_bytes_max }, out);
            }
            BodyFault::TooLarge => {
                let (bytes, most) = (collecting.logged_bytes(), limits.message_bytes_max);
                self.tell(Event::TooLarge { bytes, most }, out);
            }
            BodyFault::Text(TextFault::BareCr | TextFault::BareLf) => {
                let text = if *fault == BodyFault::Text(TextFault::BareCr) {
                    bare_words(TextFault::BareCr)
                } else {
                    bare_words(TextFault::BareLf)
                };
                let sender = self.sender_shown();
                self.tell(Event::BareEnd { text, place: "body", sender }, out);
            }
            BodyFault::Text(TextFault::LongLine)
            | BodyFault::TooManyHops
            | BodyFault::Refused(_)
            | BodyFault::NotStored(_) => {}
        }
        self.tell_from(collecting, out);
    }

    /// Says why a message is refused.
    pub(super) fn say_fault(&mut self, fault: &BodyFault, out: &mut Outbox) {
        let limits = self.terms.settings.limits;
        match fault {
            BodyFault::Text(fault @ (TextFault::BareCr | TextFault::BareLf)) => {
                out.say((550, (5, 6, 0)), format_args!("{}", bare_words(*fault)));
            }
            BodyFault::Text(TextFault::LongLine) => {
                let most = limits.text_line_bytes_max;
                out.say((554, (5, 6, 0)), format_args!("Line too long ({most} max)"));
            }
            BodyFault::HeaderTooLarge => {
                let most = limits.header_bytes_max;
                out.say((552, (5, 6, 0)), format_args!("Headers too large ({most} max)"));
            }
            BodyFault::TooManyHops => {
                let most = limits.hops_max;
                let host = text(&self.terms.settings.host_name);
                out.say((554, (5, 4, 6)), format_args!("{host} Too many hops ({most} max)"));
            }
            BodyFault::TooLarge => {
                let most = limits.message_bytes_max;
                out.say(
                    (552, (5, 2, 3)),
                    format_args!("Message exceeds maximum fixed size ({most})"),
                );
            }
            BodyFault::Refused(refusal) => {
                self.refused(refusal, b"", None, out);
                if refusal.closes {
                    self.close(out);
                }
            }
            BodyFault::NotStored(NotStored::Full) => {
                out.say((452, (4, 4, 5)), format_args!("Insufficient disk space; try again later"));
            }
            BodyFault::NotStored(NotStored::Trouble) => {
                out.say((451, (4, 3, 0)), format_args!("Message not stored; try again later"));
            }
        }
    }
}

/// sendmail's words for a lone CR or LF.
pub(super) const fn bare_words(fault: TextFault) -> &'static str {
    match fault {
        TextFault::BareCr => "Bare carriage return (CR) not allowed",
        TextFault::BareLf | TextFault::LongLine => "Bare linefeed (LF) not allowed",
    }
}
