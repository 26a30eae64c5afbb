//! Memory and tables: what one instance holds in sum, charged to its team as well.
//!
//! Wasmtime's own limits are per memory, and an instance may have several; so the sum is kept here. Growth
//! beyond a limit ends the instance with a [`Reached`] instead of telling the guest that there is no memory,
//! which most languages turn into an abort without a reason.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use wasmtime::ResourceLimiter;

use crate::{
    config,
    limits::{Reached, TeamLimits},
    metrics::TeamMetrics,
};

/// The linear memory of a team's instances.
#[derive(Debug)]
pub(crate) struct TeamMemory {
    metrics: Arc<TeamMetrics>,
    most: usize,
}

impl TeamMemory {
    pub(crate) const fn new(metrics: Arc<TeamMetrics>, most: usize) -> Self {
        Self { metrics, most }
    }

    fn charge(&self, more: usize) -> Result<(), Reached> {
        let add = |charged: u64| {
            let sum = charged.checked_add(more as u64)?;
            (sum <= self.most as u64).then_some(sum)
        };
        match self.metrics.memory.fetch_update(Relaxed, Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(Reached::team_memory(self.most)),
        }
    }

    fn release(&self, less: usize) {
        self.metrics.memory.fetch_sub(less as u64, Relaxed);
    }
}

/// What one store may hold, and holds.
pub(crate) struct Budget {
    team: Arc<TeamMemory>,
    memory: usize,
    most_memory: usize,
    elements: usize,
    most_elements: usize,
    /// What the growth under way added, to take back if it fails.
    growing: (usize, usize),
}

impl Budget {
    pub(crate) fn new(team: &Arc<TeamMemory>, limits: &TeamLimits) -> Self {
        Self {
            team: Arc::clone(team),
            memory: 0,
            most_memory: limits.memory_per_instance,
            elements: 0,
            most_elements: limits.table_elements,
            growing: (0, 0),
        }
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let sum = self.memory.saturating_add(more);
        if sum > self.most_memory {
            return Err(Reached::memory(self.most_memory).into());
        }
        self.team.charge(more)?;
        self.memory = sum;
        self.growing = (more, 0);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let (more, _) = std::mem::take(&mut self.growing);
        self.memory -= more;
        self.team.release(more);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let sum = self.elements.saturating_add(more);
        if sum > self.most_elements {
            return Err(Reached::table_elements(self.most_elements).into());
        }
        self.elements = sum;
        self.growing = (0, more);
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let (_, more) = std::mem::take(&mut self.growing);
        self.elements -= more;
        Ok(())
    }

    fn tables(&self) -> usize {
        config::TABLES as usize
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.team.release(self.memory);
    }
}

#[cfg(test)]
mod tests {
    use airlock_model::outcome::Limit;

    use super::*;

    fn limits() -> TeamLimits {
        TeamLimits {
            memory_per_instance: 300,
            memory: 500,
            table_elements: 10,
            ..TeamLimits::default()
        }
    }

    fn team() -> (Arc<TeamMetrics>, Arc<TeamMemory>) {
        let metrics = Arc::new(TeamMetrics::default());
        let memory = Arc::new(TeamMemory::new(metrics.clone(), 500));
        (metrics, memory)
    }

    fn reached(end: wasmtime::Result<bool>) -> Limit {
        end.unwrap_err().downcast_ref::<Reached>().unwrap().limit
    }

    #[test]
    fn the_memories_of_an_instance_are_summed_and_charged_to_its_team() {
        let (limits, (metrics, team)) = (limits(), team());
        let mut one = Budget::new(&team, &limits);
        assert!(one.memory_growing(0, 200, None).unwrap());
        assert_eq!(reached(one.memory_growing(0, 200, None)), Limit::Memory);
        assert!(one.memory_growing(200, 300, None).unwrap());
        let mut other = Budget::new(&team, &limits);
        assert_eq!(
            reached(other.memory_growing(0, 201, None)),
            Limit::TeamMemory
        );
        assert!(other.memory_growing(0, 200, None).unwrap());
        assert_eq!(metrics.memory.load(Relaxed), 500);
        drop(one);
        assert_eq!(metrics.memory.load(Relaxed), 200);
    }

    #[test]
    fn growth_that_fails_is_not_charged() {
        let (limits, (metrics, team)) = (limits(), team());
        let mut budget = Budget::new(&team, &limits);
        assert!(budget.memory_growing(0, 100, Some(50)).unwrap());
        budget
            .memory_grow_failed(wasmtime::Error::msg("beyond its own maximum"))
            .unwrap();
        assert_eq!(metrics.memory.load(Relaxed), 0);
        assert!(budget.table_growing(0, 10, Some(5)).unwrap());
        budget
            .table_grow_failed(wasmtime::Error::msg("beyond its own maximum"))
            .unwrap();
        assert!(budget.table_growing(0, 10, None).unwrap());
        assert_eq!(
            reached(budget.table_growing(0, 1, None)),
            Limit::TableElements
        );
    }
}
