//! Master's children: who lives, who is joined to whom, who is to be started again and when.

use super::hands::Hands;
use super::identity::{identity_of, role_of};
use crate::edges::{EDGES, Errand, Grant, Identity, Order, Reading, Ward};
use crate::link::Link;
use crate::roles::Role;
use crate::start::LIFE_DESCRIPTOR;
use policy::Settings;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::signal::Signals;
use sys::spawn::{Child, Ended};

/// The first pause before a role that died is started again; doubled at each death.
const RESTART_FIRST_MS: u64 = 50;

/// The longest pause.
const RESTART_LONGEST_MS: u64 = 30_000;

/// Who lived this long starts again with the first pause.
const SOUND_MS: u64 = 60_000;

/// Delivery children at the same time.
const CHILDREN_MAX: usize = 200;

/// One child.
pub(super) struct Process {
    pub(super) role: Role,
    pub(super) index: u8,
    /// Of a delivery child: the user.
    pub(super) user: Option<Box<[u8]>>,
    pub(super) link: Link,
    pub(super) is_ready: bool,
    /// Replaced by a reload: its end is no accident.
    pub(super) is_retired: bool,
    /// Its edge is closed; it is about to be buried.
    is_deaf: bool,
    child: Child,
    born_ms: u64,
    deaths: u32,
}

impl Process {
    pub(super) fn name(&self) -> &'static str {
        self.role.duty().name
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it is a delivery child: started when wanted, not when it died.
    pub(super) fn is_child(&self) -> bool {
        matches!(self.role, Role::Deliver | Role::Agent | Role::Reader)
    }

    pub(super) fn kill(&self) {
        // Already gone is as good as killed.
        drop(self.child.kill());
    }

    /// Sends an order; a child that can't take it is about to be buried.
    pub(super) fn order(&mut self, order: &Order) {
        drop(self.link.send(order, &[]));
    }

    /// Hands over a descriptor.
    pub(super) fn grant(&mut self, grant: Grant, descriptor: OwnedFd) {
        drop(self.link.send_with(&Order::Grant(grant), &[], descriptor));
    }
}

/// A role to be started again.
struct Planned {
    role: Role,
    index: u8,
    due_ms: u64,
    deaths: u32,
}

/// All children.
pub(super) struct Family {
    pub(super) processes: Vec<Process>,
    planned: Vec<Planned>,
    program: sys::spawn::Program,
    is_root: bool,
    /// What the server was started for, if it ends with that.
    errand: Option<Errand>,
}

impl Family {
    pub(super) fn new(is_root: bool, errand: Option<Errand>) -> io::Result<Self> {
        let program = sys::spawn::Program::ourselves()?;
        Ok(Self { processes: Vec::new(), planned: Vec::new(), program, is_root, errand })
    }

    /// Starts a process and joins nothing yet.
    fn spawn(&mut self, role: Role, index: u8) -> io::Result<Process> {
        let (ours, theirs) = sys::socket::pair()?;
        let name = role.duty().name;
        let arguments = ["ironpost", "role", name];
        let child = self.program.start(&arguments, vec![(theirs, LIFE_DESCRIPTOR)])?;
        let deaths = self
            .planned
            .iter()
            .find(|p| (p.role, p.index) == (role, index))
            .map_or(0, |p| p.deaths);
        self.planned.retain(|planned| (planned.role, planned.index) != (role, index));
        Ok(Process {
            role,
            index,
            user: None,
            link: Link::new(ours),
            is_ready: false,
            is_retired: false,
            is_deaf: false,
            child,
            born_ms: sys::clock::monotonic_ms(),
            deaths,
        })
    }

    fn identity(&self, role: Role) -> Option<Identity> {
        let uid = role.uid().filter(|_| self.is_root)?;
        Some(Identity::bare(uid, uid))
    }

