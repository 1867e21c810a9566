//! `belay logout`: revokes the token and forgets it.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::output::Out;
use reqwest::Method;

pub(crate) async fn run(out: &Out) -> Result<(), Failure> {
    let home = Home::find()?;
    let client = Client::of(&home)?;
    let revoked = client.order(Method::POST, &["logout"], &()).await;
    home.forget()?;
    match revoked {
        Ok(()) => out.say("logged out; the token is revoked"),
        Err(failure) if failure.exit == Exit::NotLoggedIn => out.say("logged out; the token had ended already"),
        Err(failure) => {
            let hint = "the login is forgotten here, but its token may still work: an administrator can revoke it";
            return Err(failure.hint(hint));
        }
    }
    out.next("belay login");
    Ok(())
}
