//! Exchange rates, a yield curve, and a check of the border between teams: three DAGs of three kinds.

mod border;
mod curve;
mod exchange;
#[cfg(test)]
mod tests;

airlock_sdk::bundle!(exchange::rates, curve::curve, border::border);
