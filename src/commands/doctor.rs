//! `kenh doctor`: is this node as it should be? One line a check, each with what to do.
//!
//! Checks only look; nothing is mended. It ends with exit code 1 when one is red.

mod cluster;
mod postgres;
mod registry;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kenh_domain::control::{ControlSet, Trust};
use kenh_domain::date::DAY_MS;
use kenh_domain::error::chain;
use kenh_domain::frame::Head;
use kenh_domain::log::{Log, Operation, TopicPartition, TopicSpec};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use serde::Serialize;

use super::Failure;
use crate::cli::{Doctor, Output, Profile};
use crate::config::Config;
use crate::node::{Node, Reach, read, unsigned};
use crate::output;
use crate::time::{day, now_ms};

/// Free space below which the log will soon have to wait for room.
const LOW_DISK_BYTES: u64 = 1 << 30;
/// Days before its end from which on a grant is pointed out.
const SOON_DAYS: i64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Green,
    Yellow,
    Red,
}

#[derive(Debug, Serialize)]
struct Line {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(rename = "whatToDo")]
    what_to_do: String,
}

#[derive(Default)]
struct Report(Vec<Line>);

impl Report {
    fn green(&mut self, check: &'static str, found: impl Into<String>) {
        self.0.push(Line { check, verdict: Verdict::Green, found: found.into(), what_to_do: String::new() });
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, found: impl Into<String>, to_do: impl Into<String>) {
        self.0.push(Line { check, verdict, found: found.into(), what_to_do: to_do.into() });
    }

    /// Green when nothing was found, else the verdict with all that was found.
    fn none_of(&mut self, check: &'static str, verdict: Verdict, found: &[String], good: &str, to_do: &str) {
        if found.is_empty() {
            self.green(check, good);
        } else {
            self.add(check, verdict, found.join("; "), to_do);
        }
    }
}

/// Runs all checks and prints them.
pub fn run(doctor: &Doctor, config: &Config, output: Output) -> Result<(), Failure> {
    let mut report = Report::default();
    files(config, &mut report);
    if let Some(to) = &config.postgres {
        postgres::check(to, config, &mut report);
    }
    match Node::reach(config) {
        Err(error) => report.add(
            "the log opens",
            Verdict::Red,
            chain(&error),
            "mend what it names; the checks that need the log were left out",
        ),
        Ok(reach) => {
            let how = match &reach {
                Reach::Local(_) => "opened; no node runs on this directory".to_owned(),
                Reach::Remote(client, _) => format!("a node runs at {}", client.address()),
                Reach::Cluster(_) => "a Kafka cluster answers".to_owned(),
            };
            report.green("the log opens", how);
            if let (Reach::Cluster(_), Some(kafka)) = (&reach, &config.kafka) {
                cluster::check(kafka, doctor.profile.into(), &mut report);
            }
            let log = reach.log();
            let (set, ignored) = fold_control(&*log)?;
            let elsewhere = unsigned::may_hold(config.bootstrap(), Some(&Trust::Unsigned)).is_err();
            genesis(&set, elsewhere || doctor.profile == Profile::Production, &mut report);
            control(&set, &ignored, &mut report);
            topics(&*log, &set, &mut report)?;
            grants(&set, &mut report);
            flow(&*log, &set, &mut report);
            if let Some(to) = &config.registry {
                registry::check(to, &set, &mut report);
            }
        }
    }
    let red = report.0.iter().filter(|l| l.verdict == Verdict::Red).count();
    if output == Output::Json {
        output::json(&report.0);
    } else {
        let shown = |l: &Line| {
            let mark = match l.verdict {
                Verdict::Green => "ok",
                Verdict::Yellow => "look",
                Verdict::Red => "RED",
            };
            vec![mark.to_owned(), l.check.to_owned(), l.found.clone(), l.what_to_do.clone()]
        };
        output::table(&["", "check", "found", "what to do"], report.0.iter().map(shown));
    }
    if red > 0 { Err(Failure::because(format!("{red} checks are red"))) } else { Ok(()) }
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|m| m.permissions().mode() & 0o777)
}

