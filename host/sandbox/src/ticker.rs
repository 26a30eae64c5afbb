//! The thread that moves every engine's epoch, which is what makes running guests stop and look whether
//! they may go on.
//!
//! There is one for all teams. It holds engines weakly, so that it keeps none alive, and parks while no
//! instance runs anywhere: a host at rest has no thread that wakes.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// How long a guest runs before it offers its thread to others.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without any instance before the thread parks, so that a steady trickle of short calls does not
/// wake it each time.
const LINGER: u32 = 50;

/// Moves the epochs of all registered engines while something runs.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engines: Mutex<Vec<EngineWeak>>,
    active: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            engines: Mutex::default(),
            active: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let thread = thread::Builder::new().name("epoch-ticker".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// From now on this engine's epoch moves with the others.
    pub(crate) fn register(&self, engine: &Engine) {
        self.shared.engines().push(engine.weak());
    }

    /// Epochs move at least until the answer is dropped.
    pub(crate) fn activity(&self) -> Activity {
        self.shared.active.fetch_add(1, SeqCst);
        // Either this sees that the thread has parked and wakes it, or the thread, which looks at the count
        // after it has said that it parks, sees this instance.
        if self.shared.parked.load(SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Activity(Arc::clone(&self.shared))
    }

    /// Whether the thread sleeps until something runs.
    #[cfg(test)]
    fn is_parked(&self) -> bool {
        self.shared.parked.load(SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its only end is the flag: there is nothing that a panic in it could tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn engines(&self) -> std::sync::MutexGuard<'_, Vec<EngineWeak>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut idle = 0;
        while !self.stop.load(SeqCst) {
            if self.active.load(SeqCst) > 0 {
                idle = 0;
            } else if idle < LINGER {
                idle += 1;
            } else {
                self.park();
                idle = 0;
                continue;
            }
            thread::sleep(TICK);
            self.engines().retain(|engine| match engine.upgrade() {
                Some(engine) => {
                    engine.increment_epoch();
                    true
                }
                None => false,
            });
        }
    }

    fn park(&self) {
        self.parked.store(true, SeqCst);
        while self.active.load(SeqCst) == 0 && !self.stop.load(SeqCst) {
            thread::park();
        }
        self.parked.store(false, SeqCst);
    }
}

/// Something runs.
pub(crate) struct Activity(Arc<Shared>);

impl Drop for Activity {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction,
        Module, TypeSection,
    };
    use wasmtime::{Instance, Store};

    use super::*;
    use crate::{config, limits::TeamLimits};

    /// A core module whose `spin` never ends.
    fn spinning() -> Vec<u8> {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut exports = ExportSection::new();
        exports.export("spin", ExportKind::Func, 0);
        let mut spin = Function::new([]);
        for instruction in [
            Instruction::Loop(BlockType::Empty),
            Instruction::Br(0),
            Instruction::End,
            Instruction::End,
        ] {
            spin.instruction(&instruction);
        }
        let mut code = CodeSection::new();
        code.function(&spin);
        module
            .section(&types)
            .section(&functions)
            .section(&exports)
            .section(&code);
        module.finish()
    }

    #[test]
    fn the_epoch_of_every_registered_engine_moves_while_something_runs() {
        let ticker = Ticker::start().unwrap();
        let limits = TeamLimits {
            instances: 1,
            ..TeamLimits::default()
        };
        let engines: Vec<Engine> = (0..3)
            .map(|_| Engine::new(&config::engine_config(&limits)).unwrap())
            .collect();
        for engine in &engines {
            ticker.register(engine);
        }
        let activity = ticker.activity();
        for engine in &engines {
            let module = wasmtime::Module::new(engine, spinning()).unwrap();
            let mut store = Store::new(engine, ());
            store.set_epoch_deadline(3);
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let spin = instance
                .get_typed_func::<(), ()>(&mut store, "spin")
                .unwrap();
            let end = spin.call(&mut store, ()).unwrap_err();
            assert_eq!(
                end.downcast_ref::<wasmtime::Trap>(),
                Some(&wasmtime::Trap::Interrupt)
            );
        }
        drop(activity);
        while !ticker.is_parked() {
            thread::yield_now();
        }
        drop(engines);
        // Held until the thread has come round: one that ends before it wakes leaves it asleep.
        let again = ticker.activity();
        while !ticker.shared.engines().is_empty() {
            thread::yield_now();
        }
        drop(again);
    }
}
