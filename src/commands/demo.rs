//! `kenh demo`: reform day of 1 July 2025, through every role, in this process.
//!
//! It does what anybody would do by hand: applies `schemas/` and `broker-config/`, starts the roles, submits the real
//! administrative units as G09 and a synthetic population as G01, and keeps the copies of the four agencies that have
//! grants. Nothing in it is the demo's own but the source of the changes (`kenh_producers::reform`).
//!
//! A second run on the same directory submits the same bytes: all repeated or stale, and no view moves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kenh_consumers::store::CopyId;
use kenh_consumers::store::postgres::{self, ShownTable};
use kenh_domain::contract::Contract;
use kenh_domain::control::{ControlSet, Trust};
use kenh_domain::log::TopicPartition;
use kenh_domain::names::{Agency, Dataset, Principal};
use kenh_domain::receipt::Counts;
use kenh_domain::rule::Lang;
use kenh_producers::reform::people::People;
use kenh_producers::reform::{Change, Reform};
use kenh_producers::submission::{Patience, Submission, Target};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Failure, apply, up};
use crate::cli::{Demo, LogKind, Output};
use crate::config::{self, Config, Store};
use crate::http::Server;
use crate::node::run::{RoleSet, Roles, system_of};
use crate::node::{Node, unsigned};
use crate::output;
use crate::output::thousands;
use crate::status::CopyStatus;
use crate::time::now_ms;

/// The declared state of the demo, as it lies in the repository.
const DECLARED: [&str; 2] = ["schemas", "broker-config"];
/// The dataset of the units and the agency that provides it.
const UNITS: (&str, &str) = ("don-vi-hanh-chinh", "G09");
/// The dataset of the people and the agency that provides it.
const PEOPLE: (&str, &str) = ("dan-cu", "G01");
/// Between two looks at whether the copies are complete.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the copies may stand still before the demo gives up on them.
const STANDSTILL: Duration = Duration::from_secs(60);

/// What a directory was filled with (`demo.json` in it): another population would contradict it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Filled {
    citizens: u64,
    seed: u64,
}

/// `kenh demo`
pub fn run(demo: &Demo, config: &mut Config, output: Output) -> Result<(), Failure> {
    match demo.log {
        LogKind::Embedded => config.kafka = None,
        LogKind::Kafka if config.kafka.is_none() => {
            return Err(Failure::Usage(
                "--log kafka needs a cluster: set kafka.bootstrap in kenh.yaml or KENH_KAFKA (scripts/demo starts one)"
                    .into(),
            ));
        }
        // What it makes is signed by nobody.
        LogKind::Kafka => unsigned::may_hold(config.bootstrap(), Some(&Trust::Unsigned))?,
    }
    let store = config.store(demo.store).map_err(|e| Failure::Usage(e.to_string()))?;
    if demo.reset {
        reset(&config.data)?;
    }
    check_filled(demo, &config.data)?;
    let paths: Vec<PathBuf> = DECLARED.iter().map(PathBuf::from).collect();
    if let Some(missing) = paths.iter().find(|p| !p.is_dir()) {
        return Err(Failure::Usage(format!(
            "the demo applies the folders schemas and broker-config, and {} is not here: run it in the repository \
             (scripts/demo does)",
            missing.display()
        )));
    }
    let reform = Reform::load()?;
    let people = reform.people(demo.seed, demo.citizens).map_err(|e| Failure::Usage(e.to_string()))?;

    let begun = Instant::now();
    let node = Node::open(config)?;
    write_filled(demo, &config.data)?;
    let set = declare(&node, &paths, output)?;
    let kept = |agency| config::Copy { agency, system: None, store: store.clone() };
    config.copies = recipients(&set).into_iter().map(kept).collect();
    let roles = Roles::start(&node, RoleSet::ALL, &config.copies)?;
    let server = if demo.once { None } else { Some(Server::start(&node, &roles, config)?) };
    let ran = show(&node, &roles, &set, (&reform, &people), output);
    let result = ran.and_then(|counts| {
        let views = views(&roles, &store)?;
        let seconds = begun.elapsed().as_secs_f64();
        report(&views, &counts, seconds, config, output);
        Ok(())
    });
    match (result, server) {
        (Ok(()), Some(server)) => {
            let address = server.address();
            output::note(format_args!("kenh stays up and serves http://{address}; Ctrl-C ends it"));
            up::serve(roles, server)
        }
        (result, server) => {
            if let Some(server) = server {
                server.stop();
            }
            let stopped = roles.stop();
            result.and(stopped)
        }
    }
}