fn files(config: &Config, report: &mut Report) {
    let dir = &config.data;
    match mode(dir) {
        None => report.add(
            "data directory",
            Verdict::Yellow,
            format!("{} is not there yet", dir.display()),
            "`kenh apply` or `kenh demo` makes it",
        ),
        Some(mode) if mode & 0o077 != 0 => report.add(
            "data directory",
            Verdict::Red,
            format!("{} has mode {mode:o}: others on this machine can read the log", dir.display()),
            format!("chmod 700 {}", dir.display()),
        ),
        Some(_) => report.green("data directory", format!("{} is its owner's alone", dir.display())),
    }
    let secret = dir.join("secret");
    match mode(&secret) {
        Some(mode) if mode & 0o077 != 0 => report.add(
            "master secret",
            Verdict::Red,
            format!("mode {mode:o}: others can read it"),
            format!("chmod 600 {}", secret.display()),
        ),
        Some(_) => report.green("master secret", "its owner's alone; is it in your backup?"),
        None => report.add("master secret", Verdict::Yellow, "not made yet", "the first start makes it"),
    }
    // A directory that does not exist yet will lie on its nearest parent's file system.
    let mut on = dir.as_path();
    while !on.exists() {
        on = on.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    }
    match rustix::fs::statvfs(on) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} MiB free", free >> 20);
            if free < LOW_DISK_BYTES {
                report.add("disk space", Verdict::Red, found, "make room: below 1 GiB the bus will soon wait");
            } else {
                report.green("disk space", found);
            }
        }
        Err(error) => report.add("disk space", Verdict::Yellow, error.to_string(), "look with df"),
    }
    let probe = on.join(".kenh-doctor");
    match std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => report.green("directory can be written", on.display().to_string()),
        Err(error) => report.add("directory can be written", Verdict::Red, error.to_string(), "mend owner or mount"),
    }
    if config.listen.ip().is_loopback() {
        report.green("HTTP stays on this machine", config.listen.to_string());
    } else {
        report.add("HTTP stays on this machine", Verdict::Red, config.listen.to_string(), "listen on 127.0.0.1");
    }
    match config.fsync {
        crate::config::Fsync::EachCommit => report.green("fsync policy", "each commit"),
        crate::config::Fsync::Never => report.add(
            "fsync policy",
            Verdict::Yellow,
            "never: a power cut can lose what was acknowledged",
            "set fsync: each-commit",
        ),
    }
}

/// The control set, and what in the control log was ignored and why.
fn fold_control(log: &dyn Log) -> Result<(ControlSet, Vec<String>), Failure> {
    let mut set = ControlSet::default();
    let mut ignored = Vec::new();
    let exists = log.topics()?.iter().any(|t| t.topic == Topic::Control);
    if exists {
        read::all(log, &Principal::control(), (&Topic::Control, 1), |record| {
            if let Err(error) = set.apply(record.position, record.value.as_deref().unwrap_or_default()) {
                ignored.push(error.to_string());
            }
        })?;
    }
    Ok((set, ignored))
}

/// Where it must be signed, a bus that is not is red.
fn genesis(set: &ControlSet, must_be_signed: bool, report: &mut Report) {
    let verdict = if must_be_signed { Verdict::Red } else { Verdict::Yellow };
    let begin =
        if must_be_signed { "kenh roster found (docs/signatures.md)" } else { "kenh apply schemas broker-config" };
    match &set.trust {
        None => report.add("genesis", verdict, "this bus has not begun", begin),
        Some(Trust::Unsigned) => report.add(
            "genesis",
            verdict,
            "unsigned: whoever holds the directory can grant himself anything",
            "for trials on one machine only; a bus for agencies begins with `kenh roster found` (docs/signatures.md)",
        ),
        Some(Trust::Root(_)) => report.green("genesis", "names a root"),
    }
}

fn control(set: &ControlSet, ignored: &[String], report: &mut Report) {
    report.none_of(
        "control log",
        Verdict::Red,
        ignored,
        &format!("every event up to position {} counts", set.position),
        "somebody wrote to kenh.control who should not have, or with a newer release: find out who",
    );
    let mut bad = Vec::new();
    for contract in set.contracts.values() {
        if let Err(error) = kenh_domain::admit::Rules::compile(contract) {
            bad.push(format!("{}: {error}", contract.dataset));
        }
    }
    report.none_of(
        "contracts compile",
        Verdict::Red,
        &bad,
        &format!("{} contracts", set.contracts.len()),
        "kenh apply",
    );
    let unowned: Vec<_> = set
        .contracts
        .values()
        .filter(|c| c.providers.iter().any(|p| !set.agencies.contains_key(&p.agency)))
        .map(|c| c.dataset.to_string())
        .collect();
    report.none_of("providers are declared agencies", Verdict::Red, &unowned, "all of them", "declare them and apply");
    let silent: Vec<_> = set.agencies.values().filter(|a| a.systems.is_empty()).map(|a| a.name.to_string()).collect();
    report.none_of(
        "every agency has a system",
        Verdict::Yellow,
        &silent,
        "all of them",
        "an agency without a system can neither send nor receive",
    );
}

