//! What the store refuses to open, and that it changes nothing then.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use belay_model::{Role, Timestamp};
use belay_store::{Store, StoreError, User};
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use tempfile::TempDir;

fn user(name: &str) -> User {
    User {
        name: name.parse().unwrap(),
        roles: vec![Role::Requester],
        groups: vec!["staff".parse().unwrap()],
        disabled: false,
        has_password: false,
        created_at: Timestamp(7),
    }
}

async fn with_one_user() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), "0badcafe").await.unwrap();
    let mut writing = store.write().await.unwrap();
    writing.add_user(&user("alice"), None).await.unwrap();
    writing.commit().await.unwrap();
    store.close().await;
    folder
}

async fn refusal(folder: &Path) -> StoreError {
    let file = folder.join("belay.db");
    let before = std::fs::read(&file).unwrap();
    let refused = Store::open(folder, "0badcafe").await.unwrap_err();
    assert!(std::fs::read(&file).unwrap() == before, "the refused file was changed");
    assert!(!folder.join("belay.db-wal").exists());
    refused
}

#[tokio::test]
async fn what_was_committed_is_there_again_and_the_instance_stays_the_same() {
    let folder = with_one_user().await;
    let store = Store::open(folder.path(), "ffffffff").await.unwrap();
    assert_eq!(store.instance(), "0badcafe");
    let users = store.reader().await.unwrap().look().users().await.unwrap();
    assert_eq!(users, [user("alice")]);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    let folder = with_one_user().await;
    let store = Store::open(folder.path(), "").await.unwrap();
    let mut writing = store.write().await.unwrap();
    writing.add_user(&user("bob"), None).await.unwrap();
    assert_eq!(writing.look().users().await.unwrap().len(), 2);
    drop(writing);
    assert_eq!(store.reader().await.unwrap().look().users().await.unwrap().len(), 1);
    // And the next one can write.
    let mut writing = store.write().await.unwrap();
    writing.add_user(&user("carol"), None).await.unwrap();
    writing.commit().await.unwrap();
    assert_eq!(store.reader().await.unwrap().look().users().await.unwrap().len(), 2);
}

#[tokio::test]
async fn writers_wait_for_each_other_and_lose_nothing() {
    let folder = with_one_user().await;
    let store = std::sync::Arc::new(Store::open(folder.path(), "").await.unwrap());
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                let mut writing = store.write().await.unwrap();
                let count = writing.look().meta("count").await.unwrap().map_or(0, |text| text.parse::<i64>().unwrap());
                writing.set_meta("count", &(count + 1).to_string()).await.unwrap();
                writing.add_user(&user(&format!("u{number}")), None).await.unwrap();
                writing.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.reader().await.unwrap().look().meta("count").await.unwrap().as_deref(), Some("50"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("belay.db"), "this is a letter to somebody\n".repeat(400)).unwrap();
    let refused = refusal(folder.path()).await;
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().ends_with("restore it from a backup, nothing was changed"), "{refused}");
}

#[tokio::test]
async fn a_damaged_page_is_found_before_anything_is_written() {
    let folder = with_one_user().await;
    let file = folder.path().join("belay.db");
    let mut bytes = std::fs::read(&file).unwrap();
    // The page of every table and index but the first, which holds the schema.
    for byte in &mut bytes[3 * 4_096..] {
        *byte = !*byte;
    }
    std::fs::write(&file, bytes).unwrap();
    let refused = refusal(folder.path()).await;
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let folder = with_one_user().await;
    let file = folder.path().join("belay.db");
    let mut later = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(newer).execute(&mut later).await.unwrap();
    later.close().await.unwrap();
    let refused = refusal(folder.path()).await;
    assert!(matches!(refused, StoreError::Newer { found: 9_999, .. }), "{refused}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let refused = Store::open(Path::new("/proc/no-such-folder"), "").await.unwrap_err();
    assert!(refused.to_string().starts_with("`/proc/no-such-folder/belay.lock`: "), "{refused}");
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_dropped() {
    let folder = with_one_user().await;
    let store = Store::open(folder.path(), "").await.unwrap();
    assert!(matches!(Store::open(folder.path(), "").await, Err(StoreError::InUse { .. })));
    drop(store);
    assert!(Store::open(folder.path(), "").await.is_ok());
}
