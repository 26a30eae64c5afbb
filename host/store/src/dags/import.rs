//! What a bundle contributes, written in one transaction: DAGs, their definitions and tags, the assets that
//! they declare and use, and what is wrong with the rest.

use std::collections::{BTreeSet, HashMap};

use airlock_model::{
    dag::{AssetCondition, AssetRef, DagSpec},
    id::{BundleName, DefinitionHash, TeamName},
    port::{AssetRole, ImportError, StoreError, StoredDag},
};

use crate::{
    Store,
    column::{plain, reference_text, role_text},
    database::write,
};

/// Task (empty: the DAG itself), role, kind of the reference, and the reference.
type Use = (String, &'static str, &'static str, String);

/// What a DAG has to do with assets, each use once.
fn uses(spec: &DagSpec) -> BTreeSet<Use> {
    fn named(task: &str, role: AssetRole, asset: &AssetRef) -> Use {
        let (kind, text) = reference_text(asset);
        let text = plain(text).into_owned();
        (plain(task).into_owned(), role_text(role), kind, text)
    }
    fn leaves(condition: &AssetCondition, found: &mut BTreeSet<Use>) {
        match condition {
            AssetCondition::Of(asset) => {
                found.insert(named("", AssetRole::Schedule, asset));
            }
            AssetCondition::All(parts) | AssetCondition::Any(parts) => {
                parts.iter().for_each(|part| leaves(part, found));
            }
        }
    }
    let mut found = BTreeSet::new();
    for asset in &spec.assets {
        let asset = AssetRef::Name(asset.name.clone());
        found.insert(named("", AssetRole::Declared, &asset));
    }
    if let Some(condition) = &spec.asset_condition {
        leaves(condition, &mut found);
    }
    for task in &spec.tasks {
        let inlets = task.inlets.iter().map(|asset| (AssetRole::Inlet, asset));
        let outlets = task.outlets.iter().map(|asset| (AssetRole::Outlet, asset));
        found.extend(
            inlets
                .chain(outlets)
                .map(|(role, asset)| named(&task.task_id, role, asset)),
        );
    }
    found
}

