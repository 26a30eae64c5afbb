//! `airlock db`: the database, opened directly.

use std::sync::Arc;

use airlock_store::{BlobFiles, HomeLock, Schema, Store};
use clap::Subcommand;
use serde_json::json;

use super::Common;
use crate::{
    config::Config,
    error::CliError,
    house::CONTENT,
    output::{Format, print_json, print_line},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring the database to the form of this version; `standalone` does it by itself
    Migrate,
    /// Tell whether the database can be reached and has the form of this version
    Check,
}

/// Opens the database of a configuration, which has to be there.
pub(super) async fn open(config: &Config) -> Result<Store, CliError> {
    Store::refuse_missing(config.database_url().reveal()).map_err(CliError::room)?;
    open_or_create(config).await
}

async fn open_or_create(config: &Config) -> Result<Store, CliError> {
    std::fs::create_dir_all(&config.home)
        .map_err(|error| CliError::file("the home folder", &config.home, &error))?;
    let blobs = BlobFiles::open(config.home.join(CONTENT)).map_err(CliError::room)?;
    Store::open(config.database_url().reveal(), Arc::new(blobs))
        .await
        .map_err(CliError::room)
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    let config = common.config()?;
    let url = config.database_url().shown();
    let (store, schema) = match command {
        Command::Migrate => {
            let store = open_or_create(&config).await?;
            // Not below a server that is at work.
            let _lock = HomeLock::acquire(&config.home).map_err(CliError::room)?;
            store.migrate().await.map_err(CliError::room)?;
            let schema = store.schema().await;
            (store, schema)
        }
        Command::Check => {
            let store = open(&config).await?;
            let schema = store.check().await;
            (store, schema)
        }
    };
    let schema = schema.map_err(CliError::room);
    store.close().await;
    tell(common.output, &url, schema?)
}

fn tell(format: Format, url: &str, schema: Schema) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(&json!({
            "url": url,
            "schema_version": schema.applied,
            "known_version": schema.known,
        })),
        Format::Table => print_line(&format!(
            "{url} is well; its schema is version {} of {}",
            schema.applied, schema.known
        )),
    }
}
