//! What the rule machine asks of the outside: maps, class files, names, the clock.
//!
//! The crate is pure, so everything that touches a file, a socket or a clock comes through
//! [`World`], given by the caller. Who does what (so that nothing is written twice):
//!
//! | here, in `policy-cf` | in `crates/maps`, behind [`World::open`] and [`World::lookup`] |
//! |---|---|
//! | reading the K line into a [`MapSpec`] | opening and re-opening what the spec names |
//! | quotes stripped from the key (unless `-q`), `-S` | folding the key (unless `-f`), trailing NUL (`-N`, `-O`) |
//! | `-m`, `-a`, `-T`, `%0`..`%9` on the value, `-D`, `-t` | the raw value, not found, or temporary failure |
//! | the classes `macro arith dequote sequence switch null` | all others: `hash btree text regex host dns bestmx user program syslog socket stab implicit ldap cdb` … |
//!
//! So a class in `crates/maps` gets a key and the arguments (`$@ …`) and gives back the bytes that
//! stand in its table: no decoration. The one exception is named at [`Answer::Found`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;
use policy::Resolved;

/// One K line, read: `Kname class flags rest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapSpec {
    /// The map's name as written.
    pub name: Box<[u8]>,
    /// The class, lower case: `hash`, `dns`, `regex` …
    pub class: Box<[u8]>,
    /// Every flag in order: its letter and its value (empty for a flag without one). Which letters
    /// take a value depends on the class; `policy-cf` knows (`-k2`, `-k 2` and `-k"2"` are the same).
    pub flags: Vec<(u8, Box<[u8]>)>,
    /// What stands behind the flags: a file name without `.db`, a pattern, a command, map names. Quotes around it are off.
    pub rest: Box<[u8]>,
}

impl MapSpec {
    /// The value of a flag, the last one if it is there twice; `None` if it is not there.
    #[must_use]
    pub fn flag(&self, letter: u8) -> Option<&[u8]> {
        self.flags.iter().rev().find(|(name, _)| *name == letter).map(|(_, value)| &**value)
    }

    /// Whether a flag is there.
    #[must_use]
    pub fn has(&self, letter: u8) -> bool {
        self.flag(letter).is_some()
    }

    /// `-f`: the key is looked up in the letters it was given in.
    #[must_use]
    pub fn keeps_case(&self) -> bool {
        self.has(b'f')
    }

    /// `-o`: no complaint if the file is not there; every key is then not found.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.has(b'o')
    }
}

/// A map that is open, or was refused at opening. Handed out by [`World::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MapHandle(pub u32);

/// Why a map could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFailure {
    /// sendmail's text for it, without file and line, as syserr prints it
    /// (for example `hash map "access": unsafe map file /x/access.db: No such file or directory`). Empty: silent.
    pub text: Vec<u8>,
    /// `true` if this class is not known at all.
    pub class_unknown: bool,
}

/// What a look-up gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The value as it stands in the table. Class `host`: the canonical name without trailing dot. Class
    /// `regex`: what `-s`/`-d` select, empty if nothing is selected.
    Found(Vec<u8>),
    /// No such key; the status that sendmail's `/map` prints in brackets (0, 67 no user, 68 no host, 69, 78 …).
    NotFound(u8),
    /// Could not be known now (75).
    TempFail(u8),
}

/// The status of a host that is not there (sysexits.h), and the system's number for a file that is not.
const NO_HOST: u8 = 68;
const ENOENT: i32 = 2;

/// What was asked can't be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// The outside. What a world does not say is not there: no exchangers, files, programs, groups or load.
pub trait World {
    /// Opens a map (or notes how: opening may wait for the first look-up).
    ///
    /// # Errors
    /// [`OpenFailure`] with sendmail's text.
    fn open(&mut self, spec: &MapSpec) -> Result<MapHandle, OpenFailure>;

    /// Looks `key` up. `arguments` are those of `$@` in `$(map key $@ a $@ b $)`.
    /// What sendmail would print meanwhile (`tempfail.test: Name server timeout`) is added to `said`, each line with LF; an error
    /// of the address that is worked on begins with `!`.
    fn lookup(
        &mut self,
        map: MapHandle,
        key: &[u8],
        arguments: &[&[u8]],
        said: &mut Vec<u8>,
    ) -> Answer;

    /// The mail exchangers of a host as `/mx` shows them, or what went wrong (a sysexits code).
    fn mail_exchangers(&mut self, _host: &[u8], _said: &mut Vec<u8>) -> (Vec<Exchanger>, u8) {
        (Vec::new(), NO_HOST)
    }

    /// The canonical name of a host (`/canon`), without trailing dot; `None` if nothing is known of it.
    fn canonical_name(&mut self, _host: &[u8], _said: &mut Vec<u8>) -> Option<Vec<u8>> {
        None
    }

    /// The order of services for one name (`hosts`, `aliases`, `passwd`) from the service switch file.
    fn service(&mut self, _name: &[u8]) -> Vec<Box<[u8]>> {
        Vec::new()
    }

    /// The name of a client by its address, and whether the name leads back to it; an empty name: there is none.
    fn client_name(&mut self, _address: IpAddr) -> (Vec<u8>, Resolved) {
        (Vec::new(), Resolved::Fail)
    }

    /// Whether the files of TCP wrappers let a client in (`hosts_access(5)`). A name that does not lead back to the address is none.
    fn lets_in(&mut self, _peer: &policy::host_access::Peer<'_>) -> bool {
        true
    }

    /// The files that [`World::lets_in`] reads.
    fn host_access_files(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Reads a file named in the configuration (`F` line, help file, alias source).
    ///
    /// # Errors
    /// The system's error number.
    fn read_file(&mut self, _path: &[u8], _limit_bytes: usize) -> Result<Vec<u8>, i32> {
        Err(ENOENT)
    }

    /// Runs the program of an `F|command` line and gives what it prints.
    ///
    /// # Errors
    /// The system's error number.
    fn run_program(&mut self, _command: &[u8], _limit_bytes: usize) -> Result<Vec<u8>, i32> {
        Err(ENOENT)
    }

    /// The addresses of this host's interfaces, in brackets, for class w.
    fn interface_addresses(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Told once the options are read: some of them concern look-ups (`DontExpandCnames`, `HostsFile`, `ServiceSwitchFile` …).
    fn configure(&mut self, _options: &crate::options::Options) {}

    /// What should be in the log since the last time: tables older than their text, servers that don't answer.
    fn take_notes(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Looks up a user of this system by name.
    ///
    /// # Errors
    /// Nobody knows now: that is not the same as nobody of this name.
    fn user(&mut self, _name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
        Ok(None)
    }

    /// The group id of a name.
    fn group(&mut self, _name: &[u8]) -> Option<u32> {
        None
    }

    /// Seconds since 1970 (UTC).
    fn now_s(&mut self) -> u64;

    /// Load average, rounded.
    fn load_average(&mut self) -> u32 {
        0
    }
}

/// One mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanger {
    /// Its name, without trailing dot.
    pub name: Vec<u8>,
    /// Its preference.
    pub preference: u16,
}

/// One user of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub name: Vec<u8>,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Full name field.
    pub gecos: Vec<u8>,
    /// Home folder.
    pub home: Vec<u8>,
    /// Login shell.
    pub shell: Vec<u8>,
}
