//! A bundle that opens sockets.

use hostile_raw::airlock::bundle::definitions::Parsed;

fn parse() -> Parsed {
    let connected = std::net::TcpStream::connect("127.0.0.1:80").is_ok();
    hostile_raw::parsed(vec![hostile_raw::dag(
        &format!("connected_{connected}"),
        Vec::new(),
    )])
}

hostile_raw::parses!(parse);
