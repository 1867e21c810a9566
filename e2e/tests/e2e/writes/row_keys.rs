//! The ledger's files alone tell which rows a change was of.

use super::{plans, shop, text, typed};
use e2e::World;
use serde_json::{Value, json};
use testkit::LedgerFiles;

fn recorded(world: &World, kind: &str) -> Vec<Value> {
    let mut records = LedgerFiles::of(world.belay.data_dir().join("ledger")).more();
    records.retain(|record| record["kind"] == kind);
    records
}

#[test]
fn the_ledger_names_the_rows_of_a_change_by_their_keys() {
    let (world, ticket) = shop("direct", &["public.*"]);
    typed(&world, &ticket, "UPDATE orders SET status = 'x' WHERE id IN (41, 57)").ok();
    typed(&world, &ticket, "UPDATE items SET price = 1 WHERE id = 3; DELETE FROM orders WHERE id = 7").ok();
    let kept = recorded(&world, "change_kept");
    assert_eq!(kept[0]["tables"][0]["keys"], json!(["41", "57"]), "{}", kept[0]);
    assert_eq!(kept[0]["tables"][0]["more_keys"], Value::Null);
    let told = |table: &str| kept[1]["tables"].as_array().unwrap().iter().find(|told| told["table"] == table).unwrap();
    assert_eq!(told("public.orders")["keys"], json!(["7"]));
    let items: Vec<&str> = told("public.items")["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(items.contains(&"3") && items.len() == 4, "the cascade's rows, too: {items:?}");
    assert!(recorded(&world, "change_rows").is_empty());
}

#[test]
fn five_thousand_rows_are_all_named() {
    let (world, ticket) = shop("direct", &["public.*"]);
    typed(&world, &ticket, "UPDATE items SET price = price + 1").ok();
    let kept = recorded(&world, "change_kept");
    let mut keys = kept[0]["tables"][0]["keys"].as_array().unwrap().clone();
    assert_eq!((keys.len(), &kept[0]["tables"][0]["more_keys"]), (1_000, &Value::Null));
    let more = recorded(&world, "change_rows");
    for record in &more {
        assert_eq!((&record["change"], &record["table"]), (&kept[0]["change"], &json!("public.items")));
        keys.extend(record["keys"].as_array().unwrap().iter().cloned());
    }
    let mut numbers: Vec<u32> = keys.iter().map(|key| key.as_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!((more.len(), numbers), (4, (1..=5_000).collect()));
}

#[test]
fn a_key_that_a_mask_covers_is_counted_and_not_told() {
    let (world, ticket) = shop("direct", &["public.*"]);
    world.belay.run("admin", &["mask", "add", "orders", "public.items.id", "--kind", "null"]).ok();
    typed(&world, &ticket, "UPDATE items SET price = 1 WHERE order_id = 8").ok();
    let kept = recorded(&world, "change_kept");
    let table = &kept[0]["tables"][0];
    assert_eq!((&table["keys"], &table["more_keys"]), (&Value::Null, &table["updated"]), "{table}");
}

#[test]
fn a_plan_names_its_rows_but_for_those_whose_keys_come_from_a_sequence() {
    let (world, ticket) = shop("write", &["public.*"]);
    let sql = "UPDATE orders SET status = 'x' WHERE id = 41; INSERT INTO orders (customer_id) VALUES (1)";
    typed(&world, &ticket, &format!("BEGIN; {sql}; COMMIT"));
    let plan = plans(&world).remove(0);
    let made = recorded(&world, "plan_made");
    assert_eq!((&made[0]["plan"], &made[0]["tables"][0]["keys"]), (&json!(text(&plan, "id")), &json!(["41"])));
    assert_eq!(made[0]["tables"][0]["more_keys"], 1);
}
