//! The guest SDK that this binary carries, so that an author needs no other download: it is unpacked into
//! the home folder, one folder per version, with the same places relative to each other as in the source.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};

use crate::error::CliError;

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/rust/sdk");
static MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/rust/macros");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/rust/template");

/// Where each part lies, as in the source.
const PARTS: [(&str, &Dir<'_>); 3] = [
    ("guest-sdk/rust/sdk", &SDK),
    ("guest-sdk/rust/macros", &MACROS),
    ("wit", &WIT),
];

/// Unpacks the SDK where it is not there yet, and tells where the crate `airlock-sdk` lies.
///
/// The folder's name holds the hash of its content, and it gets that name only when it is whole: so what is
/// there is right, also when two commands unpack at once or a build of the same version brings another SDK.
///
/// # Errors
/// A [`CliError`] when the home folder cannot be written.
pub(crate) fn unpack(home: &Path) -> Result<PathBuf, CliError> {
    let mut hasher = blake3::Hasher::new();
    for (place, part) in PARTS {
        each_file(part, &mut |path, content| {
            for piece in [
                place.as_bytes(),
                path.as_os_str().as_encoded_bytes(),
                content,
            ] {
                hasher.update(&(piece.len() as u64).to_le_bytes());
                hasher.update(piece);
            }
            Ok(())
        })
        .map_err(|error| CliError::file("the SDK", home, &error))?;
    }
    let hash = hasher.finalize().to_hex();
    let version = env!("CARGO_PKG_VERSION");
    let short: String = hash.chars().take(8).collect();
    let folder = home.join("sdk").join(format!("{version}-{short}"));
    if !folder.exists() {
        write_whole(&folder)
            .map_err(|error| CliError::file("the SDK's folder", &folder, &error))?;
    }
    Ok(folder.join("guest-sdk/rust/sdk"))
}

fn write_whole(folder: &Path) -> io::Result<()> {
    let draft = folder.with_extension(format!("draft-{}", std::process::id()));
    for (place, part) in PARTS {
        let root = draft.join(place);
        each_file(part, &mut |path, content| {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap_or(&root))?;
            fs::write(file, content)
        })?;
    }
    match fs::rename(&draft, folder) {
        Err(_) if folder.exists() => fs::remove_dir_all(&draft),
        other => other,
    }
}

fn each_file(
    dir: &Dir<'_>,
    visit: &mut dyn FnMut(&Path, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    for file in dir.files() {
        visit(file.path(), file.contents())?;
    }
    dir.dirs().try_for_each(|inner| each_file(inner, visit))
}

/// Writes a new bundle from the template into a folder that must not be there yet.
///
/// # Errors
/// A [`CliError`] when the folder is there or cannot be written.
pub(crate) fn write_template(folder: &Path, name: &str, sdk: &Path) -> Result<(), CliError> {
    if folder.exists() {
        return Err(CliError::Failed(format!(
            "AL-0831: `{}` is there already; choose another name, or remove it first",
            folder.display()
        )));
    }
    let written = each_file(&TEMPLATE, &mut |path, content| {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        let text = std::str::from_utf8(content).map_err(io::Error::other)?;
        fs::write(file, fill(text, name))
    })
    .and_then(|()| {
        let cargo = folder.join(".cargo");
        fs::create_dir_all(&cargo)?;
        fs::write(cargo.join("config.toml"), cargo_config(sdk))?;
        fs::write(folder.join(".gitignore"), "/target\n/.cargo/config.toml\n")
    });
    written.map_err(|error| CliError::file("the new bundle", folder, &error))
}

/// A DAG's id is a Rust function's name.
pub(crate) fn dag_id(name: &str) -> String {
    let id: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    if id.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{id}")
    } else {
        id
    }
}

fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{dag}}", &dag_id(name))
}

/// Where cargo finds the SDK on this machine.
fn cargo_config(sdk: &Path) -> String {
    let path = toml::Value::String(sdk.to_string_lossy().into_owned());
    format!(
        "# Where the SDK of the installed Airlock lies on this machine; written by `airlock bundle new`.\n[patch.crates-io]\nairlock-sdk = {{ path = {path} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_is_unpacked_once_with_its_parts_in_their_places() {
        let home = tempfile::tempdir().unwrap();
        let sdk = unpack(home.path()).unwrap();
        assert!(sdk.join("Cargo.toml").exists());
        assert!(sdk.join("../macros/Cargo.toml").exists());
        assert!(sdk.join("../../../wit/bundle").is_dir());
        fs::write(sdk.join("kept"), "").unwrap();
        assert_eq!(unpack(home.path()).unwrap(), sdk);
        assert!(sdk.join("kept").exists(), "it was not written again");
        assert_eq!(fs::read_dir(home.path().join("sdk")).unwrap().count(), 1);
    }

    #[test]
    fn a_new_bundle_has_no_gaps_and_finds_the_sdk() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("my-bundle");
        write_template(&folder, "my-bundle", Path::new("/s/d\"k")).unwrap();
        let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
        for path in ["Cargo.toml", "bundle.toml", "src/lib.rs", "README.md"] {
            assert!(!read(path).contains("{{"), "{path}:\n{}", read(path));
        }
        assert!(read("src/lib.rs").contains("fn my_bundle"));
        airlock_bundle::Manifest::parse(&read("bundle.toml")).unwrap();
        let config: toml::Table = read(".cargo/config.toml").parse().unwrap();
        assert_eq!(
            config["patch"]["crates-io"]["airlock-sdk"]["path"].as_str(),
            Some("/s/d\"k")
        );
        assert!(
            write_template(&folder, "x", Path::new("/")).is_err(),
            "nothing is overwritten"
        );
    }

    #[test]
    fn a_dag_id_is_a_functions_name() {
        for (name, id) in [
            ("weather", "weather"),
            ("My-Bundle.2", "my_bundle_2"),
            ("2nd", "_2nd"),
        ] {
            assert_eq!(dag_id(name), id);
        }
    }
}
