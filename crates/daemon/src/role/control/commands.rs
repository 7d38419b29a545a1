//! sendmail's control commands (option `ControlSocketName`): a line comes, a text goes, the connection ends.
//!
//! Only root, or who runs the server without root, is heard: the kernel says who it is, whatever the mode of the socket.

use super::{COMMANDS_MAX, House};
use crate::edges::News;
use crate::log::Severity;
use crate::request::Answer;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Octets of a command.
const COMMAND_BYTES_MAX: usize = 256;
/// How long a command may take to come, and its answer to go.
const PATIENCE: Duration = Duration::from_secs(10);

const HELP: &str = "Help for smcontrol:\r\n\
help\t\tThis message.\r\n\
restart\t\tRead the configuration again.\r\n\
shutdown\tEnd the server.\r\n\
status\t\tShow children, their limit, free KiB, load, and the processes.\r\n\
mstat\t\tThe same, a tag before each.\r\n\
memdump\t\tNothing is kept that could be shown.\r\n";

/// Hears commands for ever.
pub(super) async fn serve(house: Rc<House>, socket: UnixListener) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) if house.commands.get() < COMMANDS_MAX => {
                let house = Rc::clone(&house);
                tokio::task::spawn_local(async move {
                    house.commands.set(house.commands.get().saturating_add(1));
                    // Whoever goes away or says nothing ends its own conversation only.
                    drop(tokio::time::timeout(PATIENCE, converse(&house, stream)).await);
                    house.commands.set(house.commands.get().saturating_sub(1));
                });
            }
            Ok(_too_many) => {}
            // Out of descriptors, or the peer is gone again.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn converse(house: &Rc<House>, mut stream: UnixStream) -> std::io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != house.operator {
        return Ok(());
    }
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < COMMAND_BYTES_MAX {
        let mut piece = [0; COMMAND_BYTES_MAX];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            break;
        }
        line.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
    let command = line.split(|octet| *octet == b'\n').next().unwrap_or_default().trim_ascii();
    let answer = obey(house, command).await;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn obey(house: &Rc<House>, command: &[u8]) -> String {
    match command.to_ascii_lowercase().as_slice() {
        b"help" => HELP.into(),
        b"restart" => wish(house, command, &News::ReloadWanted),
        b"shutdown" => wish(house, command, &News::StopWanted),
        b"status" => status(house, "", false).await,
        b"mstat" => status(house, "P:", true).await,
        b"memdump" => "Memory dump unavailable.\r\n".into(),
        _ => format!("Bad command ({})\r\n", command.escape_ascii()),
    }
}

/// Passes a wish on to master.
fn wish(house: &House, command: &[u8], news: &News) -> String {
    let text = format!("control socket: {}", command.escape_ascii());
    house.log.line(Severity::Info, None, text.as_bytes());
    // Without master nobody hears anything any more.
    drop(house.life.send(news, &[]));
    "OK\r\n".into()
}

/// The children, their limit, the free room in KiB, the load, and the processes.
async fn status(house: &Rc<House>, tag: &str, is_tagged: bool) -> String {
    let answer = house.privileges(false).await;
    let processes = if let Answer::Processes(processes) = answer { processes } else { Vec::new() };
    let children = processes.len();
    let most = house.settings.borrow().limits.sessions_max;
    let free_kib = house.queue().map_or(0, |queue| queue.free_bytes()) / 1024;
    let load = sys::load::average();
    let mut text = if is_tagged {
        format!("C:{children}\r\nM:{most}\r\nL:{load}\r\nD:{free_kib}\r\n")
    } else {
        format!("{children}/{most}/{free_kib}/{load}\r\n")
    };
    for process in processes {
        let line = format!("{tag}{} {}\r\n", process.pid, process.role.duty().name);
        text.push_str(&line);
    }
    text
}
