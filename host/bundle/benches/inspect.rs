//! What an inspection costs: a component of 10 MiB, all of it code, read to its last instruction.
//! `cargo bench -p airlock-bundle --bench inspect`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "figures that cannot be had end the program, and they are its output"
)]

use std::time::{Duration, Instant};

use airlock_bundle::{DEFAULT_MAX_BYTES, embed, inspect};
use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentExportKind, ComponentExportSection,
    ComponentInstanceSection, Function, FunctionSection, Instruction, MemArg, MemorySection,
    MemoryType, Module, ModuleSection, TypeSection, ValType,
};

const BYTES: usize = 10 << 20;
const ROUNDS: usize = 31;

/// A function of a kilobyte: arithmetic, memory, branches and a call, as compilers make them.
fn body(number: u32) -> Function {
    let at = MemArg {
        offset: 16,
        align: 2,
        memory_index: 0,
    };
    let mut function = Function::new([(4, ValType::I32)]);
    for step in 0..40 {
        for instruction in [
            Instruction::Block(BlockType::Empty),
            Instruction::LocalGet(0),
            Instruction::I32Const(step * 77 + 1),
            Instruction::I32Add,
            Instruction::LocalTee(1),
            Instruction::I32Load(at),
            Instruction::LocalGet(1),
            Instruction::I32Xor,
            Instruction::LocalTee(2),
            Instruction::BrIf(0),
            Instruction::LocalGet(2),
            Instruction::LocalGet(1),
            Instruction::I32Store(at),
            Instruction::End,
        ] {
            function.instruction(&instruction);
        }
    }
    function.instruction(&Instruction::LocalGet(2));
    function.instruction(&Instruction::Call(number / 2));
    function.instruction(&Instruction::End);
    function
}

/// A bundle with so many of those functions.
fn bundle(functions: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for number in 0..functions {
        declared.function(0);
        code.function(&body(number));
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut module = Module::new();
    module
        .section(&types)
        .section(&declared)
        .section(&memories)
        .section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    let mut instances = ComponentInstanceSection::new();
    instances.export_items(std::iter::empty::<(&str, ComponentExportKind, u32)>());
    component.section(&instances);
    let mut exports = ComponentExportSection::new();
    let name = "airlock:bundle/dags@0.1.0";
    exports.export(name, ComponentExportKind::Instance, 0, None);
    component.section(&exports);
    let manifest = "[bundle]\nname = \"large\"\nversion = \"1.0.0\"\n";
    embed(&component.finish(), manifest).unwrap()
}

fn main() {
    let one = bundle(1001).len() - bundle(1).len();
    let functions = u32::try_from(BYTES * 1000 / one).unwrap();
    let bundle = bundle(functions);
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            inspect(&bundle, DEFAULT_MAX_BYTES).unwrap();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!(
        "inspecting {:.1} MiB, {functions} functions: median {:.1} ms, slowest of {ROUNDS} {:.1} ms",
        bundle.len() as f64 / f64::from(1 << 20),
        took[ROUNDS / 2].as_secs_f64() * 1e3,
        took[ROUNDS - 1].as_secs_f64() * 1e3
    );
}
