//! `kenh status`: what the node that runs on this directory says of itself; where none runs, what the log holds.

use kenh_domain::control::ControlSet;
use kenh_domain::relaxation::Relaxation;
use serde_json::json;

use super::{Failure, rule};
use crate::cli::Output;
use crate::config::Config;
use crate::node::{Node, Reach};
use crate::output;
use crate::output::thousands;
use crate::status::{Status, relaxed};
use crate::time::{moment, now_ms};

/// `kenh status`
pub fn run(config: &Config, output: Output) -> Result<(), Failure> {
    match Node::existing(config)? {
        None => here(config, &ControlSet::default(), output),
        Some(Reach::Remote(client, _)) => {
            let status: Status = client.get("/v1/status")?;
            if output == Output::Json {
                output::json(&json!({ "running": true, "address": client.address(), "status": status }));
            } else {
                running(&status, client.address());
            }
        }
        Some(Reach::Local(node) | Reach::Cluster(node)) => here(config, &kenh_governance::load(&*node.log)?, output),
    }
    Ok(())
}

/// What the log holds where no node runs.
fn here(config: &Config, set: &ControlSet, output: Output) {
    let now = now_ms();
    let grants = set.views.values().filter(|v| v.in_force(now)).count();
    let relaxed = relaxed(set, now);
    if output == Output::Json {
        output::json(&json!({
            "running": false, "agencies": set.agencies.len(), "datasets": set.contracts.len(),
            "grants": grants, "relaxed": relaxed, "control": set.position,
        }));
        return;
    }
    output::line(format_args!("no node runs on {}; kenh up starts one", config.data.display()));
    output::line(format_args!(
        "declared: {} agencies, {} datasets, {grants} grants in force",
        set.agencies.len(),
        set.contracts.len()
    ));
    relaxations(&relaxed);
}

/// Rules that warn now: nobody is to find out by chance.
fn relaxations(relaxed: &[Relaxation]) {
    for relaxation in relaxed {
        output::line(format_args!("RELAXED:  {}", rule::line(relaxation)));
    }
}

fn running(status: &Status, address: &str) {
    let router = &status.router;
    if status.not_ready.is_empty() {
        output::line(format_args!("ready at http://{address}"));
    } else {
        output::line(format_args!("NOT READY at http://{address}:"));
        for reason in &status.not_ready {
            output::line(format_args!("  - {reason}"));
        }
    }
    let d = &status.declared;
    output::line(format_args!(
        "declared: {} agencies, {} datasets, {} grants in force",
        d.agencies, d.datasets, d.grants
    ));
    relaxations(&d.relaxed);
    let c = &router.counts;
    output::line(format_args!(
        "router:   {} admitted, {} repeated, {} stale, {} rejected since it started; {} commits, last at {}",
        thousands(c.admitted),
        thousands(c.repeated),
        thousands(c.stale),
        thousands(c.rejected),
        thousands(router.commits),
        router.last_commit_ms.map_or_else(|| "-".into(), moment)
    ));
    if let Some(lane) = &router.lane {
        output::line(format_args!("lane:     {lane}"));
    }
    for (what, lines) in [("stopped", &router.stopped), ("refused", &router.refused)] {
        for line in lines {
            output::line(format_args!("{what}:  {line}"));
        }
    }
    output::table(
        &["data", "sequence#", "record keys#", "state bytes#", "last marker", "input lag#"],
        router.data.iter().map(|d| {
            let (name, partition) = d.of.rsplit_once('/').unwrap_or((&d.of, ""));
            let dataset = name.trim_start_matches("data.");
            let of_input = |of: &str| {
                of.rsplit_once('/')
                    .is_some_and(|(topic, p)| p == partition && topic.starts_with(&format!("in.{dataset}.")))
            };
            let lag: u64 = router.inputs.iter().filter(|i| of_input(&i.of)).map(|i| i.lag).sum();
            vec![
                d.of.clone(),
                thousands(d.sequence),
                thousands(d.keys as u64),
                thousands(d.bytes as u64),
                moment(d.clock_ms),
                thousands(lag),
            ]
        }),
    );
    if !status.copies.is_empty() {
        output::table(
            &["copy of", "dataset", "view", "edition#", "state", "rows#", "complete as of"],
            status.copies.iter().map(|c| {
                vec![
                    c.agency.to_string(),
                    c.dataset.clone(),
                    c.view.clone(),
                    c.edition.to_string(),
                    c.reason.as_ref().map_or_else(|| c.state.clone(), |why| format!("{}: {why}", c.state)),
                    thousands(c.rows),
                    c.clock_ms.map_or_else(|| "-".into(), moment),
                ]
            }),
        );
    }
}
