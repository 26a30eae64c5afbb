//! An asset that is watched: each file that arrives in a granted directory makes a run. The watcher remembers what it
//! has seen, sleeps until the host sees a change, and tells of each file under a key of its own, so that none makes two
//! runs.

use std::{collections::BTreeMap, fs, time::UNIX_EPOCH};

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

const INBOX: Asset = Asset::new("inbox").watch("files", &|| Arrivals {
    directory: "inbox".to_owned(),
});

/// One run for what has arrived since the last.
#[dag(schedule_assets = INBOX)]
pub fn watch_files() {
    import();
}

#[task]
fn import(ctx: &Context) -> Result<u64> {
    let mut bytes = 0;
    for event in ctx.triggering_events() {
        let file: Arrived = event.extra()?;
        info!("{} has {} bytes", file.name, file.bytes);
        bytes += file.bytes;
    }
    Ok(bytes)
}

/// What is told of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Arrived {
    name: String,
    bytes: u64,
}

/// Files that are new in a directory, or were written anew.
#[derive(Serialize, Deserialize)]
struct Arrivals {
    directory: String,
}

#[trigger]
impl Trigger for Arrivals {
    /// The files that it has told of, and when they were written. What is gone from the directory is forgotten.
    type State = BTreeMap<String, u128>;
    type Event = Arrived;

    fn poll(
        &self,
        told: &mut BTreeMap<String, u128>,
        _: &TriggerContext,
    ) -> Result<Polled<Arrived>> {
        let pattern = wait::file_change(&self.directory, "*.csv");
        let mut polled = Polled::wait(minutes(5)).or_on(pattern);
        let mut there = BTreeMap::new();
        for entry in fs::read_dir(directory(&self.directory)?.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let about = entry.metadata()?;
            if !name.ends_with(".csv") || !about.is_file() {
                continue;
            }
            let written = about.modified()?.duration_since(UNIX_EPOCH)?.as_micros();
            if told.get(&name) != Some(&written) {
                let bytes = about.len();
                let arrived = Arrived {
                    name: name.clone(),
                    bytes,
                };
                polled = polled.seen(format!("{name} {written}"), arrived);
            }
            there.insert(name, written);
        }
        *told = there;
        Ok(polled)
    }
}

#[cfg(test)]
mod tests {
    use airlock_sdk::{
        capability::Mode,
        testing::{self, Polling},
    };

    use super::*;

    #[test]
    fn each_file_is_told_of_once() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("arrivals-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("a.csv"), "1")?;
        fs::write(folder.join("a.txt"), "not this")?;
        testing::directory("inbox", &folder, Mode::Read);
        let mut polling = Polling::watcher(Arrivals {
            directory: "inbox".to_owned(),
        })?;
        polling.poll()?;
        assert_eq!(polling.wakes_on().len(), 1);
        fs::write(folder.join("b.csv"), "22")?;
        polling.poll()?;
        polling.poll()?;
        let told: Vec<Arrived> = polling
            .seen()
            .iter()
            .map(|(_, extra)| -> Result<Arrived> { Ok(serde_json::from_str(extra)?) })
            .collect::<Result<_>>()?;
        let arrived = |name: &str, bytes| Arrived {
            name: name.to_owned(),
            bytes,
        };
        assert_eq!(told, [arrived("a.csv", 1), arrived("b.csv", 2)]);
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
