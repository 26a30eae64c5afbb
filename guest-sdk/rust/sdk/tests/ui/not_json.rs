use airlock_sdk::prelude::*;

struct Socket;

#[task]
fn open() -> Result<Socket> {
    Ok(Socket)
}

#[task]
fn send(socket: Socket) {}

fn main() {}
