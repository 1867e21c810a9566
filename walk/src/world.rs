//! The servers and the people of one walk.

use crate::checks::Checks;
use crate::direct::Direct;
use crate::gateway::Gateway;
use crate::people::People;
use crate::{Broken, step};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::Postgres;

/// Everything that runs. The fields are dropped in this order: the gateway goes first.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) direct: Direct,
    pub(crate) postgres: Postgres,
    pub(crate) people: People,
    pub(crate) folder: TempDir,
}

impl World {
    /// PostgreSQL with the sample shop, and a gateway without anything in it.
    pub(crate) async fn start(checks: &mut Checks) -> Result<World, Broken> {
        let postgres = Postgres::start();
        testkit::sample(&postgres).await;
        let world = World::around(postgres).await?;
        step::server::servers_run(&world, checks).await?;
        Ok(world)
    }

    /// A gateway beside a PostgreSQL that has a database `orders`.
    pub(crate) async fn around(postgres: Postgres) -> Result<World, Broken> {
        let folder = tempfile::Builder::new().prefix("belay-demo-").tempdir();
        let folder = folder.map_err(|error| format!("temporary folder: {error}"))?;
        let belay = beside_this_program("belay")?;
        let direct = Direct::connect(&postgres).await;
        let people = People::new(&belay, folder.path(), &path_with(postgres.bin()));
        let gateway = Gateway::start(&belay, folder.path())?;
        people.admin.must(&["login", "--local", &gateway.data_dir().display().to_string()]).await?;
        Ok(World { gateway, direct, postgres, people, folder })
    }

    /// The address of the database for `belay target add`, with its certificate verified.
    pub(crate) fn target_url(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/orders?sslmode=verify-full", self.postgres.port())
    }

    /// Writes a private file into the walk's folder and names it.
    pub(crate) fn secret_file(&self, name: &str, text: &str) -> Result<String, Broken> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.path().join(name);
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| format!("{name}: {error}"))?;
        Ok(path.display().to_string())
    }
}

fn beside_this_program(name: &str) -> Result<PathBuf, Broken> {
    let here = env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let found = here.with_file_name(name);
    if found.is_file() { Ok(found) } else { Err(format!("`{}` is missing: cargo build -p belay-cli", found.display())) }
}

fn path_with(bin: &Path) -> OsString {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin.to_owned()).chain(env::split_paths(&rest));
    env::join_paths(folders).unwrap_or(rest)
}
