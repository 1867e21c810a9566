//! The script that installs the S3 server of tests.

#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests as tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

#[test]
fn what_is_missing_of_an_installation_is_seen_whatever_its_stamp_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (cache, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pinned = Command::new("sha256sum").arg(root.join("e2e/moto/requirements.txt")).output().unwrap().stdout;
    std::fs::write(cache.path().join("moto.stamp"), &pinned[..16]).unwrap();
    // It says what it would need to install it, so that nothing is downloaded here.
    let python = programs.path().join("python3");
    std::fs::write(&python, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let mut script = Command::new(root.join("scripts/moto"));
    let output = script.env("PATH", path).env("BELAY_E2E_CACHE", cache.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.starts_with("moto: missing, install with: "), "{told}");
}
