//! The checks of assets: their names, and the condition under which they make runs.

use std::collections::BTreeSet;

use super::Check;
use crate::dag::{AssetCondition, AssetRef, Mistake};

/// The longest name or URI of an asset, in bytes (Airflow 3.3.2, `airflow/models/asset.py`).
const MAX_NAME_BYTES: usize = 1500;
/// The most assets that one condition may name.
const MAX_CONDITION: usize = 1000;

/// Whether a text may name an asset or an alias, or be an asset's URI.
///
/// # Errors
/// [`Mistake::AssetName`] when it may not.
pub fn asset_name(text: &str) -> Result<(), Mistake> {
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len());
    if !fits || text.trim() != text || text.chars().any(char::is_control) {
        let shown = text.chars().take(80).collect();
        return Err(Mistake::AssetName(shown));
    }
    Ok(())
}

impl Check<'_> {
    pub(super) fn assets(&mut self) {
        let spec = self.spec;
        let mut names = BTreeSet::new();
        for asset in &spec.assets {
            let uri = asset.uri.as_deref();
            for text in [Some(asset.name.as_str()), uri].into_iter().flatten() {
                self.asset_text(text);
            }
            if !names.insert(&asset.name) {
                self.dag_mistake(Mistake::DuplicateAsset(asset.name.clone()));
            }
            let object = asset.extra.as_deref().is_none_or(is_object);
            if !object {
                let field = format!("assets.{}.extra", asset.name.escape_debug());
                let reason = "it is no JSON object".to_owned();
                self.dag_mistake(Mistake::NotJson { field, reason });
            }
            self.watchers(asset);
        }
        for task in &spec.tasks {
            for asset in task.inlets.iter().chain(&task.outlets) {
                self.reference(asset);
            }
        }
        if let Some(condition) = &spec.asset_condition {
            let mut count = 0;
            self.condition(condition, &mut count);
            if count > MAX_CONDITION {
                self.dag_mistake(Mistake::ConditionTooLarge(count));
            }
        }
    }

    fn condition(&mut self, condition: &AssetCondition, count: &mut usize) {
        match condition {
            AssetCondition::Of(asset) => {
                *count += 1;
                self.reference(asset);
            }
            AssetCondition::All(parts) | AssetCondition::Any(parts) => {
                if parts.is_empty() {
                    self.dag_mistake(Mistake::EmptyCondition);
                }
                parts.iter().for_each(|part| self.condition(part, count));
            }
        }
    }

    fn reference(&mut self, asset: &AssetRef) {
        let (AssetRef::Name(text) | AssetRef::Uri(text) | AssetRef::Alias(text)) = asset;
        self.asset_text(text);
    }

    fn asset_text(&mut self, text: &str) {
        if let Err(mistake) = asset_name(text) {
            self.dag_mistake(mistake);
        }
    }
}

fn is_object(json: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).is_ok()
}
