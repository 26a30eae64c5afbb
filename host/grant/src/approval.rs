//! What people approved for a bundle: each a grant, and the versions that it was given for.
//!
//! An approval is bound to the request that its reviewer read: a version is covered when it asks for that or for
//! less. It may be bound to one version's bytes besides. The newest approval's grant is in force for all versions
//! that any approval covers, so that runs which are pinned to an older version go on under it; what none covers
//! has nothing.

use airlock_model::id::BundleHash;

use crate::{
    difference::Difference,
    grant::{AssetGrant, ConnectionGrant, DirectoryGrant, Grant, HttpGrant, VariableGrant},
    item::GuestPath,
    phase::{Phase, Phases},
    request::{HttpRequest, Request},
};

/// A grant that somebody approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// What is granted.
    pub grant: Grant,
    /// What the version asked for that it was approved for.
    pub request: Request,
    /// That version, where it is approved for its bytes alone.
    pub only: Option<BundleHash>,
}

impl Approval {
    fn covers(&self, version: &BundleHash, request: &Request) -> bool {
        self.only.is_none_or(|only| only == *version) && request.beyond(&self.request).is_empty()
    }
}

/// All that was approved for a bundle and not taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    /// The newest one, whose grant is in force.
    pub current: Option<Approval>,
    /// Those that it replaced.
    pub earlier: Vec<Approval>,
}

/// Why a version waits for a person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncovered {
    /// It asks for more than was approved.
    Wider(Vec<Difference>),
    /// It asks for nothing more, but other bytes were approved.
    OtherBytes(BundleHash),
}

impl Approvals {
    /// What a version is granted: what is in force where it is covered. A version that asks for nothing is
    /// always covered.
    ///
    /// # Errors
    /// Why it has to wait for approval.
    pub fn grant(&self, version: &BundleHash, request: &Request) -> Result<Grant, Uncovered> {
        let Some(current) = &self.current else {
            return match request.is_empty() {
                true => Ok(Grant::default()),
                false => Err(Uncovered::Wider(request.beyond(&Request::default()))),
            };
        };
        let mut all = std::iter::once(current).chain(&self.earlier);
        if request.is_empty() || all.any(|approval| approval.covers(version, request)) {
            return Ok(current.grant.clone());
        }
        let wider = request.beyond(&current.request);
        match current.only {
            Some(only) if wider.is_empty() => Err(Uncovered::OtherBytes(only)),
            _ => Err(Uncovered::Wider(wider)),
        }
    }

    /// The grant that would give a version what it asks for: what is in force, and beside it what the version
    /// asks for beyond what was approved. Directories that would need a place on this host come second: only a
    /// person knows it.
    #[must_use]
    pub fn proposal(&self, request: &Request) -> (Grant, Vec<GuestPath>) {
        let none = Request::default();
        let (mut grant, approved) = match &self.current {
            Some(current) => (current.grant.clone(), &current.request),
            None => (Grant::default(), &none),
        };
        // The phases in which it is asked for and was not approved: in the others a narrowing is to stay.
        let new = |alone: Request| {
            let differences = alone.beyond(approved).into_iter();
            differences.fold(Phases::NONE, |all, one| all.or(one.phases))
        };
        for one in &request.connection {
            let phases = new(Request {
                connection: vec![one.clone()],
                ..Request::default()
            });
            if !phases.is_empty() {
                grant.connection.push(ConnectionGrant {
                    id: one.id.clone(),
                    access: one.access,
                    from: None,
                    phases: narrowed(phases, false),
                    dags: None,
                    tasks: None,
                });
            }
        }
        for one in &request.variable {
            let phases = new(Request {
                variable: vec![one.clone()],
                ..Request::default()
            });
            if !phases.is_empty() {
                grant.variable.push(VariableGrant {
                    key: one.key.clone(),
                    from: None,
                    phases: narrowed(phases, true),
                    dags: None,
                    tasks: None,
                });
            }
        }
        for one in &request.http {
            for method in &one.methods {
                let methods = vec![method.clone()];
                let phases = new(Request {
                    http: vec![HttpRequest {
                        methods: methods.clone(),
                        ..one.clone()
                    }],
                    ..Request::default()
                });
                if !phases.is_empty() {
                    grant.http.push(HttpGrant {
                        url: one.url.clone(),
                        methods,
                        phases: narrowed(phases, false),
                        dags: None,
                        tasks: None,
                    });
                }
            }
        }
        for one in &request.asset {
            let alone = Request {
                asset: vec![one.clone()],
                ..Request::default()
            };
            if !new(alone).is_empty() {
                grant.asset.push(AssetGrant {
                    name: one.name.clone(),
                    access: one.access,
                    dags: None,
                    tasks: None,
                });
            }
        }
        let mut homeless = Vec::new();
        for one in &request.directory {
            let alone = Request {
                directory: vec![one.clone()],
                ..Request::default()
            };
            if new(alone).is_empty() {
                continue;
            }
            // A directory that is there already is widened where it lies.
            let held: Vec<DirectoryGrant> = (grant.directory.iter())
                .filter(|held| held.path == one.path)
                .cloned()
                .collect();
            match held.as_slice() {
                [held] => {
                    let phases = held.phases.unwrap_or(Phases::ALL.without(Phase::Parse));
                    grant.directory.retain(|other| other.path != one.path);
                    grant.directory.push(DirectoryGrant {
                        mode: held.mode.max(one.mode),
                        phases: narrowed(phases.or(one.phases), false),
                        ..held.clone()
                    });
                }
                _ => homeless.push(one.path.clone()),
            }
        }
        (grant, homeless)
    }
}

/// These phases, or nothing where they are all that there are.
fn narrowed(phases: Phases, parse: bool) -> Option<Phases> {
    let all = match parse {
        true => Phases::ALL,
        false => Phases::ALL.without(Phase::Parse),
    };
    (phases != all).then_some(phases)
}

/// How one grant differs from another, entry by entry; each safe to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantDifference {
    /// What it has and the other has not.
    pub added: Vec<String>,
    /// What the other has and it has not.
    pub removed: Vec<String>,
}

impl Grant {
    /// How this differs from `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> GrantDifference {
        let (now, before) = (self.entries(), before.entries());
        let without = |from: &[String], others: &[String]| -> Vec<String> {
            let there = from.iter().filter(|entry| !others.contains(entry));
            there.cloned().collect()
        };
        GrantDifference {
            added: without(&now, &before),
            removed: without(&before, &now),
        }
    }
}

#[cfg(test)]
mod tests;
