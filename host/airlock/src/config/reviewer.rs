//! Reviewers: the people who decide on grants, each with a token of their own.

use airlock_server::auth::Reviewer;

use super::{
    mistake::Problem,
    reader::{Reader, Unique},
};

/// The longest name of a reviewer, in bytes.
const MAX_NAME: usize = 64;

/// What is wrong with a reviewer's name, as a clause that follows it; nothing where it may be one.
pub(crate) fn wrong_name(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    let fits = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain);
    // The audit has `operator` for whoever holds the installation's token.
    (!fits || name == "operator").then(|| {
        format!(
            "a reviewer's name has letters, digits, `.`, `_`, `-` and `@`, at most {MAX_NAME}, and is not `operator`"
        )
    })
}

/// Reads all of them.
pub(super) fn reviewers(root: &mut Reader<'_>) -> Vec<Reviewer> {
    let mut names = Unique::new("reviewer");
    let all = root.list("reviewer").into_iter();
    all.filter_map(|reader| reviewer(reader, &mut names))
        .collect()
}

fn reviewer(mut reader: Reader<'_>, names: &mut Unique) -> Option<Reviewer> {
    let name: Option<String> = reader.required("name");
    if let Some(name) = &name {
        names.check(name, &reader);
        if let Some(wrong) = wrong_name(name) {
            reader.mistake("name", Problem::Value(wrong));
        }
    }
    let hash: Option<String> = reader.required("token_hash");
    let token = hash.map(|hash| hash.parse());
    if let Some(Err(wrong)) = token {
        reader.mistake("token_hash", Problem::Value(str::to_owned(wrong)));
    }
    reader.finish();
    Some(Reviewer {
        name: name?,
        token: token?.ok()?,
    })
}
