//! Help, completions, configuration, exit codes: what does not depend on data.

use std::process::{Command, Stdio};

use crate::harness::{Place, finish};

const COMMANDS: &[&[&str]] = &[
    &["demo"],
    &["up"],
    &["route"],
    &["control"],
    &["serve"],
    &["status"],
    &["new"],
    &["new", "dataset"],
    &["apply"],
    &["check"],
    &["produce"],
    &["subscribe"],
    &["view"],
    &["view", "get"],
    &["view", "list"],
    &["view", "export"],
    &["view", "search"],
    &["view", "digest"],
    &["contract"],
    &["contract", "list"],
    &["contract", "show"],
    &["schema"],
    &["schema", "list"],
    &["schema", "show"],
    &["schema", "propose"],
    &["review"],
    &["review", "list"],
    &["review", "show"],
    &["review", "grant"],
    &["review", "sign"],
    &["review", "approve"],
    &["review", "refuse"],
    &["review", "take-up"],
    &["review", "advise"],
    &["rule"],
    &["rule", "list"],
    &["rule", "relax"],
    &["rule", "release"],
    &["rule", "restore"],
    &["grant"],
    &["grant", "list"],
    &["grant", "show"],
    &["grant", "explain"],
    &["grant", "request"],
    &["grant", "revoke"],
    &["grant", "suspend"],
    &["grant", "resume"],
    &["law"],
    &["law", "list"],
    &["law", "repeal"],
    &["agency"],
    &["agency", "supersede"],
    &["catalog"],
    &["key"],
    &["key", "new"],
    &["key", "show"],
    &["key", "rotate"],
    &["key", "spare"],
    &["roster"],
    &["roster", "found"],
    &["roster", "show"],
    &["roster", "sign"],
    &["sign"],
    &["submit"],
    &["dead-letter"],
    &["dead-letter", "list"],
    &["dead-letter", "show"],
    &["enroll"],
    &["enroll", "ca"],
    &["enroll", "request"],
    &["enroll", "sign"],
    &["enroll", "admit"],
    &["doctor"],
    &["completions"],
];

/// The commands that a help page lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    // Of what is wrapped only the first line begins at the second column.
    let first = commands.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    first.map(|l| l.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn every_command_explains_itself() {
    let place = Place::new();
    let mut known: Vec<Vec<String>> = vec![vec![]];
    let mut at = 0;
    while at < known.len() {
        let command = known[at].clone();
        let help = place.kenh(command.iter().map(String::as_str).chain(["--help"])).ok();
        assert!(help.stderr.is_empty());
        for text in ["Usage: kenh", "--config <FILE>", "--output <OUTPUT>"] {
            assert!(help.stdout.contains(text), "kenh {command:?} --help lacks {text:?}:\n{}", help.stdout);
        }
        let about = help.stdout.lines().next().unwrap();
        assert!(about.chars().next().is_some_and(char::is_uppercase), "kenh {command:?} --help begins with {about:?}");
        assert!(help.stdout.lines().all(|l| l.chars().count() <= 110), "{}", help.stdout);
        known.extend(listed(&help.stdout).into_iter().map(|name| [command.clone(), vec![name]].concat()));
        at += 1;
    }
    let known: Vec<Vec<&str>> = known.iter().skip(1).map(|c| c.iter().map(String::as_str).collect()).collect();
    for command in &known {
        assert!(COMMANDS.contains(&&command[..]), "kenh {command:?} is not in the list of this test");
    }
    assert_eq!(known.len(), COMMANDS.len(), "{known:?}");
    assert!(!place.path("data").exists(), "asking for help made a node");
}

#[test]
fn wrong_use_exits_2() {
    let place = Place::new();
    let said = place.kenh::<&str>([]).exits(2).complains("Usage: kenh").complains("Commands:");
    assert!(said.stdout.is_empty());
    for (args, why) in [
        (&["produec"][..], "produce"),
        (&["apply"], "<PATHS>"),
        (&["view", "list", "H29"], "<DATASET>"),
        (&["view", "list", "9", "dan-cu"], "'9'"),
        (&["status", "--output", "xml"], "possible values: table, json"),
        (&["--config", "nowhere.yaml", "status"], "nowhere.yaml cannot be read"),
    ] {
        place.kenh(args).exits(2).complains(why);
    }
    assert!(!place.path("data").exists(), "wrong use made a node");
}

#[test]
fn looking_makes_nothing() {
    let place = Place::new();
    for args in [
        &["status"][..],
        &["contract", "list"],
        &["schema", "list"],
        &["grant", "list"],
        &["dead-letter", "list", "dan-cu"],
        &["status", "--output", "json"],
    ] {
        place.kenh(args).ok();
        assert!(!place.path("data").exists(), "kenh {args:?} made a node");
    }
    place.kenh(["view", "list", "H29", "dan-cu"]).exits(1).complains("kenh subscribe H29 --once makes them");
    assert!(!place.path("data").exists(), "a view that is not there made a node");
}

#[test]
fn configuration_is_refused_with_its_line() {
    for (yaml, why) in [
        ("data: data\nlissten: 127.0.0.1:1\n", &["lissten", "line 2"][..]),
        ("copies:\n  - agency: H29\n    stores: sled\n", &["stores", "line 3"]),
        ("copies:\n  - agency: H29\n    store: sqlite\n", &["sqlite", "line 3"]),
        ("listen: 0.0.0.0:8490\n", &["not a loopback address"]),
        ("data: [\n", &["kenh.yaml"]),
    ] {
        let place = Place::new();
        place.write("kenh.yaml", yaml);
        let mut command = place.command(["status"]);
        command.env_remove("KENH_LISTEN");
        let said = finish(command, b"").exits(2);
        for why in why {
            assert!(said.stderr.contains(why), "{yaml:?}: no {why:?} in {}", said.stderr);
        }
    }
    let place = Place::new();
    let mut command = place.command(["status"]);
    command.env("KENH_FSYNC", "sometimes");
    finish(command, b"").exits(2).complains("each-commit or never");
}

#[test]
fn completions_parse() {
    let place = Place::new();
    for (shell, check) in [("bash", &["bash", "-n"][..]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "--no-execute"])]
    {
        let script = place.kenh(["completions", shell]).ok().stdout;
        for name in ["produce", "subscribe", "dead-letter", "--submission"] {
            let name = if shell == "fish" { name.trim_start_matches("--") } else { name };
            assert!(script.contains(name), "the {shell} script does not know {name}");
        }
        let file = place.write(&format!("kenh.{shell}"), script);
        let mut command = Command::new(check[0]);
        command.args(&check[1..]).arg(file).stdin(Stdio::null());
        match command.output() {
            Ok(said) => assert!(said.status.success(), "{shell}: {}", String::from_utf8_lossy(&said.stderr)),
            // Bash is everywhere; the others are checked where they are.
            Err(missing) => assert_ne!(shell, "bash", "{missing}"),
        }
    }
}

#[test]
fn a_reader_that_closes_its_pipe_is_no_failure() {
    let place = Place::with_shipped_applied();
    let mut child =
        place.command(["contract", "show", "dan-cu"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stderr.len()), (Some(0), 0), "{}", String::from_utf8_lossy(&out.stderr));
}
