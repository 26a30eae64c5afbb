//! Files that are replaced whole: a reader sees the old or the new one, never a part.

use std::{fs, io, path::Path};

use airlock_sdk::prelude::*;

/// What is unique to this try among all that may write the same file: its run, and its token.
pub struct Tag {
    run: String,
    token: u64,
}

/// The tag of a try.
pub fn tag(ctx: &Context) -> Tag {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    Tag {
        run: ctx.run_id().chars().map(safe).collect(),
        token: ctx.token(),
    }
}

impl Tag {
    fn temporary(&self, name: &str, token: u64) -> String {
        format!(".{name}.{}.{token}.tmp", self.run)
    }
}

/// Puts `bytes` into the file `name` of `folder`, which is made if it is missing: written to a file beside
/// it first, under a name that no other try uses, and then renamed.
///
/// # Errors
/// The file system's.
pub fn replace(folder: &Path, name: &str, tag: &Tag, bytes: &[u8]) -> Result<()> {
    let temporary = folder.join(tag.temporary(name, tag.token));
    write(folder, &temporary, bytes).with_context(|| format!("writing {}", temporary.display()))?;
    let file = folder.join(name);
    fs::rename(&temporary, &file).with_context(|| format!("replacing {}", file.display()))?;
    // What a try before this one left when it was cut off between the two steps. Should that try still be
    // about to rename, it no longer can.
    for token in (1..tag.token).rev().take(8) {
        let _ = fs::remove_file(folder.join(tag.temporary(name, token)));
    }
    Ok(())
}

fn write(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::write(file, bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            fs::write(file, bytes)
        }
        result => result,
    }
}