    /// Starts a policy, which reads the configuration before it works.
    pub(super) fn start_policy(
        &mut self,
        index: u8,
        reading: &Reading,
        configuration: Option<(Box<[u8]>, OwnedFd)>,
    ) -> io::Result<()> {
        let mut process = self.spawn(Role::Policy, index)?;
        process.order(&Order::Read(reading.clone()));
        if let Some((name, file)) = configuration {
            process.grant(Grant::Configuration { name }, file);
        }
        process.order(&Order::Go { index, identity: self.identity(Role::Policy) });
        drop(process.link.flush());
        self.processes.push(process);
        Ok(())
    }

    /// Starts everybody but the policy, joined by the edges of the table.
    pub(super) fn start_rest(&mut self, settings: &Settings, hands: &mut Hands) -> io::Result<()> {
        let lanes = u8::try_from(sys::cpu::count()).unwrap_or(u8::MAX).clamp(1, 8);
        let all = [
            (Role::Queue, 1),
            (Role::Resolver, 1),
            (Role::Relay, lanes),
            (Role::Control, 1),
            (Role::Smtpd, lanes),
        ];
        // Whom nobody can connect to needs nobody who accepts, and one of each kind is enough.
        let few = [(Role::Queue, 1), (Role::Resolver, 1), (Role::Relay, 1)];
        let wanted = match self.errand {
            None => all.as_slice(),
            Some(Errand::Look) => &few[..1],
            Some(_) => &few,
        };
        for &(role, count) in wanted {
            for index in 0..count {
                self.start(role, index, settings, hands)?;
            }
        }
        Ok(())
    }

    /// Starts one role and joins it to all its neighbours that live.
    pub(super) fn start(
        &mut self,
        role: Role,
        index: u8,
        settings: &Settings,
        hands: &mut Hands,
    ) -> io::Result<()> {
        let mut process = self.spawn(role, index)?;
        process.order(&Order::Settings(Box::new(settings.clone())));
        for (grant, descriptor) in hands.for_role(role)? {
            process.grant(grant, descriptor);
        }
        self.join(&mut process)?;
        let is_told = matches!(role, Role::Queue | Role::Relay);
        if let Some(errand) = self.errand.as_ref().filter(|_| is_told) {
            process.order(&Order::Errand(errand.clone()));
        }
        process.order(&Order::Go { index, identity: self.identity(role) });
        drop(process.link.flush());
        self.processes.push(process);
        Ok(())
    }

    /// Makes an edge between the newcomer and each neighbour of the table that lives.
    pub(super) fn join(&mut self, newcomer: &mut Process) -> io::Result<()> {
        for other in self.processes.iter_mut().filter(|p| !p.is_retired && !p.is_child()) {
            let pair = (newcomer.role, other.role);
            if EDGES.iter().any(|&(a, b)| (a, b) == pair || (b, a) == pair) {
                let (one, two) = sys::socket::pair()?;
                newcomer.grant(Grant::Edge { to: other.role, index: other.index }, one);
                other.grant(Grant::Edge { to: newcomer.role, index: newcomer.index }, two);
            }
        }
        Ok(())
    }

    /// Joins the process that sent us on an errand to the queue, as `role`. Its end of the edge.
    pub(super) fn join_sender(&mut self, role: Role) -> io::Result<OwnedFd> {
        let (theirs, queues) = sys::socket::pair()?;
        if let Some(queue) = self.processes.iter_mut().find(|p| p.role == Role::Queue) {
            queue.grant(Grant::Edge { to: role, index: 0 }, queues);
            drop(queue.link.flush());
        }
        Ok(theirs)
    }

    /// Starts a child of a user, with an edge to the queue. If there can be none, the reason in words, and whether it will
    /// not go away by itself.
    pub(super) fn start_child(
        &mut self,
        ward: &Ward,
        settings: &Settings,
    ) -> Result<(), (String, bool)> {
        if self.processes.iter().filter(|process| process.is_child()).count() >= CHILDREN_MAX {
            return Err(("too many deliveries at the same time".into(), false));
        }
        let for_now = |error: io::Error| (error.to_string(), false);
        let identity = identity_of(ward, settings, self.is_root);
        let identity = identity.map_err(|why| (why, true))?;
        let role = role_of(ward.task, identity.as_ref());
        let (one, two) = sys::socket::pair().map_err(for_now)?;
        let mut child = self.spawn(role, 0).map_err(for_now)?;
        child.user = Some(ward.user.clone());
        child.order(&Order::Settings(Box::new(settings.clone())));
        child.grant(Grant::Child { ward: ward.clone() }, one);
        child.order(&Order::Go { index: 0, identity });
        drop(child.link.flush());
        self.processes.push(child);
        if let Some(queue) = self.processes.iter_mut().find(|p| p.role == Role::Queue) {
            queue.grant(Grant::Child { ward: ward.clone() }, two);
        }
        Ok(())
    }

