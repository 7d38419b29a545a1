//! Subcommands and their flags.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Ironpost: sendmail without its holes.
#[derive(Debug, Parser)]
#[command(name = "ironpost", version, about)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve in the foreground until SIGTERM
    Serve(ServeFlags),
    /// Say whether a configuration is right
    Check(CheckFlags),
    /// Say what would come of mail to an address, and why
    Explain(ExplainFlags),
    /// List the queue, or change what is in it
    Queue(QueueFlags),
    /// List the queue as sendmail does
    Mailq(PlaceFlags),
    /// Show what each process may do; prove it by deed
    Privileges(PrivilegesFlags),
    /// Hand in a message, with sendmail's flags
    Sendmail(SendmailFlags),
}

/// Which server is meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlaceFlags {
    /// The configuration of the server
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of all state of the server
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// The configuration; without it, everything is local and in one folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of all state
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen, in place of the configuration's addresses
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Vec<String>,
    /// Log lines as JSON, whatever the configuration says
    #[arg(long)]
    pub(crate) log_json: bool,
}

/// Flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckFlags {
    /// The configuration: an ironpost.toml or a sendmail.cf
    #[arg(long, value_name = "FILE", default_value = "/etc/ironpost.toml")]
    pub(crate) config: PathBuf,
    /// One object in place of text (sendmail.cf only)
    #[arg(long)]
    pub(crate) json: bool,
    /// Also notes: options without use here, limits that are not set
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainFlags {
    /// Recipients; without any, they are read from standard input, one a line
    #[arg(value_name = "ADDRESS")]
    pub(crate) addresses: Vec<OsString>,
    /// The sender; <> is that of a report
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    pub(crate) from: Option<OsString>,
    /// The client that sends it; without it, a user of this host does. A client without NAME is one whose name is not known
    #[arg(long, value_name = "IP[,NAME]")]
    pub(crate) client: Option<String>,
    /// The name that the client says in HELO
    #[arg(long, value_name = "NAME")]
    pub(crate) helo: Option<OsString>,
    /// The configuration: a sendmail.cf or an ironpost.toml
    #[arg(long, value_name = "FILE", default_value = "/etc/mail/sendmail.cf")]
    pub(crate) config: PathBuf,
    /// An object an address, one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show only where this configuration differs; exit 1 if it does
    #[arg(long, value_name = "OTHER.cf")]
    pub(crate) diff: Option<PathBuf>,
    /// Also rule sets and rules that changed nothing
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Flags of `queue`.
#[derive(Debug, Args)]
pub(crate) struct QueueFlags {
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// An object a message instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) order: Option<QueueOrder>,
}

/// What to change in the queue.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum QueueOrder {
    /// Try everything now
    Flush,
    /// Drop a message; nobody is told
    Remove {
        /// Its id, as listed
        id: String,
    },
}

/// Flags of `privileges`.
#[derive(Debug, Args)]
pub(crate) struct PrivilegesFlags {
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// Try in each process what its cage forbids; exit 1 if anything succeeds
    #[arg(long)]
    pub(crate) check: bool,
    /// An object a process instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `sendmail`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct SendmailFlags {
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// sendmail's own flags and recipients
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

impl Flags {
    /// Reads the words behind the program's name.
    pub(crate) fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        Self::try_parse_from([OsString::from("ironpost")].iter().chain(words))
    }
}
