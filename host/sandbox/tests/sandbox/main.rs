//! The sandbox with real guests: what they get, and what stops them when they want more.

// Marked as tests, so that the lints take them for what they are.
#[cfg(test)]
mod assets;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod audited;
#[cfg(test)]
mod authorisation;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod compiler;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod everywhere;
#[cfg(test)]
mod files;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod parsing;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod regrant;
#[cfg(test)]
mod smith;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod timetables;
#[cfg(test)]
mod triggers;