    /// Everybody who has ended, taken out, with how in words.
    pub(super) fn take_dead(&mut self, now_ms: u64) -> Vec<(Process, String)> {
        let mut dead = Vec::new();
        let mut place = 0;
        while let Some(process) = self.processes.get_mut(place) {
            let Some(ended) = process.child.ended() else {
                place = place.saturating_add(1);
                continue;
            };
            let mut process = self.processes.remove(place);
            if now_ms.saturating_sub(process.born_ms) > SOUND_MS {
                process.deaths = 0;
            }
            process.deaths = process.deaths.saturating_add(1);
            let how = match ended {
                Ended::Exited(code) => format!("ended with exit code {code}"),
                Ended::Signalled(number) => format!("was ended by signal {number}"),
            };
            dead.push((process, how));
        }
        dead
    }

    /// Plans the successor of a role that died.
    pub(super) fn plan_restart(&mut self, dead: &Process) {
        self.plan(dead.role, dead.index, sys::clock::monotonic_ms(), dead.deaths);
    }

    /// Plans another try of a start that failed.
    pub(super) fn plan_again(&mut self, role: Role, index: u8, now_ms: u64) {
        let known = self.planned.iter().find(|p| (p.role, p.index) == (role, index));
        let deaths = known.map_or(1, |planned| planned.deaths.saturating_add(1));
        self.planned.retain(|planned| (planned.role, planned.index) != (role, index));
        self.plan(role, index, now_ms, deaths);
    }

    fn plan(&mut self, role: Role, index: u8, now_ms: u64, deaths: u32) {
        let doublings = deaths.saturating_sub(1).min(16);
        let pause = RESTART_FIRST_MS.saturating_mul(1 << doublings).min(RESTART_LONGEST_MS);
        let due_ms = now_ms.saturating_add(pause);
        self.planned.push(Planned { role, index, due_ms, deaths });
    }

    /// Roles whose pause is over.
    pub(super) fn due(&self, now_ms: u64) -> Vec<(Role, u8)> {
        let due = self.planned.iter().filter(|planned| planned.due_ms <= now_ms);
        due.map(|planned| (planned.role, planned.index)).collect()
    }

    pub(super) fn next_due_ms(&self) -> impl Iterator<Item = u64> + '_ {
        self.planned.iter().map(|planned| planned.due_ms)
    }

    /// Writes what waits; who can't take it is about to be buried.
    pub(super) fn flush(&mut self) {
        for process in &mut self.processes {
            if process.link.flush().is_err() {
                process.kill();
            }
        }
    }

    /// Waits for a signal, a death, news, or the time, and reads the news that came.
    pub(super) fn poll(&mut self, signals: &Signals, wait_ms: Option<u64>) -> io::Result<()> {
        let mut watched: Vec<(BorrowedFd<'_>, bool)> = vec![(signals.as_fd(), false)];
        for process in self.processes.iter().filter(|process| !process.is_deaf) {
            watched.push((process.link.as_fd(), process.link.is_behind()));
        }
        let ready = sys::poll::wait(&watched, wait_ms)?;
        drop(watched);
        let hearing = self.processes.iter_mut().filter(|process| !process.is_deaf);
        for (process, is_ready) in hearing.zip(ready.into_iter().skip(1)) {
            if is_ready && process.link.fill().is_err() {
                process.closed();
            }
        }
        Ok(())
    }
}

impl Process {
    /// The edge to master is closed: the child is ending, or has gone mad. Its death comes as a signal;
    /// until then its edge is not watched.
    fn closed(&mut self) {
        self.is_deaf = true;
        self.kill();
    }
}
