//! Debian packages, fetched by apt (which checks their signatures) and unpacked below the target folder, nowhere else.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Each is asked for alone: mail servers exclude each other. The last three are delivery agents; dovecot-lda and mail.local
/// come with servers.
const PACKAGES: [&str; 9] = [
    "postfix",
    "exim4-daemon-light",
    "sendmail-bin",
    "opensmtpd",
    "dovecot-lmtpd",
    "procmail",
    "maildrop",
    "courier-authdaemon",
    "sensible-mda",
];

/// Where all that is unpacked.
const FOLDER: &str = "receivers-and-agents";

/// Depended upon for their installation or by their services; apt is told that they are there.
const NOT_NEEDED: [&str; 28] = [
    "adduser",
    "cpio",
    "cron",
    "debconf",
    "debianutils",
    "default-mta",
    "dpkg",
    "e2fsprogs",
    "ed",
    "exim4-base",
    "exim4-config",
    "init-system-helpers",
    "libpam-modules",
    "libpam-runtime",
    "lockfile-progs",
    "lsb-base",
    "m4",
    "mail-transport-agent",
    "make",
    "netbase",
    "openssl",
    "passwd",
    "perl",
    "perl-base",
    "procps",
    "ssl-cert",
    "sysvinit-utils",
    "ucf",
];

/// A root folder with all receivers, a shell and the small tools; unpacked by the first who asks. In vain is once a run.
pub(crate) fn root() -> Result<&'static Path, &'static String> {
    static ROOT: LazyLock<Result<PathBuf, String>> = LazyLock::new(unpacked);
    ROOT.as_deref()
}

fn unpacked() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let root = folder.join("root");
    if !root.exists() {
        fetch(&folder)?;
        unpack(&folder, &root)?;
    }
    Ok(root)
}

/// With the package lists of the machine; if they are too old, or there are none, with lists of our own.
fn fetch(folder: &Path) -> Result<(), String> {
    for part in ["archives/partial", "lists/partial"] {
        fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
    }
    let status = NOT_NEEDED.iter().fold(String::new(), |mut all, name| {
        writeln!(
            all,
            "Package: {name}\nStatus: install ok installed\nVersion: 99:1\nArchitecture: all\n\
             Multi-Arch: allowed\nMaintainer: none <none@example.org>\nDescription: none\n"
        )
        .unwrap();
        all
    });
    fs::write(folder.join("status"), status).map_err(|error| error.to_string())?;
    if download(folder, "").is_err() {
        let lists = format!("Dir::State::lists={}", folder.join("lists").display());
        run(apt(folder).args(["-o", &lists, "update"]))?;
        // What the old lists gave does not mix with what the new ones give.
        run(apt(folder).args(["-o", &lists, "autoclean"]))?;
        download(folder, &lists)?;
    }
    Ok(())
}

fn download(folder: &Path, lists: &str) -> Result<(), String> {
    for package in PACKAGES {
        let mut apt = apt(folder);
        if !lists.is_empty() {
            apt.args(["-o", lists]);
        }
        apt.args(["install", "--download-only", "-y", "--no-install-recommends"]);
        run(apt.args([package, "dash", "coreutils"]))?;
    }
    Ok(())
}

fn apt(folder: &Path) -> Command {
    // A server that drips must not hold the tests up.
    let mut apt = Command::new("timeout");
    apt.env("LC_ALL", "C").args(["300", "apt-get", "-qq", "-o", "APT::Sandbox::User=root"]);
    apt.args(["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]);
    for (setting, place) in
        [("Dir::State::status", "status"), ("Dir::Cache", ""), ("Dir::Cache::archives", "archives")]
    {
        apt.arg("-o").arg(format!("{setting}={}", folder.join(place).display()));
    }
    apt
}

fn unpack(folder: &Path, root: &Path) -> Result<(), String> {
    let half = folder.join("half");
    drop(fs::remove_dir_all(&half));
    let archives = folder.join("archives");
    for entry in fs::read_dir(&archives).map_err(|error| error.to_string())?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "deb") {
            run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&half))?;
        }
    }
    fs::rename(half, root).map_err(|error| error.to_string())?;
    drop(fs::remove_dir_all(folder.join("lists")));
    fs::remove_dir_all(archives).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
