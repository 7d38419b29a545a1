//! `ironpost serve`: serves in the foreground, and says how to try it.

use crate::flags::ServeFlags;
use crate::printer::Printer;
use daemon::Serve;
use policy::settings::Settings;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The configuration that is served if it is there and nothing else is named.
const CONFIG: &str = "/etc/ironpost.toml";

/// Where everything is kept without root and without a configuration.
const DATA: &str = "ironpost-data";

/// Serves until a signal.
pub(crate) fn run(flags: ServeFlags, printer: &mut Printer) -> ExitCode {
    let config = flags.config.or_else(|| {
        let is_asked = flags.data.is_none() && Path::new(CONFIG).exists();
        is_asked.then(|| CONFIG.into())
    });
    let data = match (flags.data, &config) {
        (None, None) => Some(PathBuf::from(DATA)),
        (data, _) => data,
    };
    let is_zero = config.is_none();
    let data = match data.map(|folder| std::path::absolute(&folder)).transpose() {
        Ok(data) => data,
        Err(error) => {
            return printer.fail("ironpost", &error.to_string(), crate::exit::UNAVAILABLE);
        }
    };
    let announce: fn(&Settings) = if is_zero { announce_zero } else { announce };
    let options = Serve {
        config,
        data,
        listen: flags.listen,
        logs_json: flags.log_json,
        announce: Some(announce),
        ..Serve::default()
    };
    match daemon::serve(options) {
        Ok(code) => code,
        Err((text, code)) => {
            printer.complain(&text);
            ExitCode::from(code)
        }
    }
}

fn announce(settings: &Settings) {
    let mut printer = Printer::default();
    for listener in &settings.listeners {
        printer.line(&format!("ironpost: listening on {}", listener.endpoint));
    }
}

/// Where it listens, where mail goes, and three lines to try.
fn announce_zero(settings: &Settings) {
    announce(settings);
    let mut printer = Printer::default();
    let Some(address) = settings.listeners.first().map(|listener| &listener.endpoint) else {
        return;
    };
    let run = String::from_utf8_lossy(&settings.paths.run).into_owned();
    let data = run.strip_suffix("/run").unwrap_or(&run);
    printer.line(&format!(
        "ironpost: mail for any name goes to {data}/mail/NAME/ (Maildir); nothing is sent out

try, in another terminal:
    swaks --server {address} --to anna@example.org
    printf 'Subject: hello\\n\\nIt works.\\n' | ironpost sendmail --data {data} anna@example.org
    ironpost queue --data {data}
"
    ));
}