impl Store {
    pub(super) async fn import(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        dags: &[StoredDag],
        errors: &[ImportError],
    ) -> Result<(), StoreError> {
        let specs = dags
            .iter()
            .map(|dag| dag.spec.text())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| StoreError::Statement(e.into()))?;
        write!(self, db => {
            sqlx::query("UPDATE dag SET is_stale = TRUE WHERE bundle = $1 AND NOT is_stale")
                .bind(bundle.as_str())
                .execute(&mut *db)
                .await?;
            let known: Vec<(String, String, String, String, String, i64)> = sqlx::query_as(
                "SELECT dag_id, task_id, role, kind, reference, since FROM asset_use
                 WHERE dag_id IN (SELECT dag_id FROM dag WHERE bundle = $1)",
            )
            .bind(bundle.as_str())
            .fetch_all(&mut *db)
            .await?;
            let known: HashMap<_, i64> = known
                .into_iter()
                .map(|(dag, task, role, kind, text, since)| ((dag, task, role, kind, text), since))
                .collect();
            sqlx::query("DELETE FROM asset_use WHERE dag_id IN (SELECT dag_id FROM dag WHERE bundle = $1)")
                .bind(bundle.as_str())
                .execute(&mut *db)
                .await?;
            for (dag, spec) in dags.iter().zip(&specs) {
                let definition = DefinitionHash::of(spec);
                let taken = sqlx::query(
                    "INSERT INTO dag (dag_id, team, bundle, hash, is_paused, is_stale, last_parsed, definition)
                     VALUES ($1, $2, $3, $4, $5, FALSE, $6, $7)
                     ON CONFLICT (dag_id) DO UPDATE SET team = excluded.team, hash = excluded.hash,
                         is_stale = FALSE, last_parsed = excluded.last_parsed,
                         definition = excluded.definition
                     WHERE dag.bundle = excluded.bundle",
                )
                .bind(dag.dag_id.as_str())
                .bind(team.as_str())
                .bind(bundle.as_str())
                .bind(dag.hash.as_bytes().as_slice())
                .bind(dag.is_paused)
                .bind(dag.last_parsed.micros())
                .bind(definition.as_bytes().as_slice())
                .execute(&mut *db)
                .await?;
                if taken.rows_affected() != 1 {
                    return Err(StoreError::Refused(format!(
                        "the dag_id `{}` belongs to another bundle; give this DAG another id",
                        dag.dag_id
                    ))
                    .into());
                }
                let new = sqlx::query(
                    "INSERT INTO dag_definition (definition, spec) VALUES ($1, $2)
                     ON CONFLICT (definition) DO NOTHING",
                )
                .bind(definition.as_bytes().as_slice())
                .bind(spec.as_str())
                .execute(&mut *db)
                .await?;
                for task in dag.spec.tasks.iter().filter(|_| new.rows_affected() > 0) {
                    sqlx::query(
                        "INSERT INTO definition_task (definition, task_id) VALUES ($1, $2)
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(definition.as_bytes().as_slice())
                    .bind(plain(&task.task_id))
                    .execute(&mut *db)
                    .await?;
                }
                sqlx::query("DELETE FROM dag_tag WHERE dag_id = $1")
                    .bind(dag.dag_id.as_str())
                    .execute(&mut *db)
                    .await?;
                for tag in &dag.spec.tags {
                    sqlx::query("INSERT INTO dag_tag (dag_id, tag) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                        .bind(dag.dag_id.as_str())
                        .bind(plain(tag))
                        .execute(&mut *db)
                        .await?;
                }
                for asset in &dag.spec.assets {
                    sqlx::query(
                        "INSERT INTO asset (team, name, uri, asset_group, extra) VALUES ($1, $2, $3, $4, $5)
                         ON CONFLICT (team, name) DO UPDATE SET uri = excluded.uri,
                             asset_group = excluded.asset_group, extra = excluded.extra",
                    )
                    .bind(team.as_str())
                    .bind(plain(&asset.name))
                    .bind(asset.uri.as_deref().map(plain))
                    .bind(asset.group.as_deref().map(plain))
                    .bind(asset.extra.as_deref().map(plain))
                    .execute(&mut *db)
                    .await?;
                }
                for (task, role, kind, text) in uses(&dag.spec) {
                    let of = dag.dag_id.as_str().to_owned();
                    let place = (of, task, role.to_owned(), kind.to_owned(), text);
                    let since = known.get(&place).copied();
                    sqlx::query(
                        "INSERT INTO asset_use (dag_id, task_id, role, kind, reference, team, since)
                         VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    )
                    .bind(place.0)
                    .bind(place.1)
                    .bind(place.2)
                    .bind(place.3)
                    .bind(place.4)
                    .bind(team.as_str())
                    .bind(since.unwrap_or(dag.last_parsed.micros()))
                    .execute(&mut *db)
                    .await?;
                }
            }
            sqlx::query("DELETE FROM import_error WHERE bundle = $1")
                .bind(bundle.as_str())
                .execute(&mut *db)
                .await?;
            for (position, error) in (0_i32..).zip(errors) {
                sqlx::query(
                    "INSERT INTO import_error (bundle, position, team, hash, dag_id, code, message, at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .bind(bundle.as_str())
                .bind(position)
                .bind(team.as_str())
                .bind(error.hash.map(|hash| hash.as_bytes().to_vec()))
                .bind(error.dag_id.as_deref().map(plain))
                .bind(plain(&error.code))
                .bind(plain(&error.message))
                .bind(error.at.micros())
                .execute(&mut *db)
                .await?;
            }
            Ok(())
        })
    }
}
