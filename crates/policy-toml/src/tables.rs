//! What the policy looks up elsewhere: aliases and users. The crate of maps is above this one, so it is
//! given in.

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(Vec<u8>),
    /// A local name that is not looked up again (`\name`).
    Mailbox(Vec<u8>),
    /// `error: TEXT`.
    Error(Vec<u8>),
    /// A program, a file or a list: not with ironpost.toml.
    Other(Vec<u8>),
}

/// Aliases and users. An `Err` is a text: the table can't be read now.
pub trait Tables: Send + Sync {
    /// What a local name stands for; `None`: it is no alias. `name` is in lower case.
    ///
    /// # Errors
    /// The aliases can't be read now.
    fn alias(&self, name: &[u8]) -> Result<Option<Vec<Target>>, String>;

    /// Whether there is such a user of the system.
    ///
    /// # Errors
    /// The user database can't be asked now.
    fn user(&self, name: &[u8]) -> Result<bool, String>;
}
