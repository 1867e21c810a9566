//! The ledger says under which configuration the server ran, and no secret of it.

use e2e::World;
use serde_json::Value;

fn recorded(world: &World) -> Vec<Value> {
    let found = world.belay.json("admin", &["audit", "search", "kind:configuration_changed"]);
    found["items"].as_array().unwrap().clone()
}

#[test]
fn another_configuration_is_on_the_record_and_the_same_again_is_not() {
    let world = World::start();
    let first = recorded(&world);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].to_string().contains("listen.postgres"), "{}", first[0]);
    world.belay.stop();
    world.belay.restart();
    assert_eq!(recorded(&world).len(), 1);
    world.belay.stop();
    let text = std::fs::read_to_string(world.belay.config_file()).unwrap();
    std::fs::write(world.belay.config_file(), text + "[limits]\nconnections = 123\n").unwrap();
    world.belay.restart();
    let now = recorded(&world);
    assert_eq!(now.len(), 2, "{now:?}");
    let newest = now.iter().map(Value::to_string).find(|record| record.contains("limits.connections")).unwrap();
    assert!(!newest.contains("123"), "values are not for everybody who reads the ledger: {newest}");
}
