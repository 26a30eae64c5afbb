//! An asset that is watched over HTTP: a feed is asked every few seconds, and each entry that is new makes a run. A
//! server that does not answer is waited out; only what can never help ends the watcher.

use std::collections::BTreeSet;

use airlock_sdk::{capability::http::HttpError, prelude::*};
use serde::{Deserialize, Serialize};

/// Granted in `bundle.toml`.
const FEED: &str = "http://127.0.0.1:18181/releases";

const RELEASES: Asset = Asset::new("releases").uri(FEED).watch("feed", &|| Feed {
    url: FEED.to_owned(),
});

/// One run for the releases since the last.
#[dag(schedule_assets = RELEASES)]
pub fn watch_http() {
    announce();
}

#[task]
fn announce(ctx: &Context) -> Result<Vec<String>> {
    let each = ctx.triggering_events().iter();
    each.map(|event| {
        let release: Release = event.extra()?;
        info!("{} is out: {}", release.version, release.notes);
        Ok(release.version)
    })
    .collect()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Release {
    version: String,
    notes: String,
}

/// New entries of a list of releases.
#[derive(Serialize, Deserialize)]
struct Feed {
    url: String,
}

#[trigger]
impl Trigger for Feed {
    /// The versions that were in the list when it was read last.
    type State = BTreeSet<String>;
    type Event = Release;

    fn poll(&self, known: &mut BTreeSet<String>, _: &TriggerContext) -> Result<Polled<Release>> {
        let pause = seconds(5);
        let answer = match http::get(&self.url).timeout(seconds(3)).send() {
            Ok(answer) if answer.status < 500 => answer.ok()?,
            Ok(answer) => {
                warn!("{} answers {}", self.url, answer.status);
                return Ok(Polled::wait(pause));
            }
            Err(HttpError::Failed(why)) => {
                warn!("{why}");
                return Ok(Polled::wait(pause));
            }
            Err(error) => return Err(error.into()),
        };
        let releases: Vec<Release> = answer.json()?;
        let versions = releases.iter().map(|release| release.version.clone());
        let before = std::mem::replace(known, versions.collect());
        let new = releases
            .into_iter()
            .filter(|release| !before.contains(&release.version));
        Ok(new.fold(Polled::wait(pause), |polled, release| {
            polled.seen(release.version.clone(), release)
        }))
    }
}

#[cfg(test)]
mod tests {
    use airlock_sdk::{
        capability::http::Response,
        testing::{self, Polling},
    };

    use super::*;

    fn serves(answer: Result<(u16, &'static str), HttpError>) {
        testing::http(move |_| {
            let (status, body) = answer.clone()?;
            Ok(Response {
                status,
                headers: Vec::new(),
                body: body.as_bytes().to_vec(),
            })
        });
    }

    #[test]
    fn each_release_is_told_of_once_whatever_the_server_does_in_between() -> Result<()> {
        let url = FEED.to_owned();
        let mut polling = Polling::watcher(Feed { url })?;
        let one = r#"[{"version": "1.0", "notes": "the first"}]"#;
        let two =
            r#"[{"version": "1.0", "notes": "the first"}, {"version": "1.1", "notes": "better"}]"#;
        let down = HttpError::Failed("the connection was refused".to_owned());
        for answer in [Ok((200, one)), Err(down), Ok((503, "")), Ok((200, two))] {
            serves(answer);
            polling.poll()?;
            polling.wait()?;
        }
        let keys: Vec<&str> = polling.seen().iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["1.0", "1.1"]);
        assert_eq!(polling.waits(), [seconds(5); 4]);
        Ok(())
    }

    #[test]
    fn a_feed_that_is_not_there_ends_the_watcher() -> Result<()> {
        serves(Ok((404, "no such feed")));
        let url = FEED.to_owned();
        let error = Polling::watcher(Feed { url })?.poll().err();
        assert!(error.is_some_and(|error| error.to_string().contains("404")));
        Ok(())
    }
}
