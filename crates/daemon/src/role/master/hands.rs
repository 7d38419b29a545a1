//! What master opens and hands out: listeners, the spool's folder, the control socket, the log.
//!
//! Everything is opened by names that the typed settings hold, and nothing is read.

use super::StartError;
use crate::edges::{Grant, SocketPlace};
use crate::request::{SOCKET_NAME, SPOOL_LINK_NAME};
use crate::roles::Role;
use policy::settings::{Endpoint, Listener, LogTo, MapServer};
use policy::{LmtpPlace, MailboxPlace, Settings, Transport};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Open descriptors for the others.
pub(super) struct Hands {
    listeners: Vec<(Listener, OwnedFd)>,
    spool: PathBuf,
    control: Option<OwnedFd>,
    commands: Option<OwnedFd>,
    /// What could not be opened and the server does without.
    pub(super) trouble: Option<String>,
    wants_syslog: bool,
    statistics: PathBuf,
}

impl Hands {
    /// Makes the folders, binds the sockets.
    pub(super) fn open(settings: &Settings) -> Result<Self, StartError> {
        let mut hands = Self::without_doors(settings)?;
        let run = crate::path_of(&settings.paths.run);
        make_folder(&run, 0o755, None)?;
        let socket = run.join(SOCKET_NAME);
        let control = sys::socket::listen_unix(&socket, 0o666)
            .map_err(|error| StartError::System(format!("{}: {error}", socket.display())))?;
        hands.control = Some(control);
        // Without it commands of another configuration take this server for theirs; it serves its own all the same.
        let link = run.join(SPOOL_LINK_NAME);
        drop(std::fs::remove_file(&link));
        drop(std::os::unix::fs::symlink(&hands.spool, &link));
        match command_socket(&settings.paths.command_socket) {
            Ok(socket) => hands.commands = socket,
            Err(text) => hands.trouble = Some(text),
        }
        hands.listen(&settings.listeners)?;
        Ok(hands)
    }

    /// Makes the folders of what is queued and delivered: a server that nobody connects to.
    pub(super) fn without_doors(settings: &Settings) -> Result<Self, StartError> {
        let spool = crate::path_of(&settings.paths.spool);
        let is_root = crate::is_root();
        if !crate::may_keep(&spool) {
            let shown = spool.display();
            let text = format!("{shown}: only root and the owner of the folder above keep a queue");
            return Err(StartError::System(text));
        }
        // Everybody may go through it to the drop folder, and see nothing.
        make_folder(&spool, 0o711, Role::Queue.uid().filter(|_| is_root))?;
        make_folder(&spool.join("drop"), 0o1733, Role::Queue.uid().filter(|_| is_root))?;
        for mailer in &settings.mailers {
            if let Transport::Maildir(MailboxPlace::Folder(folder))
            | Transport::Mbox(MailboxPlace::Folder(folder)) = &mailer.transport
            {
                let owner = Role::Deliver.uid().filter(|_| is_root);
                make_folder(&crate::path_of(folder), 0o700, owner)?;
            }
        }
        Ok(Self {
            listeners: Vec::new(),
            spool,
            control: None,
            commands: None,
            trouble: None,
            wants_syslog: settings.logging.to == LogTo::Syslog,
            statistics: crate::path_of(&settings.paths.statistics),
        })
    }

    /// Binds what the settings name and is not bound yet; lets go of what they no longer name.
    pub(super) fn listen(&mut self, wanted: &[Listener]) -> Result<(), StartError> {
        let mut old = std::mem::take(&mut self.listeners);
        for listener in wanted {
            let known = old.iter().position(|(bound, _)| bound.endpoint == listener.endpoint);
            let socket = if let Some(place) = known {
                old.swap_remove(place).1
            } else {
                listen_on(listener)?
            };
            self.listeners.push((listener.clone(), socket));
        }
        for (listener, _) in &old {
            forget_name(&listener.endpoint);
        }
        Ok(())
    }

    /// The names of our sockets go: of control commands, if it is ours, and where clients come in.
    pub(super) fn forget_sockets(&self, commands: &[u8]) {
        if self.commands.is_some() {
            std::fs::remove_file(crate::path_of(commands)).ok();
        }
        for (listener, _) in &self.listeners {
            forget_name(&listener.endpoint);
        }
    }

    /// Whether the wanted listeners are those that are bound.
    pub(super) fn listens_on(&self, wanted: &[Listener]) -> bool {
        self.listeners.iter().map(|(listener, _)| listener).eq(wanted.iter())
    }

    /// A new connection to the system's log, if lines go there and it is there.
    pub(super) fn log_socket(&self) -> Option<OwnedFd> {
        if self.wants_syslog { sys::socket::connect_syslog().ok() } else { None }
    }

