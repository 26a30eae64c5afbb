//! `airlock tasks test`: one task alone, in the real sandbox.

use std::process::ExitCode;

use airlock_model::{
    id::{MapIndex, TaskId},
    state::TaskState,
};
use clap::Args;

use crate::{
    cli::{
        Common,
        bundle::test::{RunArguments, task_text, wire},
    },
    error::{CliError, FAILED},
    output::{self, Format, print_json},
    task_test::{TaskTest, run_task_test},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    /// The task
    #[arg(value_parser = task)]
    task_id: TaskId,
    /// Which instance, of a mapped task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    map_index: Option<i32>,
    /// What a task before it would have returned, as JSON; may be given several times [default: null]
    #[arg(long, value_name = "TASK=JSON", value_parser = returned)]
    returned: Vec<(TaskId, String)>,
}

fn task(text: &str) -> Result<TaskId, String> {
    TaskId::new(text).map_err(|error| error.to_string())
}

fn returned(text: &str) -> Result<(TaskId, String), String> {
    let (id, json) = text.split_once('=').ok_or("write TASK=JSON")?;
    serde_json::from_str::<serde::de::IgnoredAny>(json)
        .map_err(|error| format!("what stands behind `=` is not JSON: {error}"))?;
    Ok((task(id)?, json.to_owned()))
}

pub(super) async fn run(common: &Common, arguments: Arguments) -> Result<ExitCode, CliError> {
    let config = common.config()?;
    let test = TaskTest {
        run: arguments.run.test(common).await?,
        task_id: arguments.task_id,
        map_index: arguments.map_index.map_or(MapIndex::UNMAPPED, MapIndex),
        returned: arguments.returned.into_iter().collect(),
    };
    let tested = run_task_test(&config, test).await?;
    match common.output {
        Format::Json => print_json(&wire(&tested))?,
        Format::Table => output::print(&task_text(&tested, true))?,
    }
    Ok(match tested.state {
        TaskState::Failed => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_returned_is_given_as_json() {
        let (id, json) = returned("observe={\"a\": \"b=c\"}").unwrap();
        assert_eq!(
            (id.as_str(), json.as_str()),
            ("observe", "{\"a\": \"b=c\"}")
        );
        for wrong in ["observe", "observe=", "observe={", "a b=1"] {
            assert!(returned(wrong).is_err(), "{wrong}");
        }
    }
}
