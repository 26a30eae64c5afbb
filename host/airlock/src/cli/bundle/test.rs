//! `airlock bundle test`: one run of one DAG, told task by task.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use airlock_model::{
    connection::{Connection, Variable},
    id::{DagId, VariableKey},
    log::Source,
    mask::Sensitive,
    state::RunState,
    time::Timestamp,
};
use airlock_secret::airflow::from_uri;
use clap::Args;
use serde_json::{Map, Value, json};

use super::build;
use crate::{
    cli::{Common, object},
    dag_test::{DagTest, TestedCallback, TestedRun, TestedTask, run_dag_test},
    error::{CliError, FAILED},
    output::{self, Format, line, print_json, print_line},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(in crate::cli) run: RunArguments,
    /// Show each task's whole log and its XComs
    #[arg(long, short)]
    verbose: bool,
}

/// The run, and what is around it.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The DAG
    #[arg(value_parser = id)]
    pub(in crate::cli) dag_id: DagId,
    /// The time that the run stands for, as 2012-01-15 or 2012-01-15T06:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    logical_date: Option<Timestamp>,
    /// Values for the DAG's params, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    conf: Option<Map<String, Value>>,
    /// The bundle: its folder, which is built first, or a component
    #[arg(long, value_name = "PATH", default_value = ".")]
    bundle: PathBuf,
    /// A variable that there is; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    variable: Vec<Variable>,
    /// A connection that there is, as a URI; may be given several times
    #[arg(long, value_name = "ID=URI", value_parser = connection)]
    connection: Vec<Connection>,
}

impl RunArguments {
    /// What is to be run; a bundle's folder is built first.
    pub(in crate::cli) async fn test(&self, common: &Common) -> Result<DagTest, CliError> {
        let bundle = &self.bundle;
        let (component, folder) = if bundle.is_dir() {
            let built = build::build(&common.home()?, bundle, false).await?;
            (built.path, bundle.clone())
        } else {
            // As `standalone` does it: the folder of a component lies beside it, under its name.
            (bundle.clone(), bundle.with_extension(""))
        };
        Ok(DagTest {
            bundle: component,
            folder: absolute(&folder),
            dag_id: self.dag_id.clone(),
            logical_date: self.logical_date,
            conf: self.conf.clone().unwrap_or_default(),
            variables: self.variable.clone(),
            connections: self.connection.clone(),
        })
    }
}

fn id(text: &str) -> Result<DagId, String> {
    DagId::new(text).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|error: airlock_model::time::TimeError| error.to_string())
}

fn variable(text: &str) -> Result<Variable, String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok(Variable {
        key: VariableKey::new(key).map_err(|error| error.to_string())?,
        value: Sensitive::new(value),
        description: None,
    })
}

fn connection(text: &str) -> Result<Connection, String> {
    let (id, uri) = text.split_once('=').ok_or("write ID=URI")?;
    from_uri(id, uri)
}