    /// A connection to the server that a mailer of the settings has behind this path (relay), or to a server that a map
    /// asks, or the file that a map reads (policy), or the owner's file for what nobody can get (queue); one over TCP is on its way and not waited for. Whoever asks for another place is told that there is
    /// none.
    pub(super) fn connect(
        role: Role,
        place: &SocketPlace,
        settings: &Settings,
    ) -> Result<OwnedFd, String> {
        let is_known = match (role, place) {
            (Role::Relay, SocketPlace::Path(path)) => settings.mailers.iter().any(|mailer| {
                matches!(
                    &mailer.transport,
                    Transport::Lmtp(LmtpPlace::Unix(known)) | Transport::SmtpUnix(known)
                        if known == path
                )
            }),
            (Role::Policy, SocketPlace::Path(path)) => settings
                .map_servers
                .iter()
                .any(|server| matches!(server, MapServer::Unix(known) if known == path)),
            (Role::Policy, SocketPlace::Address(address)) => {
                settings.map_servers.contains(&MapServer::Port(address.port()))
            }
            (Role::Policy, SocketPlace::File(path)) => settings
                .map_servers
                .iter()
                .any(|server| matches!(server, MapServer::File(known) if known == path)),
            (Role::Queue, SocketPlace::LastResort) => !settings.reports.last_resort.is_empty(),
            (
                _,
                SocketPlace::Path(_)
                | SocketPlace::Address(_)
                | SocketPlace::File(_)
                | SocketPlace::LastResort,
            ) => false,
        };
        if !is_known {
            return Err("the configuration has no server there".into());
        }
        let connected = match place {
            SocketPlace::Path(path) => sys::socket::connect_unix(&crate::path_of(path)),
            SocketPlace::Address(address) => sys::socket::connect_tcp(*address),
            SocketPlace::File(path) => sys::disk::open_plain(&crate::path_of(path)),
            SocketPlace::LastResort => {
                let path = crate::path_of(&settings.reports.last_resort);
                sys::disk::open_mailbox_to_append(&path)
            }
        };
        connected.map_err(|error| sys::error_words(&error))
    }

    /// What this role gets at its start.
    pub(super) fn for_role(&mut self, role: Role) -> io::Result<Vec<(Grant, OwnedFd)>> {
        let mut grants = Vec::new();
        if let Some(socket) = self.log_socket() {
            grants.push((Grant::Log, socket));
        }
        match role {
            Role::Smtpd => {
                for (number, (_, socket)) in (0_u8..).zip(&self.listeners) {
                    grants.push((Grant::Listener(number), socket.as_fd().try_clone_to_owned()?));
                }
            }
            Role::Queue => {
                grants.push((Grant::Spool, sys::disk::open_folder(&self.spool)?));
                // Where there is none nobody counts.
                if let Ok(file) = sys::disk::open_plain_to_write(&self.statistics) {
                    grants.push((Grant::Statistics, file));
                }
            }
            Role::Control => {
                if let Some(socket) = &self.control {
                    grants.push((Grant::ControlSocket, socket.as_fd().try_clone_to_owned()?));
                }
                if let Some(socket) = &self.commands {
                    grants.push((Grant::CommandSocket, socket.as_fd().try_clone_to_owned()?));
                }
            }
            Role::Resolver => {
                // Without the file the settings' servers are asked, or nobody.
                if let Ok(file) = std::fs::File::open("/etc/resolv.conf") {
                    grants.push((Grant::NameServers, file.into()));
                }
            }
            Role::Master
            | Role::Policy
            | Role::Relay
            | Role::Deliver
            | Role::Agent
            | Role::Reader => {}
        }
        Ok(grants)
    }
}

/// The socket of sendmail's control commands, for its owner only.
fn command_socket(path: &[u8]) -> Result<Option<OwnedFd>, String> {
    if path.is_empty() {
        return Ok(None);
    }
    let socket = named_socket(path, 0o600);
    socket.map(Some).map_err(|text| format!("control socket {text}"))
}

/// A socket where clients come in. Through a Unix socket anybody of this host may, as anybody may connect to a port.
fn listen_on(listener: &Listener) -> Result<OwnedFd, StartError> {
    let endpoint = &listener.endpoint;
    let failed = |text| StartError::System(format!("cannot listen on {text}"));
    let socket = match endpoint {
        Endpoint::Tcp(address) => sys::socket::listen_tcp(*address, listener.bounds.backlog)
            .map_err(|error| failed(format!("{endpoint}: {error}")))?,
        Endpoint::Unix(path) => named_socket(path, 0o666).map_err(failed)?,
    };
    Ok(socket)
}

/// A Unix socket. What stands there and is no socket is left alone.
fn named_socket(path: &[u8], mode: u32) -> Result<OwnedFd, String> {
    let path = crate::path_of(path);
    let shown = path.display();
    let told = |error: io::Error| format!("{shown}: {error}");
    match std::fs::symlink_metadata(&path) {
        Ok(facts) if !facts.file_type().is_socket() => {
            return Err(format!("{shown}: there is another file of this name"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
        Ok(_) | Err(_) => {}
    }
    sys::socket::listen_unix(&path, mode).map_err(told)
}

fn forget_name(endpoint: &Endpoint) {
    if let Endpoint::Unix(path) = endpoint {
        // Whoever took the folder away took the name with it.
        std::fs::remove_file(crate::path_of(path)).ok();
    }
}

/// Makes a folder, or takes it as it is; when root, its owner becomes the role that works in it.
fn make_folder(path: &Path, mode: u32, owner: Option<u32>) -> Result<(), StartError> {
    let shown = path.display();
    sys::disk::make_folder(path, mode, owner)
        .map_err(|error| StartError::System(format!("cannot make {shown}: {error}")))
}
