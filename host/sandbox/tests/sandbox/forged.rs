//! What no toolchain lets a program say at the border: text that is none, places that are not there, handles that were
//! never given or were given back, and a memory that traps when the host fills it; and tables and memories as no toolchain
//! asks for them. Each ends the instance that tried, in each phase, in the words of the sandbox, and no other.

use std::sync::atomic::Ordering::Relaxed;

use airlock_sandbox::TeamLimits;
use wasm_encoder::{BlockType, HeapType, Instruction, MemArg};

use crate::{
    attacks::patient,
    everywhere::{Came, Phase, attack, harmless, load},
    raw::{BLOCK, DROP, GET, POLL, Raw, SUBSCRIBE, WRITE},
    stage::{Bundle, Stage, grant, request, small},
    synthetic::{with, with_memory},
};

/// Where answers are written that do not fit.
const ANSWER: i32 = 1024;
/// Where a handle is kept.
const HANDLE: i32 = 2048;

/// A component whose every phase does this, and whose allocator that.
fn forged(run: &[Instruction<'_>], allocate: &[Instruction<'_>]) -> Vec<u8> {
    Raw {
        run,
        allocate,
        ..Raw::PLAIN
    }
    .component()
}

fn ints(values: &[i32]) -> Vec<Instruction<'static>> {
    values
        .iter()
        .map(|&value| Instruction::I32Const(value))
        .collect()
}

/// Calls an import with these, and then traps in a way of its own.
fn call(import: u32, values: &[i32]) -> Vec<Instruction<'static>> {
    let mut run = ints(values);
    run.extend([Instruction::Call(import), Instruction::Unreachable]);
    run
}

/// Asks for a pollable, and makes these calls with its handle.
fn with_handle(calls: &[u32]) -> Vec<Instruction<'static>> {
    let place = MemArg {
        offset: 0,
        align: 2,
        memory_index: 0,
    };
    let mut run = vec![
        Instruction::I32Const(HANDLE),
        Instruction::I64Const(0),
        Instruction::Call(SUBSCRIBE),
        Instruction::I32Store(place),
    ];
    for import in calls {
        run.extend([
            Instruction::I32Const(HANDLE),
            Instruction::I32Load(place),
            Instruction::Call(*import),
        ]);
    }
    run.push(Instruction::Unreachable);
    run
}

/// An allocator that gives each call this place.
fn always(place: i32) -> Vec<Instruction<'static>> {
    ints(&[place])
}

/// A team that loads what is made by hand, and another one.
struct Scene {
    stage: Stage,
    team: airlock_model::id::TeamName,
    other: Bundle,
}

impl Scene {
    fn new(limits: TeamLimits) -> Self {
        let stage = Stage::new();
        let team = stage.add_team("hostile", limits);
        let other = load(&stage, &stage.add_team("other", small()), "", "");
        let value = "a value that has to be put somewhere";
        stage.world.set_variable("hostile", "granted", value);
        Self { stage, team, other }
    }

    /// What ended this in each phase, beside another team's harmless call in that phase.
    async fn ended(&self, component: Vec<u8>) -> Vec<(Phase, String)> {
        let Self { stage, team, other } = self;
        let phases = "phases = [\"parse\", \"task\", \"trigger\", \"callback\"]";
        let wanted = format!("[[request.variable]]\nkey = \"granted\"\n{phases}");
        let granted = grant("[[variable]]\nkey = \"granted\"");
        let bundle = stage.load(team, component, &request(&wanted), &granted);
        let bundle = bundle.unwrap();
        let mut all = Vec::new();
        for phase in Phase::ALL {
            let attack = attack(stage, &bundle, phase, "");
            let (came, ()) = tokio::join!(attack, harmless(stage, other, phase));
            match came {
                Came::Ended(told) => all.push((phase, told)),
                came => panic!("{phase:?}: {came:?}"),
            }
        }
        all
    }