fn topics(log: &dyn Log, set: &ControlSet, report: &mut Report) -> Result<(), Failure> {
    let there = log.topics()?;
    let find = |topic: &Topic| there.iter().find(|t| &t.topic == topic);
    let mut wanted: Vec<(Topic, u32)> =
        vec![(Topic::Control, 1), (Topic::Heads, 1)].into_iter().filter(|_| set.trust.is_some()).collect();
    for contract in set.contracts.values() {
        wanted.push((Topic::Data(contract.dataset.clone()), contract.partitions));
        for provider in &contract.providers {
            wanted.push((Topic::In(contract.dataset.clone(), provider.agency.clone()), contract.partitions));
            wanted.push((Topic::DeadLetter(contract.dataset.clone(), provider.agency.clone()), contract.partitions));
            wanted.push((Topic::Receipt(provider.agency.clone()), 1));
        }
    }
    let problem = |wanted: &[(Topic, u32)]| -> Vec<String> {
        let wrong = |(topic, partitions): &(Topic, u32)| match find(topic) {
            None => Some(format!("{topic} is missing")),
            Some(TopicSpec { partitions: is, .. }) if is != partitions => {
                Some(format!("{topic} has {is} partitions, not {partitions}"))
            }
            Some(_) => None,
        };
        wanted.iter().filter_map(wrong).collect()
    };
    let good = format!("{} topics", wanted.len());
    report.none_of("dataset topics", Verdict::Red, &problem(&wanted), &good, "kenh apply makes what is missing");
    let now = now_ms();
    let live: Vec<_> = set.views.values().filter(|v| v.in_force(now)).collect();
    let views: Vec<_> = live
        .iter()
        .filter_map(|v| {
            let contract = set.contracts.get(&v.activation.grant.dataset)?;
            Some((v.activation.topic(), contract.partitions))
        })
        .collect();
    let good = format!("{} topics", views.len());
    report.none_of("view topics", Verdict::Red, &problem(&views), &good, "kenh apply makes what is missing");
    let drifted: Vec<_> = kenh_governance::layout::places(set, now)
        .into_values()
        .filter(|place| find(&place.spec.topic).is_some_and(|is| is.retention != place.spec.retention))
        .map(|place| place.spec.topic.to_string())
        .collect();
    report.none_of(
        "topics are kept as long as declared",
        Verdict::Red,
        &drifted,
        "they are",
        "kenh apply mends them; what was deleted meanwhile is gone",
    );
    let otherwise: Vec<_> =
        log.drifted()?.into_iter().map(|(topic, words)| format!("{topic}: {}", words.join(", "))).collect();
    report.none_of(
        "topics are set as the bus sets them",
        Verdict::Red,
        &otherwise,
        "they are",
        "kenh apply mends them; what was deleted meanwhile is gone",
    );
    let mut drift = Vec::new();
    for view in &live {
        let topic = view.activation.topic();
        if find(&topic).is_none() {
            continue;
        }
        let is: BTreeSet<_> = log.access(&topic)?.into_iter().map(|a| (a.principal, a.operation)).collect();
        let should: BTreeSet<_> = view.activation.grant.systems.iter().map(|s| (s.clone(), Operation::Read)).collect();
        if is != should {
            drift.push(format!("{topic}: {} may read it, the grant names {}", is.len(), should.len()));
        }
    }
    report.none_of("access lists equal the grants", Verdict::Red, &drift, "they do", "kenh up mends them");
    let ended: Vec<_> = set
        .views
        .values()
        .filter(|v| !v.in_force(now) && now >= v.activation.starts_ms && find(&v.activation.topic()).is_some())
        .map(|v| v.activation.topic().to_string())
        .collect();
    report.none_of(
        "topics of ended grants are gone",
        Verdict::Yellow,
        &ended,
        "none is left",
        "kenh up deletes them once the router has passed the end",
    );
    let foreign: Vec<_> = there
        .iter()
        .filter(|t| matches!(&t.topic, Topic::View(..)))
        .filter(|t| !set.views.values().any(|v| v.activation.topic() == t.topic))
        .map(|t| t.topic.to_string())
        .collect();
    report.none_of("no view topic without a grant", Verdict::Red, &foreign, "none", "find out who made it");
    Ok(())
}

