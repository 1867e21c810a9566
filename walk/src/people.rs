//! Who takes part.

use crate::Broken;
use crate::person::Person;
use std::ffi::OsString;
use std::path::Path;

/// The four, each with a login of their own.
pub(crate) struct People {
    /// Runs Belay.
    pub(crate) admin: Person,
    /// Asks; she may approve what others ask.
    pub(crate) alice: Person,
    /// Decides; he may ask as well.
    pub(crate) bob: Person,
    /// On call: a rule grants her reads at once.
    pub(crate) carol: Person,
}

impl People {
    /// Homes for all; nobody is logged in yet.
    pub(crate) fn new(belay: &Path, folder: &Path, path: &OsString) -> People {
        let person = |name| Person { name, home: folder.join(name), belay: belay.to_owned(), path: path.clone() };
        People { admin: person("admin"), alice: person("alice"), bob: person("bob"), carol: person("carol") }
    }

    /// The administrator adds the others; each logs in with the token that was handed over.
    pub(crate) async fn join(&self, folder: &Path, data_dir: &Path) -> Result<(), Broken> {
        let url = std::fs::read_to_string(data_dir.join("api.url")).map_err(|error| format!("api.url: {error}"))?;
        let ca = data_dir.join("ca.pem").display().to_string();
        for (person, roles) in
            [(&self.alice, "requester,approver"), (&self.bob, "requester,approver"), (&self.carol, "requester")]
        {
            let token = folder.join(format!("{}.token", person.name)).display().to_string();
            let mut words = vec!["user", "add", person.name, "--token-file", &token];
            words.extend(roles.split(',').flat_map(|role| ["--role", role]));
            if person.name == "carol" {
                words.extend(["--group", "on-call"]);
            }
            self.admin.must(&words).await?;
            person.must(&["login", url.trim(), "--ca", &ca, "--token-file", &token]).await?;
        }
        Ok(())
    }
}