/// Deletes the directory, if it is a demo's.
fn reset(dir: &Path) -> Result<(), Failure> {
    if !dir.exists() {
        return Ok(());
    }
    if !dir.join("demo.json").exists() {
        return Err(Failure::Usage(format!(
            "{} was not filled by the demo (it has no demo.json) and is not deleted; choose another directory with \
             KENH_DATA or `data` in kenh.yaml",
            dir.display()
        )));
    }
    Ok(fs::remove_dir_all(dir)?)
}

fn check_filled(demo: &Demo, dir: &Path) -> Result<(), Failure> {
    let file = dir.join("demo.json");
    if !file.exists() {
        return Ok(());
    }
    let filled: Filled = serde_json::from_slice(&fs::read(&file)?)?;
    if filled == (Filled { citizens: demo.citizens, seed: demo.seed }) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} holds {} citizens of seed {}; another population needs --reset",
        dir.display(),
        filled.citizens,
        filled.seed
    )))
}

fn write_filled(demo: &Demo, dir: &Path) -> Result<(), Failure> {
    let filled = Filled { citizens: demo.citizens, seed: demo.seed };
    Ok(fs::write(dir.join("demo.json"), serde_json::to_vec(&filled)?)?)
}

/// Applies the declared state; answers what is in force.
fn declare(node: &Node, paths: &[PathBuf], output: Output) -> Result<ControlSet, Failure> {
    let declared = kenh_governance::read(paths).map_err(|problems| apply::refused(&problems, output))?;
    let now = now_ms();
    let set = kenh_governance::load(&*node.log)?;
    let plan = kenh_governance::plan(&declared, &set, &node.log.topics()?, now)
        .map_err(|problems| apply::refused(&problems, output))?;
    if !plan.is_empty() {
        let applied = kenh_governance::apply(&*node.log, &plan, now)?;
        output::note(format_args!(
            "applied schemas and broker-config: {} control events, {} topics",
            applied.events, applied.topics
        ));
    }
    Ok(kenh_governance::load(&*node.log)?)
}

/// Every agency that a grant in force names.
fn recipients(set: &ControlSet) -> Vec<Agency> {
    let mut agencies: Vec<Agency> = Vec::new();
    for view in set.views.values().filter(|v| v.in_force(now_ms())) {
        let agency = &view.activation.grant.recipient;
        if !agencies.contains(agency) {
            agencies.push(agency.clone());
        }
    }
    agencies.sort();
    agencies
}

