//! Giving a DAG to another bundle.

use airlock_model::{
    id::{BundleName, DagId},
    port::ControlError,
};
use async_trait::async_trait;
use serde_json::json;

use super::{world::*, *};
use crate::Ownership;

#[async_trait]
impl Ownership for World {
    async fn transfer(&self, dag_id: &DagId, bundle: &BundleName) -> Result<(), ControlError> {
        let mut dags = self.dags.lock().unwrap();
        let owner = dags.iter().find(|dag| dag.bundle == *bundle);
        let Some(owner) = owner.map(|dag| dag.team.clone()) else {
            return Err(ControlError::Refused(format!("no bundle `{bundle}`")));
        };
        match dags.iter_mut().find(|dag| dag.dag_id == *dag_id) {
            None => Err(ControlError::NoSuchDag(dag_id.clone())),
            Some(dag) => {
                (dag.bundle, dag.team, dag.is_stale) = (bundle.clone(), owner, true);
                Ok(())
            }
        }
    }
}

const PATH: &str = "/api/v2/dags/weather/transfer";

#[tokio::test]
async fn a_dag_is_given_to_another_bundle_and_its_team() {
    let api = Api::start().await;
    let body = json!({"bundle_name": "ledger"});
    let (status, dag) = api.call(Method::POST, PATH, Some(body)).await;
    assert_eq!(status, 200, "{dag}");
    assert_eq!(
        (&dag["bundle_name"], &dag["team_name"], &dag["is_stale"]),
        (&json!("ledger"), &json!("payments"), &json!(true))
    );
}

#[tokio::test]
async fn a_dag_is_not_given_on_behalf_of_a_team() {
    let api = Api::start().await;
    let body = json!({"bundle_name": "ledger"});
    let path = format!("{PATH}?team=default");
    let (status, answer) = api.call(Method::POST, &path, Some(body)).await;
    assert!((400..500).contains(&u16::from(status)), "{status} {answer}");
    assert_eq!(api.world.dags.lock().unwrap()[1].bundle.as_str(), "weather");
}

#[tokio::test]
async fn who_gives_what_is_not_there_hears_of_it() {
    let api = Api::start().await;
    for (path, body, code) in [
        (PATH, json!({"bundle_name": "nobody"}), "AL-0706"),
        (
            "/api/v2/dags/nothing/transfer",
            json!({"bundle_name": "ledger"}),
            "AL-0701",
        ),
    ] {
        let (status, answer) = api.call(Method::POST, path, Some(body)).await;
        assert!((400..500).contains(&u16::from(status)), "{status}");
        assert_eq!(answer["code"], code, "{answer}");
    }
}
