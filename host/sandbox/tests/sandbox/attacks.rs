//! Attacks that are the same in every phase: each is tried in all of them, names what stopped it, and leaves another
//! team's code in all of its phases, and its own team's next call, alone.

use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_sandbox::TeamLimits;

use crate::{
    everywhere::{Came, Phase, attack, harmless, load},
    stage::{Bundle, Stage, small},
};

fn limits() -> TeamLimits {
    TeamLimits {
        timetable_cpu_time: Duration::from_millis(200),
        ..small()
    }
}

/// More time than any attack takes: something else must end it.
pub(crate) fn patient() -> TeamLimits {
    TeamLimits {
        parse_cpu_time: Duration::from_secs(20),
        timetable_cpu_time: Duration::from_secs(20),
        task_cpu_time: Duration::from_secs(20),
        trigger_cpu_time: Duration::from_secs(20),
        callback_cpu_time: Duration::from_secs(20),
        ..limits()
    }
}

/// A hostile team and another one, with the same guest.
fn neighbours(limits: TeamLimits) -> (Stage, Bundle, Bundle) {
    let stage = Stage::new();
    let hostile = load(&stage, &stage.add_team("hostile", limits), "", "");
    let other = load(&stage, &stage.add_team("other", small()), "", "");
    (stage, hostile, other)
}

/// Tries these attacks in all phases. Meanwhile the other team's code works in all of them, and afterwards the hostile
/// team's does, and holds no memory.
async fn ended(limits: TeamLimits, attacks: &[&str], parts: impl Fn(Phase) -> [String; 2]) {
    let (stage, hostile, other) = neighbours(limits);
    for phase in Phase::ALL {
        for name in attacks {
            let neighbour = async {
                for phase in Phase::ALL {
                    harmless(&stage, &other, phase).await;
                }
            };
            let (came, ()) = tokio::join!(attack(&stage, &hostile, phase, name), neighbour);
            let told = match came {
                Came::Ended(told) => told,
                came => panic!("{name} {phase:?}: {came:?}"),
            };
            for part in parts(phase) {
                assert!(told.contains(&part), "{name} {phase:?}: {part} in {told}");
            }
        }
        harmless(&stage, &hostile, phase).await;
    }
    stage.sandbox.drain().await;
    assert_eq!(stage.metrics(&hostile.team).memory.load(Relaxed), 0);
}

#[tokio::test]
async fn whatever_burns_the_processor_ends_with_the_time_of_its_phase() {
    // A loop, a matcher that tries every way, copies of megabytes in one instruction, and calls of the host.
    let attacks = [
        "cpu.loop",
        "cpu.regex",
        "cpu.bulk",
        "cpu.storm",
        "cpu.clock_storm",
    ];
    let option = |phase: Phase| {
        let option = format!("`{}_cpu_time`", phase.name());
        ["AL-0501".to_owned(), option]
    };
    ended(limits(), &attacks, option).await;
}

#[tokio::test]
async fn whatever_takes_memory_ends_at_the_instances_limit_in_every_phase() {
    let attacks = [
        "memory.grow",
        "memory.huge",
        "memory.small",
        "memory.fragments",
    ];
    let limits = patient();
    let option = |_| ["AL-0503", "`memory_per_instance`"].map(str::to_owned);
    ended(limits, &attacks, option).await;
}

#[tokio::test]
async fn whatever_recurses_without_end_ends_in_every_phase() {
    let limit = |_| ["AL-0506", "3 MiB"].map(str::to_owned);
    ended(limits(), &["stack.recurse"], limit).await;
    let trap = |_| ["trapped", "recursion without end"].map(str::to_owned);
    ended(limits(), &["stack.recurse_in_memory"], trap).await;
}

#[tokio::test]
async fn what_is_too_long_does_not_cross_the_border_in_any_phase() {
    let wide = TeamLimits {
        memory_per_instance: 96 << 20,
        memory: 192 << 20,
        ..patient()
    };
    let attacks = ["target", "message", "key", "id", "address", "answer"];
    let attacks = attacks.map(|name| format!("floods.{name}"));
    let attacks: Vec<&str> = attacks.iter().map(String::as_str).collect();
    // A parse may hand over more than others: all its definitions.
    let option = |phase| {
        let option = match phase {
            Phase::Parse => "`definition_bytes`",
            _ => "`host_call_bytes`",
        };
        ["AL-0507", option].map(str::to_owned)
    };
    let parse = TeamLimits {
        definition_bytes: 8 << 20,
        ..wide
    };
    ended(parse, &attacks, option).await;
}

/// A name of a megabyte, and ten thousand guesses: the log and the audit get what they can hold.
#[tokio::test]
async fn floods_of_words_and_guesses_fill_the_log_and_no_more_in_any_phase() {
    let (stage, hostile, other) = neighbours(patient());
    for phase in Phase::ALL {
        for (name, answer) in [
            ("floods.log", "flooded"),
            ("floods.print", "flooded"),
            ("floods.denials", "10000 denied"),
        ] {
            stage.world.lines.lock().unwrap().clear();
            let attack = attack(&stage, &hostile, phase, name);
            let (came, ()) = tokio::join!(attack, harmless(&stage, &other, phase));
            assert_eq!(came.answer(), answer, "{name} {phase:?}");
            let lines = stage.world.lines.lock().unwrap();
            let bytes: usize = lines.iter().map(|(_, line)| line.message.len()).sum();
            assert!(bytes <= (64 << 10) + 4096, "{name} {phase:?}: {bytes}");
        }
        let came = attack(&stage, &hostile, phase, "floods.long_key").await;
        let said = came.answer();
        assert!(
            ["invalid AL-0416", "denied AL-0526"].contains(&&*said),
            "{said}"
        );
        let mut denied = stage.world.denied.lock().unwrap();
        assert!(denied.iter().all(|denied| denied.item.len() < 1024));
        denied.clear();
    }
}

#[tokio::test]
async fn nothing_is_left_from_one_call_to_the_next_in_any_phase_nor_for_another_team() {
    let (stage, hostile, other) = neighbours(limits());
    let none = ["false/false"; 7].join(" ");
    let xcom = |phase| match phase {
        Phase::Task => "nothing done",
        _ => "denied AL-0518 denied AL-0518",
    };
    for phase in Phase::ALL {
        // Twice by one team, and then by another, whose instance may get the same memory.
        for bundle in [&hostile, &hostile, &other] {
            for (name, answer) in [
                ("persistence.memory", "0"),
                ("persistence.pages", "0 bytes were somebody's"),
                ("persistence.files", &none),
                ("persistence.environment", "false 1"),
                ("persistence.xcom", xcom(phase)),
            ] {
                let came = attack(&stage, bundle, phase, name).await;
                assert_eq!(came.answer(), answer, "{name} {phase:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_pure_sees_no_time_and_no_randomness_and_the_rest_does() {
    let (stage, hostile, other) = neighbours(limits());
    for phase in Phase::ALL {
        let mut seen = BTreeSet::new();
        for bundle in [&hostile, &hostile, &other] {
            let time = attack(&stage, bundle, phase, "purity.time").await.answer();
            let random = attack(&stage, bundle, phase, "purity.randomness").await;
            assert_eq!(time == "0 0 0", phase.is_pure(), "{phase:?}: {time}");
            seen.insert((time, random.answer()));
        }
        let wanted = if phase.is_pure() { 1 } else { 3 };
        assert_eq!(seen.len(), wanted, "{phase:?}: {seen:?}");
    }
}
