//! The checks of task groups: their tree, and what of it is mapped as one.

use std::collections::HashMap;

use super::Check;
use crate::{
    dag::{GroupIndex, GroupSpec, MappedGroup, Mistake},
    id::{TaskId, TaskIndex},
};

/// The groups of a DAG.
pub(super) struct Groups<'a> {
    /// By id: the group's parent, and its own place among the mapped ones.
    known: HashMap<&'a str, (Option<&'a str>, Option<GroupIndex>)>,
    pub(super) mapped: Vec<MappedGroup>,
}

impl<'a> Groups<'a> {
    /// The nearest mapped group around what stands in this one.
    ///
    /// # Errors
    /// The id of a group that there is not.
    pub(super) fn around(&self, mut group: Option<&'a str>) -> Result<Option<GroupIndex>, String> {
        while let Some(id) = group {
            match self.known.get(id) {
                None => return Err(id.to_owned()),
                Some((_, Some(mapped))) => return Ok(Some(*mapped)),
                Some((parent, None)) => group = *parent,
            }
        }
        Ok(None)
    }
}

impl<'s> Check<'s> {
    /// An outer group stands before what it holds, so the tree cannot be a circle.
    pub(super) fn groups(&mut self, names: &HashMap<&str, TaskIndex>) -> Groups<'s> {
        let mut groups = Groups {
            known: HashMap::new(),
            mapped: Vec::new(),
        };
        for group in &self.spec.groups {
            let told = |check: &mut Self, mistake| check.group_mistake(group, mistake);
            if let Err(error) = TaskId::new(&group.group_id) {
                told(self, error.into());
            }
            let id = group.group_id.as_str();
            if names.contains_key(id) || groups.known.contains_key(id) {
                told(self, Mistake::DuplicateGroup(id.to_owned()));
            }
            let around = match groups.around(group.parent.as_deref()) {
                Ok(around) => around,
                Err(unknown) => {
                    told(self, Mistake::UnknownGroup(unknown));
                    None
                }
            };
            let mut place = None;
            if !group.mapping.is_empty() {
                if around.is_some() {
                    told(self, Mistake::MappedInMapped);
                }
                if let Some(mapping) = self.product(&group.mapping, names, &told) {
                    place = Some(GroupIndex(groups.mapped.len()));
                    groups.mapped.push(MappedGroup {
                        id: group.group_id.clone(),
                        mapping,
                        tasks: Vec::new(),
                    });
                }
            }
            groups.known.insert(id, (group.parent.as_deref(), place));
        }
        groups
    }

    fn group_mistake(&mut self, group: &GroupSpec, mistake: Mistake) {
        self.errors.push(crate::dag::DefinitionError {
            dag_id: self.spec.dag_id.clone(),
            task_id: Some(group.group_id.clone()),
            location: group.location.clone(),
            mistake,
        });
    }
}
