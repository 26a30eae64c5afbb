//! `smith FOLDER FROM COUNT`: for each number from FROM, a component in `FOLDER/NUMBER.component.wasm` and a core module in
//! `FOLDER/NUMBER.module.wasm`. The same number gives the same bytes, so that what failed can be made again.

use std::{env, error::Error, fs, path::Path};

use arbitrary::Unstructured;
use wasm_smith::{Component, Config, Module};

/// What is made of one number, in bytes of randomness: enough for some dozen types and functions.
const BYTES: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, from, count] = arguments.as_slice() else {
        return Err("smith FOLDER FROM COUNT".into());
    };
    let (from, count): (u64, u64) = (from.parse()?, count.parse()?);
    for number in from..from.saturating_add(count) {
        let random = random(number);
        // Some numbers give nothing: randomness of which nothing can be made is left out.
        if let Ok(component) = Component::new(Config::default(), &mut Unstructured::new(&random)) {
            write(folder, number, "component", &component.to_bytes())?;
        }
        // Without imports, so that it can be instantiated as it is.
        let alone = Config {
            max_imports: 0,
            ..Config::default()
        };
        if let Ok(module) = Module::new(alone, &mut Unstructured::new(&random)) {
            write(folder, number, "module", &module.to_bytes())?;
        }
    }
    Ok(())
}

fn write(folder: &str, number: u64, kind: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::write(
        Path::new(folder).join(format!("{number}.{kind}.wasm")),
        bytes,
    )
}

/// Bytes that follow from a number (SplitMix64).
fn random(number: u64) -> Vec<u8> {
    let mut state = number;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.take(BYTES / 8).flat_map(u64::to_le_bytes).collect()
}
