//! A server under siege: its processes, and what they hold.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to greet, and to let go of what guests made it hold.
const PATIENCE: Duration = Duration::from_secs(20);

/// Memory that may stay with the allocators after a siege.
const MEMORY_LEFT_KIB: u64 = 24 * 1024;

/// Descriptors that a process may hold for deliveries under way.
const DESCRIPTORS_LEFT: usize = 4;

/// What all processes hold together.
#[derive(Debug)]
pub(super) struct State {
    /// Proportional share of memory of all processes.
    pub(super) memory_kib: u64,
    /// Open descriptors by process id.
    descriptors: BTreeMap<u32, usize>,
}

impl State {
    /// Whether the same processes run and none holds more descriptors, but for those of deliveries under way.
    fn is_level_with(&self, before: &Self) -> bool {
        self.descriptors.keys().eq(before.descriptors.keys())
            && self
                .descriptors
                .iter()
                .zip(before.descriptors.values())
                .all(|((_, now), before)| *now <= before + DESCRIPTORS_LEFT)
    }
}

/// A running server in a folder of its own.
pub(super) struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Server {
    /// Starts a server that allows as many guests as a siege has, and waits until it takes connections.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("siege-{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let (data, file) = (folder.join("data"), folder.join("ironpost.toml"));
        let text = format!(
            "host_name = \"mail.example.org\"\nlisten = [\"127.0.0.1:{port}\"]\nlocal_users = \"any\"\n\
             local_domains = [\"example.org\"]\ndelivery = \"maildir\"\nmailbox = \"{0}/mail\"\n\
             [limits]\nsessions_max = 20000\nsessions_per_client_max = 20000\n\
             [paths]\nspool = \"{0}/spool\"\nrun = \"{0}/run\"\n[log]\nto = \"stdout\"\n",
            data.display()
        );
        fs::write(&file, text)?;
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(fs::File::create(folder.join("log"))?)
            .stderr(fs::File::create(folder.join("errors"))?)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let mut server = Self { child, folder, port };
        let since = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if since.elapsed() > PATIENCE || server.child.try_wait()?.is_some() {
                bail!("{}", fs::read_to_string(server.folder.join("errors"))?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // The connection that found it out is gone again before anything is counted.
        std::thread::sleep(Duration::from_millis(500));
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What its processes hold now.
    pub(super) fn state(&self) -> Result<State> {
        let mut state = State { memory_kib: 0, descriptors: BTreeMap::new() };
        for process in self.processes()? {
            let folder = PathBuf::from(format!("/proc/{process}"));
            let shares = fs::read_to_string(folder.join("smaps_rollup"))?;
            let share = shares.lines().find_map(|line| line.strip_prefix("Pss:"));
            let share = share.and_then(|rest| rest.split_whitespace().next());
            state.memory_kib += share.context("no Pss")?.parse::<u64>()?;
            state.descriptors.insert(process, fs::read_dir(folder.join("fd"))?.count());
        }
        Ok(state)
    }

    /// Waits until the processes are those of `before` and hold what they held then.
    ///
    /// # Errors
    /// One of them died, or something is not given back.
    pub(super) fn settled(&self, before: &State) -> Result<()> {
        let since = Instant::now();
        loop {
            let now = self.state()?;
            let is_same = now.is_level_with(before);
            let is_slim = now.memory_kib <= before.memory_kib + MEMORY_LEFT_KIB;
            if is_same && is_slim {
                println!("      afterwards: {} KiB, before: {}", now.memory_kib, before.memory_kib);
                return Ok(());
            }
            ensure!(since.elapsed() < PATIENCE, "before: {before:?}, afterwards: {now:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Master and its children, without those that come and go with deliveries.
    fn processes(&self) -> Result<Vec<u32>> {
        let master = self.child.id();
        let mut found = vec![master];
        for entry in fs::read_dir("/proc")? {
            let entry = entry?.path();
            let number = entry.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
            let Some(number) = number else { continue };
            let Ok(stat) = fs::read_to_string(entry.join("stat")) else { continue };
            let words = fs::read_to_string(entry.join("cmdline")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            if parent == Some(&master.to_string()) && !words.contains("deliver") {
                found.push(number);
            }
        }
        Ok(found)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The roles end with their master.
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}
