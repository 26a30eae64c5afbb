//! Components that no toolchain would make, put together by hand.

use std::path::Path;

use wasm_encoder::{
    BlockType, CodeSection, Component, CustomSection, ElementMode, ElementSection, Elements,
    ExportKind, ExportSection, Function, FunctionSection, HeapType, InstanceSection, Instruction,
    MemorySection, MemoryType, Module, ModuleArg, ModuleSection, RawSection, RefType, StartSection,
    TableSection, TableType, TypeSection, ValType,
};
use wasmparser::Payload;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) fn core_module() -> Vec<u8> {
    Module::new().finish()
}

/// A core module that has a memory of this many pages, and does this when it is instantiated.
pub(crate) fn with_memory(minimum: u64, start: &[Instruction<'_>]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut function = Function::new([]);
    for instruction in start {
        function.instruction(instruction);
    }
    function.instruction(&Instruction::End);
    let mut code = CodeSection::new();
    code.function(&function);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories)
        .section(&StartSection { function_index: 0 })
        .section(&code);
    module.finish()
}

/// A valid component that is not a bundle.
pub(crate) fn other_world() -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(&Module::new()));
    component.finish()
}

/// A component of this many bytes.
pub(crate) fn large(bytes: usize) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&CustomSection {
        name: "padding".into(),
        data: vec![0; bytes].into(),
    });
    component.finish()
}

fn task_bundle() -> (Resolve, wit_parser::WorldId) {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::new();
    resolve.push_dir(wit.join("capability")).unwrap();
    resolve.push_dir(wit.join("bundle")).unwrap();
    let world = resolve
        .worlds
        .iter()
        .find(|(_, world)| world.name == "task-bundle")
        .map(|(id, _)| id)
        .unwrap();
    (resolve, world)
}

/// A component with the export of the task phase, whose function is `run`.
fn tasks(run: &[Instruction<'_>], more: usize) -> Vec<u8> {
    let (resolve, world) = task_bundle();
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum: 1,
        maximum: None,
        table64: false,
        shared: false,
    });
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
        .export("airlock:bundle/tasks@0.1.1#run", ExportKind::Func, 0)
        .export("cabi_realloc", ExportKind::Func, 1);
    let mut elements = ElementSection::new();
    elements.segment(wasm_encoder::ElementSegment {
        mode: ElementMode::Declared,
        elements: Elements::Functions(vec![0].into()),
    });
    let body = |instructions: &[Instruction<'_>]| {
        let mut function = Function::new([]);
        for instruction in instructions {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        function
    };
    let mut code = CodeSection::new();
    code.function(&body(run));
    code.function(&body(&[Instruction::I32Const(1024)]));
    for _ in 0..more {
        functions.function(0);
        code.function(&slow());
    }
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&tables)
        .section(&memories)
        .section(&exports)
        .section(&elements)
        .section(&code);
    let mut module = module.finish();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .validate(false)
        .encode()
        .unwrap()
}

/// A task that lets its table grow without end.
pub(crate) fn growing_table() -> Vec<u8> {
    tasks(
        &[
            Instruction::Loop(BlockType::Empty),
            Instruction::RefNull(HeapType::FUNC),
            Instruction::I32Const(1000),
            Instruction::TableGrow(0),
            Instruction::Drop,
            Instruction::Br(0),
            Instruction::End,
            Instruction::Unreachable,
        ],
        0,
    )
}

/// A function that keeps a compiler busy: thousands of values that all live at once.
fn slow() -> Function {
    let mut function = Function::new([(2000, ValType::I32)]);
    for local in 1..2000 {
        function.instruction(&Instruction::LocalGet(local - 1));
        function.instruction(&Instruction::I32Load(wasm_encoder::MemArg {
            offset: u64::from(local),
            align: 0,
            memory_index: 0,
        }));
        function.instruction(&Instruction::LocalSet(local));
    }
    function.instruction(&Instruction::I32Const(0));
    for local in 0..2000 {
        function.instruction(&Instruction::LocalGet(local));
        function.instruction(&Instruction::I32Xor);
    }
    function.instruction(&Instruction::End);
    function
}

/// A small task beside a great many functions.
pub(crate) fn slow_to_compile() -> Vec<u8> {
    tasks(&[Instruction::Unreachable], 600)
}

/// A component whose task's code does not type-check.
pub(crate) fn invalid_inside() -> Vec<u8> {
    tasks(&[Instruction::I64Const(0)], 0)
}

/// A task with this many bytes of padding: much to hold, little to compile.
pub(crate) fn padded(bytes: usize) -> Vec<u8> {
    let mut component = tasks(&[Instruction::Unreachable], 0);
    let padding = large(bytes);
    component.extend_from_slice(&padding[8..]);
    component
}

/// A task beside something that somebody else made: a core module, which is instantiated before the task runs, or a
/// component, which is only there.
pub(crate) fn beside(made: &[u8]) -> Vec<u8> {
    with(tasks(&[Instruction::Unreachable], 0), made)
}

/// A component beside something that somebody else made.
pub(crate) fn with(mut component: Vec<u8>, made: &[u8]) -> Vec<u8> {
    let is_module = wasmparser::Parser::is_core_wasm(made);
    let sections = wasmparser::Parser::new(0).parse_all(&component);
    let (mut depth, mut modules) = (0, 0);
    for section in sections.map(Result::unwrap) {
        match section {
            Payload::ModuleSection { .. } => {
                modules += u32::from(depth == 0);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            _ => {}
        }
    }
    let mut more = Component::new();
    more.section(&RawSection {
        id: if is_module { 1 } else { 4 },
        data: made,
    });
    if is_module {
        let mut instances = InstanceSection::new();
        instances.instantiate(modules, std::iter::empty::<(&str, ModuleArg)>());
        more.section(&instances);
    }
    component.extend_from_slice(&more.finish()[8..]);
    component
}
