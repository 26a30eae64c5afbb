//! Hosts and ports, in one spelling.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Scheme, TargetError};

/// A server's name or address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, in lower case and without a final dot.
    Name(String),
    /// An address. Never an IPv4 address dressed as an IPv6 one.
    Address(IpAddr),
}

impl Host {
    /// The host that `text` names, an IPv6 address in brackets.
    pub(super) fn new(text: &str) -> Result<Self, TargetError> {
        let wrong = |problem| TargetError::new(text, problem);
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner
                .strip_suffix(']')
                .and_then(|inner| inner.parse().ok())
                .ok_or_else(|| wrong("this is no IPv6 address"))?;
            // Mapped, compatible, translated (NAT64) and tunnelled (6to4) forms name an IPv4 address.
            let octets = address.octets();
            let dressed = matches!(octets, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
                || (matches!(octets, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..])
                    && !address.is_loopback()
                    && !address.is_unspecified())
                || matches!(octets, [0, 0x64, 0xff, 0x9b, ..] | [0x20, 0x02, ..]);
            return if dressed {
                Err(wrong(
                    "write an IPv4 address as such, not inside an IPv6 one",
                ))
            } else {
                Ok(Self::Address(IpAddr::V6(address)))
            };
        }
        if text.is_empty() || text.len() > 253 {
            return Err(wrong("a host name has 1 to 253 characters"));
        }
        // A last label that looks like a number makes the whole an IPv4 address to some programs
        // (`127.1`, `0x7f.1`, `2130706433`): then only the plain form of four decimal numbers will do.
        let last = text.rsplit('.').next().unwrap_or(text);
        let numeric = last.starts_with(|c: char| c.is_ascii_digit())
            && (last.chars().all(|c| c.is_ascii_digit())
                || last.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x")));
        if numeric {
            return text
                .parse::<Ipv4Addr>()
                .map(|address| Self::Address(IpAddr::V4(address)))
                .map_err(|_| wrong("write an IPv4 address as four decimal numbers"));
        }
        for label in text.split('.') {
            let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if label.is_empty() {
                return Err(wrong("a host name has no empty part and no final dot"));
            }
            if label.len() > 63 || !label.chars().all(good) || label.starts_with('-') {
                return Err(wrong(
                    "a host name has letters, digits and hyphens only; write an international name in its `xn--` form",
                ));
            }
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Splits `host[:port]` and checks the port; what is left of it is the host's text.
pub(super) fn split(authority: &str, scheme: Scheme) -> Result<(&str, u16), TargetError> {
    let wrong = |problem| TargetError::new(authority, problem);
    if authority.contains('@') {
        return Err(wrong("a user name or password does not belong into a URL"));
    }
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority
        .get(after_address..)
        .and_then(|rest| rest.find(':'))
        .map(|at| at + after_address);
    let Some(colon) = colon else {
        return Ok((authority, scheme.default_port()));
    };
    let (host, port) = authority.split_at(colon);
    let port = port.strip_prefix(':').unwrap_or(port);
    // `parse` alone would take `+80` and `0080`.
    let plain =
        !port.is_empty() && !port.starts_with('0') && port.chars().all(|c| c.is_ascii_digit());
    match port.parse() {
        Ok(port) if plain => Ok((host, port)),
        _ => Err(wrong("a port is a number from 1 to 65535")),
    }
}
