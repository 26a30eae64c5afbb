//! An asset condition: from the border's list of nodes, which may be anything, to a tree.

use airlock_model::dag::AssetCondition;

use crate::{bindings::definitions::ConditionNode, waits};

/// How deep conditions may be nested. The model walks them by recursion, and their text is JSON, whose
/// readers nest no deeper than 128.
const MOST_DEPTH: usize = 32;

/// Why a list of nodes is no condition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConditionError {
    /// A node does not stand before the one that names it, or there is none.
    #[error(
        "AL-0336: node {0} of the asset condition names node {1}, which does not stand before it; list a node after those below it"
    )]
    Order(usize, u32),
    /// A node stands below several, or below none.
    #[error(
        "AL-0336: node {0} of the asset condition stands below more than one node, or below none and is not the last; give each node one place"
    )]
    Place(usize),
    /// Too deep.
    #[error(
        "AL-0336: the asset condition is nested more than {MOST_DEPTH} deep; join what is joined alike into one list"
    )]
    Depth,
}

/// The condition; none for an empty list.
pub(super) fn tree(nodes: Vec<ConditionNode>) -> Result<Option<AssetCondition>, ConditionError> {
    // Each with its depth, until a node above takes it. So none is taken twice, and the whole is no larger
    // than the list.
    let mut made: Vec<Option<(AssetCondition, usize)>> = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.into_iter().enumerate() {
        let next = match node {
            ConditionNode::Of(asset) => (AssetCondition::Of(waits::asset(asset)), 1),
            ConditionNode::All(below) => {
                let (of, depth) = take(&mut made, at, &below)?;
                (AssetCondition::All(of), depth + 1)
            }
            ConditionNode::Any(below) => {
                let (of, depth) = take(&mut made, at, &below)?;
                (AssetCondition::Any(of), depth + 1)
            }
        };
        if next.1 > MOST_DEPTH {
            return Err(ConditionError::Depth);
        }
        made.push(Some(next));
    }
    let whole = made.pop().flatten();
    match made.iter().position(Option::is_some) {
        Some(stray) => Err(ConditionError::Place(stray)),
        None => Ok(whole.map(|(condition, _)| condition)),
    }
}

/// The nodes below one, and how deep the deepest is.
fn take(
    made: &mut [Option<(AssetCondition, usize)>],
    at: usize,
    below: &[u32],
) -> Result<(Vec<AssetCondition>, usize), ConditionError> {
    let mut deepest = 0;
    let mut all = Vec::with_capacity(below.len());
    for place in below {
        let index = usize::try_from(*place).unwrap_or(usize::MAX);
        let slot = made
            .get_mut(index)
            .ok_or(ConditionError::Order(at, *place))?;
        let (condition, depth) = slot.take().ok_or(ConditionError::Place(index))?;
        deepest = deepest.max(depth);
        all.push(condition);
    }
    Ok((all, deepest))
}

#[cfg(test)]
mod tests {
    use airlock_model::dag::AssetRef;

    use super::*;
    use crate::bindings::units;

    fn of(name: &str) -> ConditionNode {
        ConditionNode::Of(units::AssetRef::Name(name.to_owned()))
    }

    fn model(name: &str) -> AssetCondition {
        AssetCondition::Of(AssetRef::Name(name.to_owned()))
    }

    #[test]
    fn a_list_of_nodes_becomes_the_condition_that_its_last_one_is() {
        assert_eq!(tree(Vec::new()), Ok(None));
        assert_eq!(tree(vec![of("a")]), Ok(Some(model("a"))));
        let nodes = vec![
            of("a"),
            of("b"),
            of("c"),
            ConditionNode::Any(vec![1, 2]),
            ConditionNode::All(vec![0, 3]),
        ];
        let any = AssetCondition::Any(vec![model("b"), model("c")]);
        let whole = AssetCondition::All(vec![model("a"), any]);
        assert_eq!(tree(nodes), Ok(Some(whole)));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let all = ConditionNode::All;
        assert_eq!(
            tree(vec![of("a"), all(vec![1])]),
            Err(ConditionError::Order(1, 1)),
            "below itself"
        );
        assert_eq!(
            tree(vec![of("a"), all(vec![7])]),
            Err(ConditionError::Order(1, 7))
        );
        assert_eq!(
            tree(vec![of("a"), all(vec![0, 0])]),
            Err(ConditionError::Place(0)),
            "twice below one"
        );
        assert_eq!(
            tree(vec![of("a"), all(vec![0]), all(vec![0, 1])]),
            Err(ConditionError::Place(0)),
            "below two: such lists could stand for trees that no memory holds"
        );
        assert_eq!(
            tree(vec![of("a"), of("b")]),
            Err(ConditionError::Place(0)),
            "below none"
        );
    }

    #[test]
    fn depth_is_bounded() {
        let mut nodes = vec![of("a")];
        for below in 0..100_000 {
            nodes.push(ConditionNode::All(vec![below]));
        }
        assert_eq!(tree(nodes), Err(ConditionError::Depth));
        let mut nodes = vec![of("a")];
        for below in 0..31 {
            nodes.push(ConditionNode::Any(vec![below]));
        }
        assert!(tree(nodes).is_ok());
    }
}
