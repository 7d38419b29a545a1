//! `ironpost privileges`: what each live process may do, from the kernel's own account of it, and by deed.

use crate::exit;
use crate::flags::PrivilegesFlags;
use crate::mailq::quoted;
use crate::place::Place;
use crate::printer::Printer;
use daemon::client::Client;
use daemon::edges::Proof;
use daemon::roles::{Deed, Role};
use std::process::ExitCode;

/// What /proc says of a process.
#[derive(Debug, Default)]
struct Status {
    uid: String,
    bounding: String,
    effective: String,
    no_new_privs: String,
    seccomp: String,
}

/// One row: what the process proved, and what the kernel says.
struct Row {
    proof: Proof,
    status: Status,
    wrong: Vec<String>,
}

/// Asks all processes, looks at /proc, judges by the table.
pub(crate) fn run(flags: &PrivilegesFlags, printer: &mut Printer) -> ExitCode {
    let place = Place::from(flags.place.clone());
    let proofs = Client::connect(&place.run).and_then(|mut client| client.privileges(flags.check));
    let proofs = match proofs {
        Ok(proofs) => proofs,
        Err(error) => {
            return printer.fail("ironpost privileges", &error.to_string(), exit::UNAVAILABLE);
        }
    };
    let rows: Vec<Row> = proofs.into_iter().map(|proof| row(proof, flags.check)).collect();
    for row in &rows {
        if flags.json {
            printer.line(&json(row));
        } else {
            print(row, printer);
        }
    }
    let is_wrong = rows.iter().any(|row| !row.wrong.is_empty());
    if flags.check && !flags.json {
        printer.line(if is_wrong { "a cage is open" } else { "every cage holds" });
    }
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn row(proof: Proof, is_checked: bool) -> Row {
    let status = status(proof.pid);
    let mut wrong = Vec::new();
    if proof.role != Role::Master {
        for (deed, is_done) in &proof.deeds {
            if *is_done && proof.role.duty().forbidden.contains(deed) {
                wrong.push(format!("{} succeeded", name(*deed)));
            }
        }
        if is_checked && proof.deeds.is_empty() {
            wrong.push("no proof".into());
        }
        if status.no_new_privs != "1" {
            wrong.push("no_new_privs is not set".into());
        }
        if status.seccomp != "2" {
            wrong.push("no seccomp filter".into());
        }
        if !status.effective.trim_start_matches('0').is_empty() {
            wrong.push(format!("capabilities {}", status.effective));
        }
    }
    Row { proof, status, wrong }
}

/// The lines of /proc/PID/status that matter.
fn status(pid: u32) -> Status {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    Status {
        uid: field("Uid:"),
        bounding: field("CapBnd:"),
        effective: field("CapEff:"),
        no_new_privs: field("NoNewPrivs:"),
        seccomp: field("Seccomp:"),
    }
}

fn name(deed: Deed) -> &'static str {
    match deed {
        Deed::OpenPasswd => "open(\"/etc/passwd\")",
        Deed::Socket => "socket()",
        Deed::Network => "socket() for the network",
        Deed::Execve => "execve()",
        Deed::Kill => "kill()",
    }
}

fn print(row: &Row, printer: &mut Printer) {
    let Row { proof, status, wrong } = row;
    let duty = proof.role.duty();
    printer.line(&format!("{} {} (pid {})", duty.name, proof.index, proof.pid));
    printer.line(&format!(
        "    uid {}  capabilities {} of {}  no_new_privs {}  seccomp {}",
        status.uid, status.effective, status.bounding, status.no_new_privs, status.seccomp
    ));
    printer.line(&format!(
        "    hears {}; network: {}; files: {}",
        duty.sees, duty.network, duty.files
    ));
    let edges: Vec<&str> = proof.edges.iter().map(|role| role.duty().name).collect();
    printer.line(&format!("    edges: master, {}", edges.join(", ")));
    let open: Vec<String> =
        proof.descriptors.iter().map(|(number, kind)| format!("{number} {kind}")).collect();
    printer.line(&format!("    open: {}", open.join(", ")));
    if !proof.deeds.is_empty() {
        let deeds = proof.deeds.iter().map(|(deed, is_done)| {
            format!("{} {}", name(*deed), if *is_done { "succeeds" } else { "refused" })
        });
        printer.line(&format!("    by deed: {}", deeds.collect::<Vec<_>>().join(", ")));
    }
    for fault in wrong {
        printer.line(&format!("    WRONG: {fault}"));
    }
}

fn json(row: &Row) -> String {
    let Row { proof, status, wrong } = row;
    let list = |items: Vec<String>| items.join(",");
    let open = proof.descriptors.iter().map(|(number, kind)| {
        format!(r#"{{"number":{number},"kind":{}}}"#, quoted(kind.as_bytes()))
    });
    let deeds = proof.deeds.iter().map(|(deed, is_done)| {
        format!(r#"{{"deed":{},"succeeds":{is_done}}}"#, quoted(name(*deed).as_bytes()))
    });
    let edges = proof.edges.iter().map(|role| quoted(role.duty().name.as_bytes()));
    let wrong = wrong.iter().map(|fault| quoted(fault.as_bytes()));
    format!(
        r#"{{"role":"{}","index":{},"pid":{},"uid":"{}","capabilities":"{}","bounding":"{}","no_new_privs":"{}","seccomp":"{}","edges":[{}],"open":[{}],"deeds":[{}],"wrong":[{}]}}"#,
        proof.role.duty().name,
        proof.index,
        proof.pid,
        status.uid,
        status.effective,
        status.bounding,
        status.no_new_privs,
        status.seccomp,
        list(edges.collect()),
        list(open.collect()),
        list(deeds.collect()),
        list(wrong.collect())
    )
}