/// Submits everything and waits until every copy has it.
fn show(
    node: &Node,
    roles: &Roles,
    set: &ControlSet,
    (reform, people): (&Reform, &People<'_>),
    output: Output,
) -> Result<Vec<(&'static str, Counts)>, Failure> {
    up::warn_unsigned(roles);
    // Grants stand before the first record, and the copies with them.
    await_copies(node, roles, set, "waiting for the views")?;
    if output == Output::Table {
        exceptions(reform);
    }
    let units = submit(node, set, UNITS, "units", reform.units_len(), reform.units())?;
    let people = submit(node, set, PEOPLE, "people (synthetic)", people.changes_len(), people.changes())?;
    await_copies(node, roles, set, "waiting for the copies")?;
    Ok(vec![(UNITS.0, units), (PEOPLE.0, people)])
}

/// Where the source contradicts itself, one line a kind and the cases behind it.
fn exceptions(reform: &Reform) {
    let found = reform.exceptions();
    output::note(format_args!(
        "the source contradicts itself in {} places; they are kept and named / nguồn mâu thuẫn ở {} chỗ, giữ nguyên và \
         nêu rõ:",
        found.len(),
        found.len()
    ));
    for exception in found {
        output::note(format_args!("  - {}", exception.message(Lang::En)));
    }
}

fn bar(what: &str, len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template("{msg:22} {bar:32} {human_pos:>9}/{human_len} {per_sec:>12}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

fn submit(
    node: &Node,
    set: &ControlSet,
    (dataset, provider): (&str, &str),
    what: &str,
    len: u64,
    changes: impl Iterator<Item = Change>,
) -> Result<Counts, Failure> {
    let (dataset, provider) = (Dataset::new(dataset)?, Agency::new(provider)?);
    let contract: &Contract = set
        .contracts
        .get(&dataset)
        .ok_or_else(|| Failure::because(format!("schemas/ declares no dataset {dataset}, which the demo needs")))?;
    let principal = system_of(set, &provider, None)?;
    let id = format!("reform-day-{}", uuid::Uuid::new_v4().simple());
    let target = Target::of(contract, provider, principal, id)
        .ok_or_else(|| Failure::because(format!("the contract of {dataset} has no schema")))?;
    let bar = bar(what, len);
    let mut submission = Submission::open(&*node.log, &now_ms, target, Patience::default())?;
    for change in changes {
        submission.push(&change.key, change.event, change.version, change.updated_ms, Some(&change.body))?;
        bar.inc(1);
    }
    submission.finish(&mut |_| ())?;
    bar.set_message(format!("{what}: receipts"));
    submission.wait(&mut |sent| bar.set_position(sent.answered))?;
    let answered = submission.settle::<Failure>(&mut |letter| {
        output::note(format_args!("rejected: record {} {} {}", letter.number, letter.rule, letter.field));
        Ok(())
    })?;
    bar.finish_and_clear();
    if answered.unanswered > 0 {
        return Err(Failure::because(format!("{what}: no receipt came for {} changes", answered.unanswered)));
    }
    Ok(answered.counts)
}

/// Waits until every view in force has a copy that is complete to the end of its topic, as long as anything moves.
fn await_copies(node: &Node, roles: &Roles, set: &ControlSet, what: &str) -> Result<(), Failure> {
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    let wanted = set.views.values().filter(|v| v.in_force(now_ms())).count();
    let target = roles.control.get().position.max(set.position);
    let mut seen = (Vec::new(), Instant::now());
    loop {
        let router = roles.router.as_ref().map(|stats| stats.snapshot()).unwrap_or_default();
        let idle = router.inputs.iter().all(|i| i.lag() == 0)
            && !router.data.is_empty()
            && router.data.iter().all(|d| d.control >= target)
            && router.lane.is_none();
        let rows = copies(roles);
        let done = rows.iter().filter(|c| c.state == "live" && c.complete).count();
        if idle && done == wanted && up_to_date(node, roles, set)? {
            spinner.finish_and_clear();
            return Ok(());
        }
        let now: Vec<_> = rows.iter().map(|c| (c.rows, c.inserted, c.updated, c.left, c.complete)).collect();
        if now != seen.0 || !idle {
            seen = (now, Instant::now());
        }
        if seen.1.elapsed() > STANDSTILL {
            let why: Vec<_> = rows
                .iter()
                .filter(|c| !(c.state == "live" && c.complete))
                .map(|c| format!("{} {}: {}", c.agency, c.dataset, c.reason.as_deref().unwrap_or(&c.state)))
                .collect();
            let waiting = router.waiting.map(|w| format!("; router: {w}")).unwrap_or_default();
            return Err(Failure::because(format!("the copies stand still: {}{waiting}", why.join("; "))));
        }
        if roles.stopping() {
            return Err(Failure::because("a role has failed"));
        }
        spinner.tick();
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether every copy is complete up to the end of its view's topic. The sequence of the data log is no measure: a view
/// that a change does not concern is not told of it.
fn up_to_date(node: &Node, roles: &Roles, set: &ControlSet) -> Result<bool, Failure> {
    let router = Principal::router();
    for view in set.views.values().filter(|v| v.in_force(now_ms())) {
        let grant = &view.activation.grant;
        let Some(kept) = roles.copies.get(&grant.recipient) else { continue };
        let stats = kept.stats();
        let Some(copy) = stats.copies.iter().find(|c| c.dataset == grant.dataset && c.view == grant.view) else {
            return Ok(false);
        };
        for reached in &copy.reached {
            let of = TopicPartition::new(view.activation.topic(), reached.partition.0);
            if reached.end < node.log.bounds(&router, &of)?.end {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn copies(roles: &Roles) -> Vec<CopyStatus> {
    let of = |(agency, copy): (&Agency, &crate::node::run::Copy)| {
        copy.stats().copies.iter().map(|c| CopyStatus::new(agency, c)).collect::<Vec<_>>()
    };
    roles.copies.iter().flat_map(of).collect()
}

/// A view at the end.
struct View {
    copy: CopyStatus,
    digest: String,
    /// What SQL calls it, where it is in PostgreSQL.
    table: Option<String>,
}

/// The views at the end: as their subscribers say, or, in PostgreSQL, as SQL counts them.
fn views(roles: &Roles, store: &Store) -> Result<Vec<View>, Failure> {
    let mut out = Vec::new();
    for (agency, kept) in &*roles.copies {
        let tables = match store {
            Store::Postgres(to) => Some(postgres::shown(&postgres::Options::on(&to.server, agency))?),
            Store::Sled | Store::Fjall => None,
        };
        for copy in kept.stats().copies {
            let id = CopyId { dataset: copy.dataset.clone(), view: copy.view.clone() };
            let mut row = CopyStatus::new(agency, &copy);
            let mut table = None;
            if let Some(tables) = &tables {
                let found = tables.iter().find(|t| t.copy == id);
                let found = found.ok_or_else(|| Failure::because(format!("SQL shows no table of {agency} {id}")))?;
                row = by_sql(row, found)?;
                table = Some(found.name.clone());
            }
            let digest = super::view::open(&kept.store, &id.dataset, &id.view).digest()?.hex;
            out.push(View { copy: row, digest, table });
        }
    }
    // By dataset in the order of the story, then by recipient.
    let order: Vec<String> = [UNITS.0, PEOPLE.0].iter().map(ToString::to_string).collect();
    let place = |v: &View| order.iter().position(|d| d == &v.copy.dataset).unwrap_or(order.len());
    out.sort_by_key(|v| (place(v), v.copy.agency.clone()));
    Ok(out)
}

/// What SQL says of a view, in the place of what its subscriber says.
fn by_sql(row: CopyStatus, table: &ShownTable) -> Result<CopyStatus, Failure> {
    if table.counted != table.rows {
        return Err(Failure::because(format!(
            "{} has {} rows, and kenh_copies says {}",
            table.name, table.counted, table.rows
        )));
    }
    let ShownTable { counted, bytes, inserted, updated, left, complete_as_of_ms, .. } = *table;
    Ok(CopyStatus { rows: counted, bytes, inserted, updated, left, clock_ms: complete_as_of_ms, ..row })
}

fn report(views: &[View], counts: &[(&'static str, Counts)], seconds: f64, config: &Config, output: Output) {
    if output == Output::Json {
        let rows: Vec<_> = views
            .iter()
            .map(|View { copy, digest, .. }| {
                json!({
                    "recipient": copy.agency, "dataset": copy.dataset, "rows": copy.rows, "inserted": copy.inserted,
                    "updated": copy.updated, "left": copy.left, "digest": digest,
                })
            })
            .collect();
        let submitted: BTreeMap<_, _> = counts.iter().copied().collect();
        output::json(&json!({ "views": rows, "seconds": seconds, "submitted": submitted }));
        return;
    }
    let now = now_ms();
    output::table(
        &["recipient", "dataset", "rows#", "inserted#", "updated#", "left#", "bytes#", "as of", "digest"],
        views.iter().map(|View { copy, digest, .. }| {
            let age = copy.clock_ms.map_or_else(|| "-".into(), |at| format!("{:.1} s ago", age_seconds(now - at)));
            vec![
                copy.agency.to_string(),
                copy.dataset.clone(),
                thousands(copy.rows),
                thousands(copy.inserted),
                thousands(copy.updated),
                thousands(copy.left),
                thousands(copy.bytes),
                age,
                digest.chars().take(12).collect(),
            ]
        }),
    );
    let mut total = Counts::default();
    for (dataset, c) in counts {
        total.merge(c);
        output::line(format_args!(
            "{dataset}: {} admitted, {} repeated, {} stale, {} rejected",
            thousands(c.admitted),
            thousands(c.repeated),
            thousands(c.stale),
            thousands(c.rejected)
        ));
    }
    output::line(format_args!(
        "{} changes in {seconds:.1} s, {} a second. The people are made up (synthetic) / Dữ liệu dân cư là dữ liệu giả lập.",
        thousands(total.total()),
        rate(total.total(), seconds)
    ));
    look_around(views, config);
}

/// Three commands to go on with.
fn look_around(views: &[View], config: &Config) {
    output::line("Look around:");
    let kenh = std::env::args().next().unwrap_or_else(|| "kenh".into());
    for command in ["view list H29 don-vi-hanh-chinh --limit 5", "grant list"] {
        output::line(format_args!("  {kenh} {command}"));
    }
    let mut with = Vec::new();
    if config.data != Path::new("data") {
        with.push(format!("KENH_DATA={}", config.data.display()));
    }
    let of_h29 = |v: &&View| v.copy.agency.as_str() == "H29" && v.copy.dataset == UNITS.0;
    match (views.iter().find(of_h29).and_then(|v| v.table.as_deref()), &config.postgres) {
        (Some(table), Some(to)) => {
            // The password is named, not shown: whoever runs the line can read it where it stands.
            let password = match to.password_from.as_deref().map(|from| (from.strip_prefix("file:"), from)) {
                Some((Some(file), _)) => format!("PGPASSWORD=$(cat {file}) "),
                Some((None, from)) => format!("PGPASSWORD=${} ", from.trim_start_matches("env:")),
                None => String::new(),
            };
            let query = format!(r#"SELECT "Ma", "Ten" FROM {table} ORDER BY 1 LIMIT 5"#);
            output::line(format_args!("  {password}psql {} -c '{query}'", to.url));
            with.push(format!("KENH_POSTGRES={}", to.url));
            with.extend(to.password_from.as_ref().map(|from| format!("KENH_POSTGRES_PASSWORD={from}")));
        }
        _ => output::line(format_args!("  {kenh} view export G18 dan-cu --to g18.csv")),
    }
    if !with.is_empty() {
        output::note(format_args!("(with {})", with.join(" ")));
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn age_seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shown whole")]
fn rate(n: u64, seconds: f64) -> String {
    thousands((n as f64 / seconds.max(0.001)) as u64)
}
