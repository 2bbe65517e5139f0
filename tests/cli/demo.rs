//! Reform day, as the README's first chapter and the issue that asked for it promise: exact counts, and a second run
//! that changes nothing.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Place, Said, finish, repository};

/// `kenh demo --once --output json …` in the repository, on a place's own directory.
fn demo(place: &Place, more: &[&str]) -> Said {
    let mut command = place.command(["demo", "--once", "--output", "json"].iter().chain(more));
    command.current_dir(repository());
    finish(command, b"")
}

/// What the document says of one view, without its digest.
fn view(document: &Value, recipient: &str, dataset: &str) -> Value {
    let views = document["views"].as_array().unwrap();
    let mut found = views
        .iter()
        .find(|v| v["recipient"] == recipient && v["dataset"] == dataset)
        .expect("there is such a view")
        .clone();
    let digest = found.as_object_mut().unwrap().remove("digest").unwrap();
    assert_eq!(digest.as_str().unwrap().len(), 64);
    found
}

fn digests(document: &Value) -> Vec<(Value, Value)> {
    document["views"].as_array().unwrap().iter().map(|v| (v["rows"].clone(), v["digest"].clone())).collect()
}

#[test]
fn reform_day_has_the_counts_that_are_promised_and_a_second_run_changes_nothing() {
    let place = Place::new();
    let first = demo(&place, &[]).ok().complains("unsigned").json();
    let units = |recipient: &str, rows: u64, inserted: u64, updated: u64, left: u64| {
        let wanted = json!({
            "recipient": recipient, "dataset": "don-vi-hanh-chinh", "rows": rows, "inserted": inserted,
            "updated": updated, "left": left,
        });
        assert_eq!(view(&first, recipient, "don-vi-hanh-chinh"), wanted);
    };
    units("G01", 14_149, 14_149, 10_794, 0);
    units("H29", 169, 465, 0, 296);
    units("G12", 3_355, 14_149, 0, 10_794);
    assert!(first["seconds"].as_f64().unwrap() < 60.0);
    assert_eq!(first["submitted"]["don-vi-hanh-chinh"]["admitted"], 24_943);

    // H29 holds whose province is 79 now, by G01's copy, which holds everybody; whoever left is gone.
    let everybody = people(&place, "G01");
    assert_eq!(everybody.len(), 20_000);
    let now_in_79: Vec<&str> = everybody
        .iter()
        .filter(|p| p["NoiOHienTai"]["MaTinh"] == "79")
        .map(|p| p["SoDinhDanh"].as_str().unwrap())
        .collect();
    let held = people(&place, "H29");
    assert_eq!(held.iter().map(|p| p["SoDinhDanh"].as_str().unwrap()).collect::<Vec<_>>(), now_in_79);
    let h29 = view(&first, "H29", "dan-cu");
    assert_eq!(h29["rows"], now_in_79.len());
    let (inserted, left) = (h29["inserted"].as_u64().unwrap(), h29["left"].as_u64().unwrap());
    assert!(left > 0, "somebody moves away from 79: {h29}");
    assert_eq!(inserted - left, now_in_79.len() as u64);
    // G18's are pseudonyms: as many, and none of them a personal ID.
    let health = people(&place, "G18");
    assert_eq!(health.len(), 20_000);
    assert!(health.iter().all(|p| p.get("SoDinhDanh").is_none() && p.get("HoVaTen").is_none()));

    let second = demo(&place, &[]).ok().json();
    assert_eq!(digests(&second), digests(&first), "the second run moved a view");
    for (dataset, changes) in [("don-vi-hanh-chinh", 24_943), ("dan-cu", 40_200)] {
        let counts = &second["submitted"][dataset];
        assert_eq!((counts["admitted"].as_u64(), counts["rejected"].as_u64()), (Some(0), Some(0)));
        assert_eq!(counts["repeated"].as_u64().unwrap() + counts["stale"].as_u64().unwrap(), changes);
    }

    // Everything that the demo applied is what is declared.
    let mut plan = place.command(["apply", "schemas", "broker-config", "--plan"]);
    plan.current_dir(repository());
    finish(plan, b"").ok().prints("nothing to do");
}

/// An agency's copy of the people, in the order of their keys.
fn people(place: &Place, agency: &str) -> Vec<Value> {
    let exported = place.kenh(["view", "export", agency, "dan-cu"]).ok();
    exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn another_population_needs_reset_which_deletes_only_a_demos_directory() {
    let place = Place::new();
    let few = ["--citizens", "50"];
    let first = demo(&place, &few).ok().json();
    assert_eq!(view(&first, "G01", "dan-cu")["rows"], 50);

    let before = place.files("data/demo.json");
    demo(&place, &["--citizens", "50", "--seed", "7"]).exits(2).complains("--reset");
    demo(&place, &["--citizens", "51"]).exits(2).complains("--reset");
    assert_eq!(place.files("data/demo.json"), before);

    let other = demo(&place, &["--citizens", "50", "--seed", "7", "--reset"]).ok().json();
    assert_eq!(
        other["submitted"]["dan-cu"]["admitted"],
        view(&other, "G01", "dan-cu")["updated"].as_u64().unwrap() + 50
    );
    assert_ne!(digests(&other), digests(&first));

    let foreign = Place::new();
    foreign.write("data/letters.txt", "not the demo's");
    demo(&foreign, &["--reset"]).exits(2).complains("is not deleted");
    assert_eq!(foreign.read("data/letters.txt"), "not the demo's");
    // An empty path is not taken for the working directory.
    assert!(fs::exists(repository().join("Cargo.toml")).unwrap());
}

#[test]
fn the_demo_away_from_the_repository_says_where_to_run_it() {
    let place = Place::new();
    place.kenh(["demo", "--once"]).exits(2).complains("run it in the repository");
    assert!(!place.path("data").exists(), "a refused demo left a directory behind");
}
