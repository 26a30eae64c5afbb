//! Ways out of granted directories, in every phase that may have any.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::{
    everywhere::{Came, Phase, attack, harmless, load},
    stage::{Bundle, Stage, small},
};

const PHASES: [Phase; 3] = [Phase::Task, Phase::Trigger, Phase::Callback];

/// A team with two directories, and beside them what it is not to reach; and another team.
fn granted() -> (Stage, Bundle, Bundle) {
    let stage = Stage::new();
    for folder in ["in", "out", "in/swap", "other"] {
        fs::create_dir_all(stage.folder().join(folder)).unwrap();
    }
    fs::write(stage.folder().join("in/a.txt"), "a granted file").unwrap();
    fs::write(stage.folder().join("secret.txt"), "the host's own").unwrap();
    fs::write(stage.folder().join("other/secret.txt"), "the host's own").unwrap();
    let hostile = stage.add_team("hostile", small());
    let phases = "phases = [\"task\", \"trigger\", \"callback\"]";
    let wanted = format!(
        "[[request.directory]]\npath = \"in\"\n{phases}\n\
         [[request.directory]]\npath = \"out\"\nmode = \"read-write\"\n{phases}"
    );
    let (read, write) = (stage.folder().join("in"), stage.folder().join("out"));
    let granted = format!(
        "[[directory]]\npath = \"in\"\nhost = {read:?}\n\
         [[directory]]\npath = \"out\"\nhost = {write:?}\nmode = \"read-write\""
    );
    let bundle = load(&stage, &hostile, &wanted, &granted);
    let other = load(&stage, &stage.add_team("other", small()), "", "");
    (stage, bundle, other)
}

/// All that lies beside the two directories, and in the one that is only read.
fn around(stage: &Stage) -> Vec<(PathBuf, String)> {
    let read = |path: &str| {
        let path = stage.folder().join(path);
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    let mut all: Vec<_> = ["secret.txt", "other/secret.txt", "in/a.txt"]
        .map(read)
        .into();
    for folder in ["", "in"] {
        let names = fs::read_dir(stage.folder().join(folder)).unwrap();
        all.extend(names.map(|name| (name.unwrap().path(), String::new())));
    }
    all.sort();
    all
}

#[tokio::test]
async fn no_path_and_no_link_leads_out_of_a_directory_in_any_phase() {
    let (stage, hostile, _) = granted();
    let place = |name: &str| stage.folder().join("in").join(name);
    std::os::unix::fs::symlink("../secret.txt", place("up")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place("away")).unwrap();
    std::os::unix::fs::symlink("..", place("folder")).unwrap();
    let before = around(&stage);
    for phase in PHASES {
        for name in ["paths.out", "paths.links"] {
            let told = attack(&stage, &hostile, phase, name).await.answer();
            for secret in ["the host's own", "root:"] {
                assert!(!told.contains(secret), "{name} {phase:?}: {told}");
            }
            // It writes in its own directory, and nothing but that came off.
            for part in ["hard true", "moved true"] {
                assert!(!told.contains(part), "{name} {phase:?}: {told}");
            }
            if name == "paths.links" {
                assert!(
                    told.ends_with("[false, false, false, false, false, false]"),
                    "{told}"
                );
            }
        }
        assert_eq!(around(&stage), before, "{phase:?}");
        // An error of the file system is no decision, and the audit hears of none.
        assert_eq!(*stage.world.denied.lock().unwrap(), [], "{phase:?}");
    }
}

#[tokio::test]
async fn whoever_exchanges_a_folder_for_a_link_gains_nothing_by_being_quick() {
    let (stage, hostile, other) = granted();
    let (folder, aside) = (
        stage.folder().join("in/swap"),
        stage.folder().join("in/aside"),
    );
    fs::write(folder.join("secret.txt"), "granted").unwrap();
    let outside = stage.folder().join("other");
    let over = Arc::new(AtomicBool::new(false));
    let swaps = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut swapped = 0_u32;
            while !over.load(Relaxed) {
                fs::rename(&folder, &aside).unwrap();
                std::os::unix::fs::symlink(&outside, &folder).unwrap();
                fs::remove_file(&folder).unwrap();
                fs::rename(&aside, &folder).unwrap();
                swapped += 1;
            }
            swapped
        }
    });
    for phase in PHASES {
        let (told, ()) = tokio::join!(
            attack(&stage, &hostile, phase, "paths.race"),
            harmless(&stage, &other, phase)
        );
        match told {
            Came::Answered(seen) => assert!(!seen.contains("the host's own"), "{phase:?}: {seen}"),
            Came::Ended(text) => assert!(text.contains("AL-0501"), "{phase:?}: {text}"),
        }
    }
    over.store(true, Relaxed);
    assert!(swaps.join().unwrap() > 0);
}

/// Somebody who may has put it into a granted directory, which no guest can. Whoever opens it waits for its other end,
/// and keeps a thread of its own team.
#[tokio::test]
async fn a_pipe_in_a_directory_holds_up_the_team_that_opens_it_and_no_other() {
    let (stage, hostile, other) = granted();
    let pipe = stage.folder().join("in/fifo");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    for phase in PHASES {
        let neighbour = async {
            for phase in Phase::ALL {
                harmless(&stage, &other, phase).await;
            }
            // As soon as somebody reads it, and not before, it can be opened so.
            let open = || {
                let mut options = fs::OpenOptions::new();
                let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
                options.write(true).custom_flags(nonblock).open(&pipe)
            };
            loop {
                match open() {
                    Ok(mut end) => break end.write_all(b"at last").unwrap(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let (came, ()) = tokio::join!(attack(&stage, &hostile, phase, "paths.pipe"), neighbour);
        // A pipe cannot be read from a place, which is how a guest reads.
        assert_eq!(came.answer(), "Uncategorized", "{phase:?}");
        harmless(&stage, &hostile, phase).await;
    }
}

#[tokio::test]
async fn a_link_to_a_device_is_not_followed_in_any_phase() {
    let (stage, hostile, _) = granted();
    std::os::unix::fs::symlink("/dev/zero", stage.folder().join("in/zero")).unwrap();
    std::os::unix::fs::symlink("/dev/full", stage.folder().join("out/full")).unwrap();
    for phase in PHASES {
        let told = attack(&stage, &hostile, phase, "paths.device").await;
        let told = told.answer();
        assert_eq!(told, "PermissionDenied|PermissionDenied", "{phase:?}");
    }
}
