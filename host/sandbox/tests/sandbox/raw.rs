//! Components that do the same in every phase, put together by hand: what their exports do, and what their allocator
//! does when the host fills their memory, is given instruction by instruction.

use std::path::Path;

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, Instruction, MemorySection, MemoryType, Module, RefType,
    TableSection, TableType, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{
    Resolve, WorldId, WorldItem,
    abi::{AbiVariant, WasmType},
};

/// All phases, and the interfaces that are called, with as much of WASI's as is needed.
const WORLD: &str = "
    package hostile:forged;
    world forged {
        import airlock:capability/log@0.1.1;
        import airlock:capability/variables@0.1.1;
        import wasi:io/poll@0.2.6;
        import wasi:clocks/monotonic-clock@0.2.6;
        export airlock:bundle/dags@0.1.1;
        export airlock:bundle/tasks@0.1.1;
        export airlock:bundle/triggers@0.1.1;
        export airlock:bundle/callbacks@0.1.1;
        export airlock:bundle/timetables@0.1.1;
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

// The imports, in their order; the exports follow.
pub(crate) const GET: u32 = 0;
pub(crate) const WRITE: u32 = 1;
pub(crate) const SUBSCRIBE: u32 = 2;
pub(crate) const BLOCK: u32 = 3;
pub(crate) const DROP: u32 = 4;
pub(crate) const POLL: u32 = 5;
const IMPORTS: u32 = 6;

/// What a component has.
pub(crate) struct Raw<'a> {
    /// What each export does; it does not come to its end.
    pub(crate) run: &'a [Instruction<'a>],
    /// How the place of an answer is found.
    pub(crate) allocate: &'a [Instruction<'a>],
    /// Elements of each of its tables.
    pub(crate) tables: &'a [u64],
    /// Pages of each of its memories.
    pub(crate) memories: &'a [u64],
}

impl Raw<'_> {
    /// One page of memory, and an empty table.
    pub(crate) const PLAIN: Self = Self {
        run: &[Instruction::Unreachable],
        allocate: &[Instruction::I32Const(4096)],
        tables: &[0],
        memories: &[1],
    };

    pub(crate) fn component(&self) -> Vec<u8> {
        let (resolve, world) = world();
        let mut module = self.module(&resolve, world).finish();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let mut encoder = ComponentEncoder::default().module(&module).unwrap();
        encoder.encode().unwrap()
    }

    fn module(&self, resolve: &Resolve, world: WorldId) -> Module {
        let i = |count| vec![ValType::I32; count];
        let mut types = TypeSection::new();
        types.ty().function(i(3), []);
        types.ty().function(i(10), []);
        types.ty().function([ValType::I64], i(1));
        types.ty().function(i(1), []);
        types.ty().function(i(4), i(1));
        let mut imports = ImportSection::new();
        for (interface, name, kind) in [
            ("airlock:capability/variables@0.1.1", "get", 0),
            ("airlock:capability/log@0.1.1", "write", 1),
            ("wasi:clocks/monotonic-clock@0.2.6", "subscribe-duration", 2),
            ("wasi:io/poll@0.2.6", "[method]pollable.block", 3),
            ("wasi:io/poll@0.2.6", "[resource-drop]pollable", 3),
            ("wasi:io/poll@0.2.6", "poll", 0),
        ] {
            imports.import(interface, name, EntityType::Function(kind));
        }
        let (mut functions, mut exports) = (FunctionSection::new(), ExportSection::new());
        let mut code = CodeSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        functions.function(4);
        exports.export("cabi_realloc", ExportKind::Func, IMPORTS);
        code.function(&body(self.allocate));
        for (name, params, results) in exported(resolve, world) {
            functions.function(types.len());
            types.ty().function(params, results);
            exports.export(&name, ExportKind::Func, IMPORTS + code.len());
            code.function(&body(self.run));
        }
        let mut tables = TableSection::new();
        for &minimum in self.tables {
            tables.table(TableType {
                element_type: RefType::FUNCREF,
                minimum,
                maximum: None,
                table64: false,
                shared: false,
            });
        }
        let mut memories = MemorySection::new();
        for &minimum in self.memories {
            memories.memory(MemoryType {
                minimum,
                maximum: None,
                memory64: false,
                shared: false,
                page_size_log2: None,
            });
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
            .section(&tables)
            .section(&memories)
            .section(&exports)
            .section(&code)
            .section(&data);
        module
    }
}

fn world() -> (Resolve, WorldId) {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::new();
    resolve.push_dir(wit.join("capability")).unwrap();
    resolve.push_dir(wit.join("bundle")).unwrap();
    resolve.push_str("io.wit", IO).unwrap();
    resolve.push_str("clocks.wit", CLOCKS).unwrap();
    let package = resolve.push_str("forged.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("forged")).unwrap();
    (resolve, world)
}

fn body(instructions: &[Instruction<'_>]) -> Function {
    let mut function = Function::new([]);
    for instruction in instructions {
        function.instruction(instruction);
    }
    function.instruction(&Instruction::End);
    function
}

fn values(types: &[WasmType]) -> Vec<ValType> {
    let value = |kind: &WasmType| match kind {
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
    };
    types.iter().map(value).collect()
}

/// The functions of all phases, with what the canonical ABI gives and takes.
fn exported(resolve: &Resolve, world: WorldId) -> Vec<(String, Vec<ValType>, Vec<ValType>)> {
    let mut all = Vec::new();
    for item in resolve.worlds[world].exports.values() {
        let WorldItem::Interface { id, .. } = item else {
            panic!("{item:?}")
        };
        let interface = resolve.id_of(*id).unwrap();
        for (name, function) in &resolve.interfaces[*id].functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
            let (params, results) = (values(&signature.params), values(&signature.results));
            all.push((format!("{interface}#{name}"), params, results));
        }
    }
    all
}