fn grants(set: &ControlSet, report: &mut Report) {
    let now = now_ms();
    let live: Vec<_> = set.views.values().filter(|v| v.in_force(now)).collect();
    if live.is_empty() {
        report.add("grants in force", Verdict::Yellow, "none: nothing leaves the bus", "declare one and apply");
    } else {
        report.green("grants in force", live.len().to_string());
    }
    let soon: Vec<_> = live
        .iter()
        .filter(|v| v.activation.ends_ms - now < SOON_DAYS * DAY_MS)
        .map(|v| format!("{} on {}", v.activation.grant.id, day(v.activation.ends_ms)))
        .collect();
    report.none_of(
        "no grant ends soon",
        Verdict::Yellow,
        &soon,
        "none within 30 days",
        "renew in time, or the recipients' copies end",
    );
    let future = set.views.values().filter(|v| v.ended.is_none() && v.activation.starts_ms > now).count();
    report.green("grants to come", future.to_string());
    let relaxed: Vec<_> = crate::status::relaxed(set, now).iter().map(super::rule::line).collect();
    report.none_of(
        "no rule is relaxed",
        Verdict::Yellow,
        &relaxed,
        "every rule rejects",
        "propose a contract that fits before it ends; kenh rule restore ends it now",
    );
}

fn flow(log: &dyn Log, set: &ControlSet, report: &mut Report) {
    let router = Principal::router();
    let mut newest: Option<Head> = None;
    let mut unreadable = 0usize;
    let read = read::all(log, &router, (&Topic::Heads, 1), |record| {
        match serde_json::from_slice::<Head>(record.value.as_deref().unwrap_or_default()) {
            Ok(head) if newest.as_ref().is_none_or(|n| n.clock_ms <= head.clock_ms) => newest = Some(head),
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    });
    if let Err(error) = read {
        report.add("heads can be read", Verdict::Yellow, error.to_string(), "kenh up makes them");
    }
    match &newest {
        None => report.add("router has run", Verdict::Yellow, "no marker yet", "kenh up, or kenh produce"),
        Some(head) => report.green("router has run", format!("last marker at {}", crate::time::moment(head.clock_ms))),
    }
    let ahead = newest.as_ref().map_or(0, |h| h.clock_ms - now_ms());
    if ahead > 1000 {
        report.add(
            "clock",
            Verdict::Red,
            format!("{} s behind the last marker", ahead / 1000),
            "set the machine's clock; time on the bus does not go back",
        );
    } else {
        report.green("clock", "not behind the last marker");
    }
    let damaged = if unreadable > 0 { vec![format!("{unreadable} records")] } else { Vec::new() };
    report.none_of("heads are readable", Verdict::Red, &damaged, "all", "only the router may write kenh.heads");
    let behind: Vec<_> = newest
        .filter(|h| h.control < set.position)
        .map(|h| format!("control position {} of {}", h.control, set.position))
        .into_iter()
        .collect();
    report.none_of(
        "router has seen every decision",
        Verdict::Yellow,
        &behind,
        "it has",
        "a decision takes effect at the router's next marker: kenh up",
    );
    let mut letters = 0u64;
    for contract in set.contracts.values() {
        for provider in &contract.providers {
            let topic = Topic::DeadLetter(contract.dataset.clone(), provider.agency.clone());
            for partition in 0..contract.partitions {
                if let Ok(bounds) = log.bounds(&router, &TopicPartition::new(topic.clone(), partition)) {
                    letters += u64::from(bounds.end > bounds.start);
                }
            }
        }
    }
    if letters > 0 {
        let found = format!("in {letters} partitions");
        report.add("no dead letters", Verdict::Yellow, found, "kenh dead-letter list DATASET says which and why");
    } else {
        report.green("no dead letters", "none");
    }
}
