//! An explanation as one JSON object on one line. Octets that are no printable ASCII stand as `\ooo`, as in the log.

use super::landing::{End, Landing};
use super::steps::{Blamed, Cause, Step};
use super::trial::{Explanation, Outcome, Refused, Stage, Way};
use crate::mailq::quoted;
use policy_cf::machine::Said;

/// How deep steps are told: each is two levels of JSON, and common readers stop at 128.
const DEPTH_MAX: usize = 56;

/// The object.
pub(crate) fn object(explanation: &Explanation, config: &[u8], summary: &str) -> String {
    let stages: Vec<String> = explanation.stages.iter().map(stage).collect();
    format!(
        r#"{{"address":{},"config":{},"summary":{},"outcome":{},"stages":[{}]}}"#,
        quoted(&explanation.address),
        quoted(config),
        quoted(summary.as_bytes()),
        outcome(&explanation.outcome),
        stages.join(",")
    )
}

/// What comes of it.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Goes(way) => going(way),
        Outcome::Refused(refused) => {
            format!(r#"{{"kind":"refused","reply":{},{}}}"#, quoted(&refused.reply), blame(refused))
        }
        Outcome::Discarded(refused) => format!(r#"{{"kind":"discarded",{}}}"#, blame(refused)),
    }
}

fn going(way: &Way) -> String {
    format!(
        r#"{{"kind":"goes","mailer":{},"program":{},"host":{},"user":{},"sender":{},"aliases":{},"landings":[{}],"quarantine":{},"deferred":{}}}"#,
        quoted(&way.mailer),
        quoted(&way.program),
        maybe(way.host.as_deref()),
        quoted(&way.user),
        maybe(way.sender.as_deref()),
        maybe(way.aliases.as_deref()),
        way.landings.iter().map(landing).collect::<Vec<_>>().join(","),
        maybe(way.quarantine.as_deref()),
        way.is_deferred
    )
}

fn landing(landing: &Landing) -> String {
    let end = match &landing.end {
        End::Goes { mailer, host, user } => format!(
            r#""kind":"goes","mailer":{},"host":{},"user":{}"#,
            quoted(mailer),
            maybe(host.as_deref()),
            quoted(user)
        ),
        End::Refused(reply) => format!(r#""kind":"refused","reply":{}"#, quoted(reply)),
        End::Waits => r#""kind":"waits""#.to_owned(),
    };
    format!(r#"{{"address":{},{end}}}"#, quoted(&landing.address))
}

fn blame(refused: &Refused) -> String {
    let Some(Cause { line, rule, map }) = &refused.cause else {
        return format!(r#""by":"{}","rule":null,"map":null"#, refused.by);
    };
    let map = map.as_ref().map_or("null".to_owned(), |Blamed { map, key, value, trouble }| {
        format!(
            r#"{{"map":{},"key":{},"value":{},"trouble":{}}}"#,
            quoted(map),
            quoted(key),
            maybe(value.as_deref()),
            maybe(trouble.as_deref())
        )
    });
    let rule = match line {
        0 => "null".to_owned(),
        line => format!(r#"{{"line":{line},"text":{}}}"#, quoted(rule)),
    };
    format!(r#""by":"{}","rule":{rule},"map":{map}"#, refused.by)
}

fn maybe(text: Option<&[u8]>) -> String {
    text.map_or("null".to_owned(), quoted)
}

fn stage(stage: &Stage) -> String {
    format!(
        r#"{{"name":"{}","input":{},"steps":{}}}"#,
        stage.name,
        quoted(&stage.input),
        steps(&stage.steps, 0)
    )
}

fn steps(all: &[Step], depth: usize) -> String {
    if depth >= DEPTH_MAX && !all.is_empty() {
        return r#"[{"kind":"said","text":"what is deeper is left out"}]"#.to_owned();
    }
    let all: Vec<String> = all.iter().map(|one| step(one, depth.saturating_add(1))).collect();
    format!("[{}]", all.join(","))
}

fn step(step: &Step, depth: usize) -> String {
    match step {
        Step::Set(run) => format!(
            r#"{{"kind":"set","name":{},"input":{},"output":{},"steps":{}}}"#,
            quoted(&run.name),
            quoted(&run.input),
            maybe(run.output.as_deref()),
            steps(&run.steps, depth)
        ),
        Step::Rule(run) => format!(
            r#"{{"kind":"rule","line":{},"text":{},"before":{},"after":{},"steps":{}}}"#,
            run.line,
            quoted(&run.text),
            quoted(&run.before),
            maybe(run.after.as_deref()),
            steps(&run.steps, depth)
        ),
        Step::Asked(map, key, said) | Step::Computed(map, key, said) => {
            let (answer, value) = match said {
                Said::Found(value) => ("found", quoted(value)),
                Said::NotFound => ("not found", "null".to_owned()),
                Said::TemporaryFailure => ("temporary failure", "null".to_owned()),
            };
            format!(
                r#"{{"kind":"map","map":{},"key":{},"answer":"{answer}","value":{value}}}"#,
                quoted(map),
                quoted(key)
            )
        }
        Step::Said(text) => format!(r#"{{"kind":"said","text":{}}}"#, quoted(text)),
    }
}
