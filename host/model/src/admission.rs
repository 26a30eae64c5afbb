//! Who may start.
