//! The servers, the people and the target.

use crate::Broken;
use crate::checks::Checks;
use crate::world::World;

/// The control user that the printed SQL makes.
const CONTROL: &str = "belay";
const CONTROL_PASSWORD: &str = "only-for-this-walk";

/// Both servers answer.
pub(crate) async fn servers_run(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    checks.chapter("Servers");
    let version = world.direct.value("SHOW server_version").await?;
    let orders = world.direct.value("SELECT count(*) FROM public.orders").await?;
    let what = format!("PostgreSQL {} runs, with {orders} orders in a sample shop", first_word(&version));
    checks.expect(orders == "2000", &what, &orders);
    let users = world.people.admin.must(&["user", "ls", "-o", "jsonl"]).await?;
    checks.expect(
        users.out.lines().count() == 1,
        "belay server runs with an empty store, and its administrator is logged in",
        &users.all(),
    );
    Ok(())
}

/// The target is added, found wanting, put right with the SQL that Belay prints, and added with the small user.
pub(super) async fn target_is_added(world: &World, checks: &mut Checks) -> Result<(), Broken> {
    let admin = &world.people.admin;
    let missing = add_guarded_target(world).await?;
    checks.expect(
        missing.first.len() > 1,
        &format!("target check as a superuser names {} missing layers, and the SQL for them", missing.first.len()),
        &missing.first.join(", "),
    );
    checks.expect(
        missing.second.is_empty(),
        "after that SQL, as the small user it makes, no layer is missing",
        &missing.second.join(", "),
    );
    let rules: [&[&str]; 2] = [
        &["rule", "add", "--target", "orders", "--group", "on-call", "--approvals", "0", "--max", "1h"],
        &["rule", "add", "--target", "orders", "--approvals", "1", "--max", "2h", "--extendable"],
    ];
    for rule in rules {
        admin.must(rule).await?;
    }
    world.people.join(world.folder.path(), &world.gateway.data_dir()).await?;
    let users = admin.must(&["user", "ls", "-o", "jsonl"]).await?;
    checks.expect(
        users.out.lines().count() == 4,
        "alice, bob and carol have logins; reads are at once for carol, who is on call, and need one approval else",
        &users.all(),
    );
    Ok(())
}

/// The layers that were missing as a superuser, and as the user that the printed SQL makes.
pub(crate) struct Missing {
    first: Vec<String>,
    second: Vec<String>,
}

/// Adds the target as `docs/target-setup.md` says, with every layer active that one server can have.
pub(crate) async fn add_guarded_target(world: &World) -> Result<Missing, Broken> {
    let admin = &world.people.admin;
    let ca = world.postgres.ca_file().display().to_string();
    let secret = world.secret_file("superuser.password", world.postgres.password())?;
    let url = world.target_url(world.postgres.superuser());
    admin.must(&["target", "add", "orders", &url, "--ca", &ca, "--password-file", &secret, "--no-check"]).await?;
    let report = admin.belay(&["target", "check", "orders", "-o", "json"]).await?.json()?;
    for layer in layers(&report) {
        let lines: Vec<&str> = layer["sql"].as_array().into_iter().flatten().filter_map(|line| line.as_str()).collect();
        world.direct.execute(&lines.join("\n")).await?;
    }
    world.direct.execute(&format!("ALTER ROLE {CONTROL} PASSWORD '{CONTROL_PASSWORD}'")).await?;
    admin.must(&["target", "rm", "orders", "-y"]).await?;
    let secret = world.secret_file("control.password", CONTROL_PASSWORD)?;
    let url = world.target_url(CONTROL);
    admin.must(&["target", "add", "orders", &url, "--ca", &ca, "--password-file", &secret, "--no-check"]).await?;
    let second = admin.belay(&["target", "check", "orders", "-o", "json"]).await?.json()?;
    Ok(Missing { first: missing(&report), second: missing(&second) })
}

fn layers(report: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    report["layers"].as_array().into_iter().flatten()
}

fn missing(report: &serde_json::Value) -> Vec<String> {
    let missing = layers(report).filter(|layer| layer["state"] == "missing");
    missing.map(|layer| layer["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
