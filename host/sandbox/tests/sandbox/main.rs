//! The sandbox with real guests: what they get, and what stops them when they want more.

mod calls;
mod capabilities;
mod contract;
mod files;
mod guests;
mod hostile;
mod loading;
mod parsing;
mod stage;
mod synthetic;
