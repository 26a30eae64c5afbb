//! The bundle `{{name}}`: one DAG of three tasks, to be replaced by yours.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Counts the words of a text, every day.
#[dag(schedule = "@daily", start_date = "2024-01-01")]
fn {{dag}}() {
    let text = write_text(); // calling a task adds it to the graph …
    let count = count_words(&text); // … and its result goes to the next as a typed XCom
    report_count(text, count);
}

/// What one task gives to another is any type of serde.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    words: usize,
    letters: usize,
}

#[task(retries = 2, retry_delay = "30s")]
fn write_text(ctx: &Context) -> String {
    format!("run {} says hello", ctx.run_id())
}

#[task]
fn count_words(text: &str) -> Count {
    Count {
        words: text.split_whitespace().count(),
        letters: text.chars().filter(|c| c.is_alphabetic()).count(),
    }
}

#[task]
fn report_count(text: &str, count: Count) -> Result<()> {
    ensure!(count.words > 0, "there is nothing to report");
    info!("\"{text}\" has {} words and {} letters", count.words, count.letters);
    Ok(())
}

airlock_sdk::bundle!({{dag}});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_letters_are_counted() {
        let ctx = Context::builder().run("first", "manual").build();
        let text = write_text::run(&ctx);
        assert_eq!(text, "run first says hello");
        assert_eq!(count_words::run(&text), Count { words: 4, letters: 17 });
    }

    #[test]
    fn the_dag_has_three_tasks() {
        let dag = airlock_sdk::testing::parse::<{{dag}}>().unwrap();
        assert_eq!(dag.tasks.len(), 3);
    }
}
