//! What a source tells, on a real folder. Time-outs only end a test that would hang.

use std::{fs, path::Path, time::Duration};

use super::{Source, SourceError, SourceEvent, SourceOptions};
use crate::inspect::hash;

fn options() -> SourceOptions {
    SourceOptions {
        max_bytes: 1024,
        settle: Duration::from_millis(5),
        period: Duration::from_millis(100),
    }
}

async fn next(source: &mut Source) -> SourceEvent {
    tokio::time::timeout(Duration::from_secs(30), source.next())
        .await
        .expect("the source tells something")
        .expect("the source lives")
}

async fn found(source: &mut Source) -> (String, Vec<u8>) {
    match next(source).await {
        SourceEvent::Found {
            path,
            bytes,
            hash: told,
            ..
        } => {
            assert_eq!(hash(&bytes), told);
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                bytes,
            )
        }
        other => panic!("{other:?}"),
    }
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).unwrap();
}

#[tokio::test]
async fn a_folder_tells_what_is_there_and_then_each_change_once() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "b.wasm", b"two");
    put(folder.path(), "a.wasm", b"one");
    put(folder.path(), "notes.txt", b"not a bundle");
    put(folder.path(), ".a.wasm.part", b"hidden");
    put(folder.path(), ".hidden.wasm", b"hidden");
    fs::create_dir(folder.path().join("folder.wasm")).unwrap();
    let mut source = Source::folder(folder.path(), options());
    let mut first = [found(&mut source).await, found(&mut source).await];
    first.sort();
    assert_eq!(first[0], ("a.wasm".into(), b"one".to_vec()));
    assert_eq!(first[1], ("b.wasm".into(), b"two".to_vec()));

    // The same content again is no change: the next event is that of the file that did change.
    put(folder.path(), "a.wasm", b"one");
    put(folder.path(), "b.wasm", b"three");
    assert_eq!(
        found(&mut source).await,
        ("b.wasm".into(), b"three".to_vec())
    );

    put(folder.path(), ".c.wasm", b"four");
    fs::rename(folder.path().join(".c.wasm"), folder.path().join("c.wasm")).unwrap();
    assert_eq!(
        found(&mut source).await,
        ("c.wasm".into(), b"four".to_vec())
    );

    fs::remove_file(folder.path().join("a.wasm")).unwrap();
    match next(&mut source).await {
        SourceEvent::Gone { path } => assert_eq!(path, folder.path().join("a.wasm")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_source_says_that_its_file_is_missing_and_finds_it_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.wasm");
    put(folder.path(), "other.wasm", b"not asked for");
    let mut source = Source::file(&path, options());
    match next(&mut source).await {
        SourceEvent::Failed(error @ SourceError::Missing { .. }) => {
            assert!(error.to_string().starts_with("AL-0223"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    put(folder.path(), "ledger.wasm", b"here");
    assert_eq!(
        found(&mut source).await,
        ("ledger.wasm".into(), b"here".to_vec())
    );
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_unread_and_read_when_it_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "big.wasm", &[0; 1025]);
    let mut source = Source::folder(folder.path(), options());
    match next(&mut source).await {
        SourceEvent::Failed(SourceError::TooLarge {
            bytes: 1025,
            limit: 1024,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    put(folder.path(), "big.wasm", &[0; 1024]);
    assert_eq!(found(&mut source).await.1.len(), 1024);
}

#[tokio::test]
async fn a_folder_that_vanishes_is_an_error_and_not_the_end_of_its_bundles() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("bundles");
    fs::create_dir(&folder).unwrap();
    put(&folder, "a.wasm", b"one");
    let mut source = Source::folder(&folder, options());
    found(&mut source).await;
    fs::rename(&folder, parent.path().join("moved")).unwrap();
    match next(&mut source).await {
        SourceEvent::Failed(error @ SourceError::Folder { .. }) => {
            assert!(error.to_string().starts_with("AL-0220"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // Another folder in its place is watched as the first was.
    fs::create_dir(&folder).unwrap();
    put(&folder, "a.wasm", b"two");
    assert_eq!(found(&mut source).await, ("a.wasm".into(), b"two".to_vec()));
}

#[tokio::test]
async fn a_bundle_that_is_being_written_is_found_whole_in_the_end() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let mut source = Source::folder(folder.path(), options());
    let path = folder.path().join("slow.wasm");
    let writer = std::thread::spawn(move || {
        let mut file = fs::File::create(path).unwrap();
        for part in 0..50_u8 {
            file.write_all(&[part; 20]).unwrap();
            std::thread::yield_now();
        }
    });
    writer.join().unwrap();
    let mut last = found(&mut source).await.1;
    while last.len() < 1000 {
        last = found(&mut source).await.1;
    }
    assert_eq!(last.len(), 1000);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_looked_at_is_told_once_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("loop.wasm", folder.path().join("loop.wasm")).unwrap();
    put(folder.path(), "z.wasm", b"one");
    let mut source = Source::folder(folder.path(), options());
    match next(&mut source).await {
        SourceEvent::Failed(error @ SourceError::File { .. }) => {
            assert!(error.to_string().starts_with("AL-0222"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(found(&mut source).await.0, "z.wasm");
    put(folder.path(), "z.wasm", b"two");
    assert_eq!(found(&mut source).await.1, b"two");
}

/// The signature that comes with the next file.
async fn signed(source: &mut Source) -> Option<Vec<u8>> {
    match next(source).await {
        SourceEvent::Found {
            bytes, signature, ..
        } => {
            assert_eq!(bytes, b"component");
            signature
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signature_that_comes_changes_or_goes_is_a_change_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.wasm", b"component");
    let file = folder.path().join("a.wasm");
    for alone in [false, true] {
        let mut source = match alone {
            false => Source::folder(folder.path(), options()),
            true => Source::file(&file, options()),
        };
        assert_eq!(signed(&mut source).await, None);
        put(folder.path(), "a.wasm.minisig", b"first");
        assert_eq!(signed(&mut source).await.unwrap(), b"first");
        put(folder.path(), "a.wasm.minisig", b"second");
        assert_eq!(signed(&mut source).await.unwrap(), b"second");
        fs::remove_file(folder.path().join("a.wasm.minisig")).unwrap();
        assert_eq!(signed(&mut source).await, None);
    }
}

#[tokio::test]
async fn of_a_huge_signature_no_more_is_read_than_shows_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.wasm.minisig", &vec![b'x'; 64 << 20]);
    put(folder.path(), "a.wasm", b"component");
    let mut source = Source::folder(folder.path(), options());
    let read = signed(&mut source).await.unwrap();
    assert_eq!(read.len(), crate::MAX_SIGNATURE_BYTES + 1);
}
