//! A server that is started for one errand, by a command that hands over mail itself, and that ends with it.
//!
//! The same processes in the same cages, less those that listen. The command holds the other ends of the queue's edges
//! to `smtpd` and `control`, and plays their part.

use super::family::Family;
use super::hands::Hands;
use super::{Master, StartError, first_policy};
use crate::Serve;
use crate::edges::Errand;
use crate::job::{FromErrand, Mission};
use crate::link::{Link, LinkError};
use crate::roles::Role;
use policy::settings::LogTo;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use sys::signal::Signals;

/// How long the command may take to say what it wants.
const MISSION_MS: u64 = 10_000;

/// Serves the command at the other end of `life`.
///
/// # Errors
/// The command is gone, or sent what is no mission.
pub(crate) fn run(life: OwnedFd) -> Result<ExitCode, LinkError> {
    sys::fd::keep_from_children()?;
    let mut link = Link::new(life);
    let mission = loop {
        if let Some((mission, _)) = link.receive::<Mission>()? {
            break mission;
        }
        if !sys::poll::readable(&link, Some(MISSION_MS))? {
            return Err(LinkError::Closed);
        }
        link.fill()?;
    };
    match begin(&mission, &mut link) {
        Ok(mut master) => match master.work() {
            Ok(code) => Ok(code),
            Err(_) => Ok(ExitCode::from(crate::EX_OSERR)),
        },
        Err(StartError::Configuration(text)) => fail(&mut link, &text, crate::EX_CONFIG),
        Err(StartError::System(text)) => fail(&mut link, &text, crate::EX_OSERR),
    }
}

fn fail(link: &mut Link, text: &str, code: u8) -> Result<ExitCode, LinkError> {
    link.send(&FromErrand::Failed { text: text.into(), code }, &[])?;
    link.flush()?;
    Ok(ExitCode::from(code))
}

fn begin(mission: &Mission, link: &mut Link) -> Result<Master, StartError> {
    let signals = Signals::block()?;
    let options = Serve {
        config: Some(crate::path_of(&mission.config)),
        arguments: mission.arguments.clone(),
        ..Serve::default()
    };
    let errand: Errand = mission.errand.clone();
    let mut family = Family::new(crate::is_root(), Some(errand.clone()))?;
    let mut settings = first_policy(&options, &mut family)?;
    // Nobody reads our standard output.
    settings.logging.to = LogTo::Syslog;
    let hands = Hands::without_doors(&settings)?;
    let mut master = Master::start(options, settings, family, hands, signals, Some(errand))?;
    for role in [Role::Smtpd, Role::Control] {
        let edge = master.family.join_sender(role)?;
        link.send_with(&FromErrand::Edge(role), &[], edge)?;
    }
    link.flush()?;
    Ok(master)
}
