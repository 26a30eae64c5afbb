//! A service that wants a password, called by code that never sees it: the host adds the credential of a connection
//! which the bundle may *use*, at that connection's own server and nowhere else.

use airlock_sdk::prelude::*;

const SERVICE: &str = "http://127.0.0.1:18182/whoami";

#[dag]
pub fn http_login() {
    ask();
}

/// Returns what the service says. Should it repeat the credential, there are asterisks in its place.
#[task]
fn ask() -> Result<String> {
    let answer = http::get(SERVICE).connection("service").send()?.ok()?;
    Ok(answer.text()?.to_owned())
}
