//! Task groups. A group gathers tasks for people and for wiring; a mapped group becomes many as a whole: each
//! of its instances goes through the group by itself, and does not wait for the others.

use airlock_sdk::prelude::*;

/// Reads, checks and stores some files, each by itself, and then reports on all of them.
#[dag]
pub fn mapped_group() {
    let prepared = group("prepare", || {
        let files = find_files(); // the task `prepare.find_files`
        make_room().before(&files);
        files
    });
    let stored = TaskGroup::new("per_file").expand(each(prepared.output), |file| {
        let rows = read(&file);
        let stored = store(file, &rows);
        stored.after(check(rows));
        stored
    });
    report(stored.output);
}

#[task]
fn make_room() {}

#[task]
fn find_files() -> Vec<String> {
    vec!["a.csv".to_owned(), "b.csv".to_owned()]
}

#[task]
fn read(file: String) -> usize {
    file.len()
}

#[task]
fn check(rows: usize) -> Result<()> {
    ensure!(rows > 0, "there are no rows");
    Ok(())
}

#[task]
fn store(file: String, rows: usize) -> usize {
    info!("{file} has {rows} rows");
    rows
}

#[task]
fn report(rows: Vec<usize>) {
    info!("{} files, {} rows", rows.len(), rows.iter().sum::<usize>());
}
