//! `airlock:capability/directories`.

use airlock_grant::Mode;

use super::Call;
use crate::{
    bindings::{
        directories::{self, Directory},
        errors::Error,
    },
    context,
};

impl directories::Host for Call {
    fn find(&mut self, name: String) -> Result<Directory, Error> {
        let standing = &self.standing;
        let permit = standing
            .effective()
            .directory(&standing.caller, &name)
            .map_err(|denial| standing.denied(&denial))?;
        let directory = permit.item();
        Ok(Directory {
            path: context::guest_path(directory),
            mode: match directory.mode() {
                Mode::Read => directories::Mode::Read,
                Mode::ReadWrite => directories::Mode::ReadWrite,
            },
        })
    }
}
