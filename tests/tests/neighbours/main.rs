//! A hostile team beside another one, in a real host.

// Marked as tests, so that the lints take them for what they are.
#[cfg(test)]
mod counterparts;
#[cfg(test)]
mod denials;
#[cfg(test)]
mod endless;
#[cfg(test)]
mod teams;
#[cfg(test)]
mod words;