pub(in crate::cli) async fn run(
    common: &Common,
    arguments: Arguments,
) -> Result<ExitCode, CliError> {
    let config = common.config()?;
    let test = arguments.run.test(common).await?;
    let mut told = Vec::new();
    let (format, verbose) = (common.output, arguments.verbose);
    let mut on_task = |task: TestedTask| match format {
        Format::Json => {
            told.push(wire(&task));
            Ok(())
        }
        Format::Table => output::print(&task_text(&task, verbose)),
    };
    let run = run_dag_test(&config, test, &mut on_task).await?;
    match format {
        Format::Json => print_json(&json!({
            "dag_id": arguments.run.dag_id,
            "run_id": run.run_id,
            "state": run.state,
            "duration": run.duration.as_secs_f64(),
            "tasks": told,
            "callbacks": run.callbacks.iter().map(callback_wire).collect::<Vec<_>>(),
        }))?,
        Format::Table => {
            let callbacks: String = run.callbacks.iter().map(callback_text).collect();
            output::print(&callbacks)?;
            print_line(&run_text(&arguments.run, &run))?;
        }
    }
    Ok(match run.state {
        RunState::Success => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    })
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// A task instance for programs.
pub(in crate::cli) fn wire(task: &TestedTask) -> Value {
    let parsed = |json: &String| serde_json::from_str::<Value>(json).unwrap_or_default();
    let xcoms: Map<String, Value> = task
        .xcoms
        .iter()
        .map(|(key, json)| (key.clone(), parsed(json)))
        .collect();
    json!({
        "task_id": task.task_id,
        "map_index": task.map_index,
        "state": task.state,
        "try_number": task.tries,
        "duration": task.duration.as_secs_f64(),
        "note": task.note,
        "log": task.log,
        "xcoms": xcoms,
    })
}

/// One line per task: name, state, how long, and the last thing it said or why it did not succeed.
pub(in crate::cli) fn task_text(task: &TestedTask, verbose: bool) -> String {
    let own = |entry: &&airlock_model::log::Line| entry.source != Source::Airlock;
    let said = match &task.note {
        Some(note) => Some(note.as_str()),
        None => task
            .log
            .iter()
            .rev()
            .find(own)
            .map(|entry| entry.message.as_str()),
    };
    // Of a note of several lines the first says what happened; the rest is advice, shown below.
    let (first, rest) = said.map_or(("", ""), |said| said.split_once('\n').unwrap_or((said, "")));
    let tries = if task.tries > 1 {
        format!("try {}  ", task.tries)
    } else {
        String::new()
    };
    // What was never tried took no time.
    let took = match task.tries {
        0 => "–".to_owned(),
        _ => output::duration(task.duration),
    };
    let name = match task.map_index.get() {
        Some(index) => format!("{}[{index}]", task.task_id),
        None => task.task_id.to_string(),
    };
    let head = format!(
        "  {:14} {}  {took:>9}   {tries}{}",
        line(&name),
        output::state(task.state.as_str(), 9),
        line(first),
    );
    let mut text = head.trim_end().to_owned() + "\n";
    for more in rest.lines().filter(|_| task.note.is_some()) {
        text.push_str(&format!("      {}\n", line(more)));
    }
    if verbose {
        for entry in &task.log {
            let message = output::lines(&entry.message).replace('\n', "\n        ");
            text.push_str(&format!("      {:5}  {message}\n", entry.level.as_str()));
        }
        for (key, json) in &task.xcoms {
            text.push_str(&format!("      {} = {}\n", line(key), line(json)));
        }
    }
    text
}

/// A callback for programs.
fn callback_wire(callback: &TestedCallback) -> Value {
    let (task_id, map_index) = callback.task.clone().unzip();
    json!({
        "kind": callback.kind,
        "task_id": task_id,
        "map_index": map_index,
        "deadline": callback.deadline,
        "state": callback.state,
        "note": callback.note,
    })
}

/// One line per callback: of what it was told, and how it ended.
fn callback_text(callback: &TestedCallback) -> String {
    let subject = match (&callback.task, &callback.deadline) {
        (Some((task_id, map_index)), _) => {
            let index = map_index.get().map(|index| format!("[{index}]"));
            format!(" of {task_id}{}", index.unwrap_or_default())
        }
        (None, Some(name)) => format!(" `{name}`"),
        (None, None) => String::new(),
    };
    let note = callback.note.as_deref().unwrap_or_default();
    let mut lines = note.lines();
    let head = format!(
        "  {:24} {}  {}",
        line(&format!("{}{subject}", callback.kind)),
        output::state(callback.state.as_str(), 9),
        line(lines.next().unwrap_or_default()),
    );
    let mut text = head.trim_end().to_owned() + "\n";
    for more in lines {
        text.push_str(&format!("      {}\n", line(more)));
    }
    text
}

fn run_text(arguments: &RunArguments, run: &TestedRun) -> String {
    let date = match arguments.logical_date {
        Some(at) => {
            let text = at.to_string();
            format!(
                " for {}",
                text.strip_suffix("T00:00:00+00:00").unwrap_or(&text)
            )
        }
        None => String::new(),
    };
    format!(
        "run of {}{date}: {} in {}",
        arguments.dag_id,
        output::state(run.state.as_str(), 0),
        output::duration(run.duration)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use airlock_model::{
        callback::{CallbackKind, CallbackState},
        id::MapIndex,
        log::{Level, Line},
        state::TaskState,
    };

    use super::*;

    fn task(state: TaskState, note: Option<&str>) -> TestedTask {
        let entry = |source, message: &str| Line {
            at: "2024-01-01".parse().unwrap(),
            level: Level::Info,
            source,
            target: String::new(),
            message: message.into(),
            location: None,
        };
        TestedTask {
            task_id: "observe".parse().unwrap(),
            map_index: MapIndex::UNMAPPED,
            state,
            tries: 1,
            duration: Duration::from_micros(1200),
            note: note.map(str::to_owned),
            log: vec![
                entry(Source::Task, "5.3 mm \u{1b}[2J"),
                entry(Source::Airlock, "ended"),
            ],
            xcoms: vec![("return_value".into(), "{\"rain\":5.3}".into())],
        }
    }

    #[test]
    fn a_task_is_told_in_one_line_with_the_last_thing_it_said() {
        assert_eq!(
            task_text(&task(TaskState::Success, None), false),
            "  observe        success       1.2 ms   5.3 mm \\u{1b}[2J\n"
        );
        let failed = task_text(
            &task(TaskState::Failed, Some("AL-0412: denied\nhelp: ask")),
            false,
        );
        assert_eq!(
            failed,
            "  observe        failed        1.2 ms   AL-0412: denied\n      help: ask\n"
        );
        let verbose = task_text(&task(TaskState::Success, None), true);
        assert!(
            verbose.contains("      return_value = {\"rain\":5.3}\n"),
            "{verbose}"
        );
        assert!(!verbose.contains('\u{1b}'));
    }

    #[test]
    fn a_callback_is_told_in_one_line_with_what_it_was_told_of() {
        let callback = |task: Option<&str>, deadline: Option<&str>, note: Option<&str>| {
            callback_text(&TestedCallback {
                kind: CallbackKind::TaskFailure,
                task: task.map(|id| (id.parse().unwrap(), MapIndex(2))),
                deadline: deadline.map(str::to_owned),
                state: CallbackState::Failed,
                note: note.map(str::to_owned),
            })
        };
        assert_eq!(
            callback(Some("load"), None, Some("no \u{1b}[2J\nhelp: ask")),
            "  task_failure of load[2]  failed     no \\u{1b}[2J\n      help: ask\n"
        );
        assert_eq!(
            callback(None, Some("late"), None),
            "  task_failure `late`      failed\n"
        );
    }

    #[test]
    fn variables_and_connections_are_given_as_pairs() {
        assert_eq!(variable("a.b=c=d").unwrap().value.reveal(), "c=d");
        assert!(variable("a").is_err() && variable("a b=c").is_err());
        let exchange = connection("exchange=http://k:p@h:1/?a=b").unwrap();
        assert_eq!((exchange.id.as_str(), exchange.port), ("exchange", Some(1)));
    }
}
