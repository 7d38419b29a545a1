//! Why there is nowhere to send mail to, and what becomes of it then, in sendmail's words.

use queue::{Outcome, Said, Scope, Status, Trouble};

/// Why there is nowhere to send mail to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nowhere {
    /// The host of the route cannot be read.
    #[error("Invalid host name {0}")]
    BadHost(String),
    /// There is no such domain.
    #[error("Host unknown (Name server: {0}: host not found)")]
    Unknown(String),
    /// The domain has neither exchangers nor addresses.
    #[error("Host unknown (Name server: {0}: no data known)")]
    NoAddress(String),
    /// The domain accepts no mail (RFC 7505).
    #[error("Domain {0} does not accept mail (nullMX)")]
    NullMx(String),
    /// We are its best exchanger, and yet the mail is not for us.
    #[error("MX list for {domain} points back to {host}")]
    PointsBack {
        /// The domain.
        domain: String,
        /// The name or address of ours in its list.
        host: String,
    },
    /// Every address is one that DNS must not send us to.
    #[error("Host {0} has only addresses where no mail can go")]
    Forbidden(String),
    /// DNS gave no answer.
    #[error("Name server: {host}: host name lookup failure")]
    Unanswered {
        /// What was asked about.
        host: String,
    },
}

impl Nowhere {
    /// The same about a domain whose name is written with a dot.
    pub(crate) fn with_dot(mut self, is_dotted: bool) -> Self {
        if is_dotted
            && let Self::PointsBack { domain: name, .. }
            | Self::Unknown(name)
            | Self::NoAddress(name)
            | Self::Unanswered { host: name } = &mut self
        {
            name.push('.');
        }
        self
    }

    /// What becomes of the recipients.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        // What the log's `stat=` says, and for which host.
        let (status, text, host) = match self {
            Self::BadHost(host) => (Status(5, 1, 2), self.to_string(), host.clone()),
            Self::Unknown(host) | Self::NoAddress(host) => {
                (Status(5, 1, 2), self.to_string(), host.clone())
            }
            Self::NullMx(domain) => {
                (Status(5, 1, 10), "Service unavailable".to_owned(), format!("{domain}."))
            }
            Self::PointsBack { domain, .. } => {
                (Status(5, 3, 5), "Local configuration error".to_owned(), domain.clone())
            }
            Self::Forbidden(host) => (Status(5, 4, 6), self.to_string(), host.clone()),
            Self::Unanswered { host } => {
                let text = self.to_string();
                let trouble = Trouble::ours(Status(4, 4, 3), text.as_bytes());
                let trouble = Trouble { host: host.as_bytes().into(), ..trouble }.cleaned();
                return Outcome::Later { trouble, scope: Scope::Destination };
            }
        };
        let host = host.into_bytes().into();
        let trouble = Trouble { host, ..Trouble::ours(status, text.as_bytes()) };
        let reply: Box<[u8]> = match self {
            Self::NullMx(_) => b"556 Host does not accept mail: MX 0 ."[..].into(),
            // Ours, and not of one recipient: an empty first line says so.
            Self::PointsBack { .. } => format!("\n554 5.0.0 {self}").into_bytes().into(),
            Self::Unknown(_) => b"550 Host unknown"[..].into(),
            // That a name has no address is no answer about the host: nothing stands as the reason.
            Self::NoAddress(_)
            | Self::BadHost(_)
            | Self::Forbidden(_)
            | Self::Unanswered { .. } => {
                return Outcome::Never(trouble.cleaned());
            }
        };
        let said = Some(Box::new(Said { command: Box::default(), reply }));
        Outcome::Never(Trouble { said, ..trouble }.cleaned())
    }
}
