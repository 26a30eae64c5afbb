//! Keeping and fetching, over a store in memory.

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;

use super::*;
use crate::{
    inspect::{DEFAULT_MAX_BYTES, hash},
    manifest::embed,
};

#[derive(Default)]
struct Memory(Mutex<HashMap<BundleHash, Vec<u8>>>);

#[async_trait]
impl Blobs for Memory {
    async fn put(&self, bytes: &[u8]) -> Result<BundleHash, StoreError> {
        let hash = hash(bytes);
        self.0.lock().unwrap().insert(hash, bytes.to_vec());
        Ok(hash)
    }
    async fn get(&self, hash: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(hash).cloned())
    }
    async fn put_signature(&self, _: &BundleHash, _: &[u8]) -> Result<(), StoreError> {
        unreachable!("no bundle here has one")
    }
    async fn signature(&self, _: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
}

/// The smallest bundle: an instance export of the right name, with nothing in it.
fn smallest() -> Arc<[u8]> {
    use wasm_encoder::{
        Component, ComponentExportKind, ComponentExportSection, ComponentInstanceSection,
    };
    let mut component = Component::new();
    let mut instances = ComponentInstanceSection::new();
    instances.export_items(std::iter::empty::<(&str, ComponentExportKind, u32)>());
    component.section(&instances);
    let mut exports = ComponentExportSection::new();
    let name = "airlock:bundle/dags@0.1.0";
    exports.export(name, ComponentExportKind::Instance, 0, None);
    component.section(&exports);
    let manifest = "[bundle]\nname = \"a\"\nversion = \"1.0.0\"\n";
    embed(&component.finish(), manifest).unwrap().into()
}

#[tokio::test]
async fn a_bundle_is_kept_under_its_hash_and_comes_back_with_its_inspection() {
    let content = Content::new(Arc::new(Memory::default()), DEFAULT_MAX_BYTES);
    let bundle = smallest();
    let kept = content
        .keep(Arc::clone(&bundle), Depth::Whole)
        .await
        .unwrap();
    assert_eq!(kept.hash, hash(&bundle));
    let (bytes, inspection) = content.fetch(&kept.hash, Depth::Structure).await.unwrap();
    assert_eq!((bytes, inspection), (bundle, kept));
}

#[tokio::test]
async fn what_is_no_bundle_is_not_kept() {
    let memory = Arc::new(Memory::default());
    let content = Content::new(Arc::clone(&memory) as Arc<dyn Blobs>, DEFAULT_MAX_BYTES);
    let error = content
        .keep(b"text"[..].into(), Depth::Structure)
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("AL-0202"));
    assert!(memory.0.lock().unwrap().is_empty());
    let error = content
        .fetch(&hash(b"text"), Depth::Whole)
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("AL-0212"), "{error}");
}
