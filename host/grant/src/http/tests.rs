//! What is allowed, and what is refused, by spelling.