    /// Nothing of what was tried is left: the next call of the team does well, and it holds no memory.
    async fn is_whole(&self) {
        let own = load(&self.stage, &self.team, "", "");
        for phase in Phase::ALL {
            harmless(&self.stage, &own, phase).await;
        }
        self.stage.sandbox.drain().await;
        assert_eq!(self.stage.metrics(&self.team).memory.load(Relaxed), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_said_at_the_border_ends_the_instance_that_says_it() {
    let scene = Scene::new(small());
    let line = |level, place, length| [level, place, length, 0, 7, 0, 0, 0, 0, 0];
    let value = call(GET, &[0, 7, ANSWER]);

    for (what, run, allocate, says) in [
        (
            "a call that is as it should be",
            value.clone(),
            always(4096),
            "unreachable",
        ),
        (
            "bytes that are no UTF-8",
            call(GET, &[7, 2, ANSWER]),
            always(4096),
            "utf-8",
        ),
        (
            "an overlong zero",
            call(GET, &[9, 2, ANSWER]),
            always(4096),
            "utf-8",
        ),
        (
            "half a surrogate pair",
            call(GET, &[11, 3, ANSWER]),
            always(4096),
            "utf-8",
        ),
        (
            "the same in a line of the log",
            call(WRITE, &line(2, 7, 2)),
            always(4096),
            "utf-8",
        ),
        (
            "a text beyond the memory",
            call(GET, &[65_530, 100, ANSWER]),
            always(4096),
            "out of bounds",
        ),
        (
            "a text around the end",
            call(GET, &[-16, 100, ANSWER]),
            always(4096),
            "out of bounds",
        ),
        (
            "a text of two gibibytes",
            call(GET, &[0, i32::MAX, ANSWER]),
            always(4096),
            "out of bounds",
        ),
        (
            "an answer beyond the memory",
            call(GET, &[0, 7, -16]),
            always(4096),
            "out of bounds",
        ),
        (
            "an answer in between",
            call(GET, &[0, 7, 1027]),
            always(4096),
            "align",
        ),
        (
            "a level that there is not",
            call(WRITE, &line(99, 0, 7)),
            always(4096),
            "discriminant",
        ),
        (
            "a handle that was never given",
            call(BLOCK, &[7]),
            always(4096),
            "handle",
        ),
        (
            "a handle of all bits",
            call(BLOCK, &[-1]),
            always(4096),
            "handle",
        ),
        ("handle zero", call(DROP, &[0]), always(4096), "handle"),
        (
            "a list of forged handles",
            call(POLL, &[0, 2, ANSWER]),
            always(4096),
            "handle",
        ),
        (
            "a handle twice given back",
            with_handle(&[DROP, DROP]),
            always(4096),
            "handle",
        ),
        (
            "a handle after it was given back",
            with_handle(&[DROP, BLOCK]),
            always(4096),
            "handle",
        ),
        (
            "a memory that traps when it is filled",
            value.clone(),
            vec![Instruction::Unreachable],
            "unreachable",
        ),
        (
            "a memory that is beyond the memory",
            value.clone(),
            always(-64),
            "beyond end of memory",
        ),
        (
            "a memory that calls the host while the host fills it",
            value.clone(),
            [call(GET, &[0, 7, ANSWER])].concat(),
            "leave",
        ),
        (
            "a memory that loops when it is filled",
            value.clone(),
            vec![
                Instruction::Loop(BlockType::Empty),
                Instruction::Br(0),
                Instruction::End,
                Instruction::Unreachable,
            ],
            "AL-0501",
        ),
    ] {
        for (phase, told) in scene.ended(forged(&run, &allocate)).await {
            assert!(
                told.to_lowercase().contains(&says.to_lowercase()),
                "{what} {phase:?}: {told}"
            );
            assert!(told.contains("AL-05"), "{what} {phase:?}: {told}");
        }
    }
    scene.is_whole().await;
}

#[tokio::test]
async fn tables_that_grow_without_end_or_are_huge_end_at_their_limit_in_every_phase() {
    let scene = Scene::new(patient());
    let grow = |by| {
        let more = [
            Instruction::RefNull(HeapType::FUNC),
            Instruction::I32Const(by),
            Instruction::TableGrow(0),
            Instruction::Drop,
        ];
        let again = [
            Instruction::Br(0),
            Instruction::End,
            Instruction::Unreachable,
        ];
        [&[Instruction::Loop(BlockType::Empty)], &more[..], &again].concat()
    };
    for (what, run, tables) in [
        ("a thousand at a time", grow(1_000), vec![0]),
        ("two thousand million at once", grow(i32::MAX), vec![0]),
        (
            "one, which is as large from its beginning",
            grow(1),
            vec![20_000],
        ),
        ("many, each small", grow(1), vec![1_250; 16]),
    ] {
        let (run, tables) = (&run, &tables);
        let component = Raw {
            run,
            tables,
            ..Raw::PLAIN
        }
        .component();
        for (phase, told) in scene.ended(component).await {
            for part in ["AL-0505", "20000", "`table_elements`"] {
                assert!(told.contains(part), "{what} {phase:?}: {part} in {told}");
            }
        }
    }
    scene.is_whole().await;
}

/// What an instance's memories hold is counted together, also while it is made. More memories than it has room for are
/// not loaded.
#[tokio::test]
async fn several_memories_are_counted_together_in_every_phase() {
    let scene = Scene::new(patient());
    let grow = [
        Instruction::Loop(BlockType::Empty),
        Instruction::I32Const(1),
        Instruction::MemoryGrow(0),
        Instruction::Drop,
        Instruction::Br(0),
        Instruction::End,
        Instruction::Unreachable,
    ];
    let pages = |pages| {
        let (run, memories) = (&grow[..], &[pages][..]);
        let raw = Raw {
            run,
            memories,
            ..Raw::PLAIN
        };
        raw.component()
    };
    let sum = ["AL-0503", "32 MiB", "`memory_per_instance`"];
    let count = ["AL-0538", "memor", "`memory_per_instance`"];
    let small = with_memory(1, &[]);
    let two_in_one = Raw {
        memories: &[1, 1],
        ..Raw::PLAIN
    };
    for (what, component, parts) in [
        (
            "two, large together",
            with(pages(300), &with_memory(300, &[])),
            sum,
        ),
        (
            "a large one beside one that grows",
            with(pages(1), &with_memory(500, &[])),
            sum,
        ),
        (
            "one that grows while the instance is made",
            with(pages(1), &with_memory(1, &grow)),
            sum,
        ),
        ("three", with(with(pages(1), &small), &small), count),
        ("two in one module", two_in_one.component(), count),
    ] {
        for (phase, told) in scene.ended(component).await {
            for part in parts {
                assert!(told.contains(part), "{what} {phase:?}: {part} in {told}");
            }
        }
    }
    scene.is_whole().await;
}
