//! What no toolchain lets a program say at the border: text that is none, places that are not there, handles that were
//! never given or were given back, and a memory that traps when the host fills it. Each ends the instance that tried,
//! in the words of the sandbox, and no other.

use std::path::Path;

use airlock_model::outcome::FailureKind;
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, Instruction, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::stage::{Stage, assert_failure, grant, request, small};

/// The interfaces that are called, with as much of WASI's as is needed.
const WORLD: &str = "
    package hostile:forged;
    world forged {
        import airlock:capability/log@0.1.0;
        import airlock:capability/variables@0.1.0;
        import wasi:io/poll@0.2.6;
        import wasi:clocks/monotonic-clock@0.2.6;
        export airlock:bundle/tasks@0.1.0;
    }
";
const IO: &str = "
    package wasi:io@0.2.6;
    interface poll {
        resource pollable {
            ready: func() -> bool;
            block: func();
        }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
";
const CLOCKS: &str = "
    package wasi:clocks@0.2.6;
    interface monotonic-clock {
        use wasi:io/poll@0.2.6.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }
";

// The imports, in their order; then `run` and the allocator.
const GET: u32 = 0;
const WRITE: u32 = 1;
const SUBSCRIBE: u32 = 2;
const BLOCK: u32 = 3;
const DROP: u32 = 4;
const POLL: u32 = 5;
/// Where answers are written that do not fit.
const ANSWER: i32 = 1024;

/// A component whose task does this, and whose allocator that.
fn forged(run: &[Instruction<'_>], allocate: &[Instruction<'_>]) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::new();
    resolve.push_dir(wit.join("capability")).unwrap();
    resolve.push_dir(wit.join("bundle")).unwrap();
    resolve.push_str("io.wit", IO).unwrap();
    resolve.push_str("clocks.wit", CLOCKS).unwrap();
    let package = resolve.push_str("forged.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("forged")).unwrap();

    let i = |count| vec![ValType::I32; count];
    let mut types = TypeSection::new();
    types.ty().function(i(3), []);
    types.ty().function(i(10), []);
    types.ty().function([ValType::I64], i(1));
    types.ty().function(i(1), []);
    types.ty().function(i(1), i(1));
    types.ty().function(i(4), i(1));
    let mut imports = ImportSection::new();
    for (interface, name, kind) in [
        ("airlock:capability/variables@0.1.0", "get", 0),
        ("airlock:capability/log@0.1.0", "write", 1),
        ("wasi:clocks/monotonic-clock@0.2.6", "subscribe-duration", 2),
        ("wasi:io/poll@0.2.6", "[method]pollable.block", 3),
        ("wasi:io/poll@0.2.6", "[resource-drop]pollable", 3),
        ("wasi:io/poll@0.2.6", "poll", 0),
    ] {
        imports.import(interface, name, EntityType::Function(kind));
    }
    let mut functions = FunctionSection::new();
    functions.function(4).function(5);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports
        .export("memory", ExportKind::Memory, 0)
        .export("airlock:bundle/tasks@0.1.0#run", ExportKind::Func, 6)
        .export("cabi_realloc", ExportKind::Func, 7);
    let mut code = CodeSection::new();
    for body in [run, allocate] {
        let mut function = Function::new([(1, ValType::I32)]);
        for instruction in body {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut data = DataSection::new();
    data.active(
        0,
        &ConstExpr::i32_const(0),
        *b"granted\xff\xfe\xc0\x80\xed\xa0\x80",
    );
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code)
        .section(&data);
    let mut module = module.finish();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().module(&module).unwrap();
    encoder.encode().unwrap()
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

/// The handle of a pollable in the first local that is free.
fn subscribed() -> Vec<Instruction<'static>> {
    vec![
        Instruction::I64Const(0),
        Instruction::Call(SUBSCRIBE),
        Instruction::LocalSet(1),
    ]
}

fn with_handle(calls: &[u32]) -> Vec<Instruction<'static>> {
    let mut run = subscribed();
    for import in calls {
        run.extend([Instruction::LocalGet(1), Instruction::Call(*import)]);
    }
    run.push(Instruction::Unreachable);
    run
}

/// An allocator that gives each call this place.
fn always(place: i32) -> Vec<Instruction<'static>> {
    ints(&[place])
}

#[tokio::test]
async fn what_cannot_be_said_at_the_border_ends_the_instance_that_says_it() {
    let stage = Stage::new();
    let team = stage.add_team("hostile", small());
    let other = stage.hostile(&stage.add_team("other", small()));
    stage
        .world
        .set_variable("hostile", "granted", "a value that has to be put somewhere");
    let wanted = request("[[request.variable]]\nkey = \"granted\"");
    let granted = grant("[[variable]]\nkey = \"granted\"");
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
                Instruction::Loop(wasm_encoder::BlockType::Empty),
                Instruction::Br(0),
                Instruction::End,
                Instruction::Unreachable,
            ],
            "AL-0501",
        ),
    ] {
        let bundle = stage.load(&team, forged(&run, &allocate), &wanted, &granted);
        let failure = stage.failure(&bundle.unwrap(), "").await;
        eprintln!("{what}: {:?} {}", failure.kind, failure.message);
        if says.starts_with("AL-") {
            assert!(failure.message.contains(says), "{what}: {failure:?}");
        } else {
            assert_failure(&failure, FailureKind::Trap, &["AL-0514"]);
            let message = failure.message.to_lowercase();
            assert!(message.contains(says), "{what}: {failure:?}");
        }
        assert_eq!(stage.value(&other, "echo", &["1"]).await, "1", "{what}");
    }

    let memory = stage
        .metrics(&team)
        .memory
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(memory, 0);
}
