//! That a permit's own team is the one that is asked for.

use std::sync::Mutex;

use airlock_grant::{Access, BundleLabel, Caller, Effective, Grant, Request};
use airlock_model::{
    id::{BundleHash, BundleName, DagId, Scope, TaskId, TeamName},
    mask::Sensitive,
    port::Revealed,
};

use super::*;

/// Answers with what it was asked.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

impl Echo {
    fn note(&self, team: &TeamName, what: &str) -> Revealed<Variable> {
        self.0.lock().unwrap().push(format!("{team}: {what}"));
        Revealed {
            value: Variable {
                key: VariableKey::new(what).unwrap(),
                value: Sensitive::new(what),
                description: None,
            },
            scope: Scope::Team(team.clone()),
        }
    }
}

#[async_trait]
impl Settings for Echo {
    async fn variable(
        &self,
        team: &TeamName,
        key: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        Ok(Some(self.note(team, key.as_str())))
    }
    async fn variables(
        &self,
        team: &TeamName,
        prefix: &str,
    ) -> Result<Vec<Revealed<Variable>>, StoreError> {
        // It gives more than it was asked for, as a database that ignores case would.
        let found = self.note(team, &format!("{prefix}x"));
        let mut other = found.clone();
        other.value.key = VariableKey::new(prefix.to_uppercase() + "x").unwrap();
        Ok(vec![found, other])
    }
    async fn connection(
        &self,
        team: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        self.note(team, id.as_str());
        Ok(None)
    }
    async fn lent_variable(
        &self,
        lender: &TeamName,
        key: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        self.note(lender, &format!("lent:{key}"));
        Ok(Some(self.note(lender, key.as_str())))
    }
    async fn lent_connection(
        &self,
        lender: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        self.note(lender, &format!("lent:{id}"));
        Ok(None)
    }
}

#[tokio::test]
async fn each_look_up_is_for_the_permits_team_and_item() {
    let bundle = BundleLabel {
        name: BundleName::new("ledger").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes([0; 32]),
    };
    let request = Request::from_bundle_toml(
        "[[request.variable]]\nkey = \"a.*\"\nphases = [\"parse\", \"task\"]
         [[request.variable]]\nkey = \"b\"\nphases = [\"parse\"]
         [[request.connection]]\nid = \"bank\"\naccess = \"read\"",
    )
    .unwrap();
    let mut grant = Grant::default();
    for one in &request.variable {
        grant.variable.push(airlock_grant::VariableGrant {
            key: one.key.clone(),
            from: None,
            phases: None,
            dags: None,
            tasks: None,
        });
    }
    grant.connection.push(airlock_grant::ConnectionGrant {
        id: ConnectionId::new("bank").unwrap(),
        access: Access::Read,
        from: None,
        phases: None,
        dags: None,
        tasks: None,
    });
    let effective = Effective::new(TeamName::new("payments").unwrap(), bundle, &request, &grant);
    let echo = Arc::new(Echo::default());
    let variables = Variables::new(echo.clone());
    let connections = Connections::new(echo.clone());
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());

    let permit = effective.variable(&caller, "a.x").unwrap();
    let found = variables.get(permit).await.unwrap().unwrap();
    assert_eq!(found.value.reveal(), "a.x");
    let permit = effective.read_connection(&caller, "bank").unwrap();
    assert_eq!(connections.get(permit).await.unwrap(), None);
    for permit in effective.parse_variables() {
        assert_eq!(variables.matching(permit).await.unwrap().len(), 1);
    }
    let mut asked = echo.0.lock().unwrap().clone();
    asked.sort();
    assert_eq!(
        asked,
        [
            "payments: a.x",
            "payments: a.x",
            "payments: b",
            "payments: bank"
        ]
    );
}

#[tokio::test]
async fn what_another_team_lends_is_looked_up_with_that_team_alone() {
    let bundle = BundleLabel {
        name: BundleName::new("ledger").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes([0; 32]),
    };
    let request = Request::from_bundle_toml(
        "[[request.variable]]\nkey = \"a\"\nphases = [\"parse\", \"task\"]\n[[request.connection]]\nid = \"bank\"\naccess = \"read\"",
    )
    .unwrap();
    let lender = Some(TeamName::new("treasury").unwrap());
    let mut grant = Grant::default();
    grant.variable.push(airlock_grant::VariableGrant {
        key: airlock_grant::VariablePattern::new("a").unwrap(),
        from: lender.clone(),
        phases: None,
        dags: None,
        tasks: None,
    });
    grant.connection.push(airlock_grant::ConnectionGrant {
        id: ConnectionId::new("bank").unwrap(),
        access: Access::Read,
        from: lender,
        phases: None,
        dags: None,
        tasks: None,
    });
    let effective = Effective::new(TeamName::new("payments").unwrap(), bundle, &request, &grant);
    let echo = Arc::new(Echo::default());
    let variables = Variables::new(echo.clone());
    let connections = Connections::new(echo.clone());
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());
    let permit = effective.variable(&caller, "a").unwrap();
    assert!(variables.get(permit).await.unwrap().is_some());
    let permit = effective.read_connection(&caller, "bank").unwrap();
    assert_eq!(connections.get(permit).await.unwrap(), None);
    for permit in effective.parse_variables() {
        assert_eq!(variables.matching(permit).await.unwrap().len(), 1);
    }
    let asked = echo.0.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            "treasury: lent:a",
            "treasury: a",
            "treasury: lent:bank",
            "treasury: lent:a",
            "treasury: a"
        ]
    );
}
