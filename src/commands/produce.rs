//! `kenh produce` and `kenh check`: somebody's own records, checked and submitted.
//!
//! Where no node runs, `produce` opens the directory itself and runs router and control until its receipts are in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use kenh_domain::admit::Rules;
use kenh_domain::codes::CodeLists;
use kenh_domain::contract::{CodeListDataset, Contract};
use kenh_domain::control::ControlSet;
use kenh_domain::envelope::Event;
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::receipt::Warnings;
use kenh_domain::relaxation::Relaxed;
use kenh_domain::rule::{Lang, Rule};
use kenh_producers::{Checker, Defaults, Items, Listed, Mapping, Options, Patience, Report, SourceError};
use serde_json::json;

use super::Failure;
use crate::cli::{Check, Format, Output, Produce, Source};
use crate::config::Config;
use crate::node::known::Known;
use crate::node::run::{RoleSet, Roles};
use crate::node::{Node, Reach};
use crate::output;
use crate::output::thousands;
use crate::telemetry::Telemetry;
use crate::time::now_ms;

/// What a source is checked against, wherever that is known from.
struct Against {
    contract: Arc<Contract>,
    provider: Agency,
    relaxed: Relaxed,
}

/// The contract in force, or else the one that `otherwise` finds, and which of its providers we are.
fn against(
    source: &Source,
    known: &Known,
    otherwise: impl FnOnce(&ControlSet) -> Result<Option<Arc<Contract>>, Failure>,
) -> Result<Against, Failure> {
    let dataset = &source.dataset;
    if let (Some(_), Some(agency)) = (&known.guest, &source.provider) {
        known.system(agency, None)?;
    }
    let contract = match known.set.contracts.get(dataset) {
        Some(contract) => contract.clone(),
        None => otherwise(&known.set)?.ok_or_else(|| unknown(dataset, known))?,
    };
    let wanted = source.provider.as_ref().or(known.guest.as_ref().map(|guest| &guest.agency));
    let provider = match (wanted, contract.providers.as_slice()) {
        (Some(agency), providers) if providers.iter().any(|p| &p.agency == agency) => agency.clone(),
        (Some(agency), providers) => {
            let names: Vec<_> = providers.iter().map(|p| p.agency.to_string()).collect();
            let names = names.join(", ");
            return Err(Failure::Usage(format!("{agency} does not provide {dataset}; its contract names {names}")));
        }
        (None, [only]) => only.agency.clone(),
        (None, several) => {
            let names: Vec<_> = several.iter().map(|p| p.agency.to_string()).collect();
            return Err(Failure::Usage(format!(
                "{dataset} has several providers: say --as {}",
                names.join(" or --as ")
            )));
        }
    };
    Ok(Against { contract, provider, relaxed: known.relaxed(dataset, now_ms()) })
}

/// There is no such dataset, as far as we know.
fn unknown(dataset: &Dataset, known: &Known) -> Failure {
    let names: Vec<_> = known.set.contracts.keys().map(ToString::to_string).collect();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Failure::Usage(match &known.guest {
        Some(guest) => {
            let agency = &guest.agency;
            format!("{agency} does not provide a dataset {dataset}: notice.{agency} has contract cards of: {there}")
        }
        None => format!("there is no dataset {dataset} (there are: {there}); kenh apply makes them known"),
    })
}

/// The contract as `schemas/<dataset>` declares it: `check` needs no node.
fn declared(source: &Source, set: &ControlSet) -> Result<Option<Arc<Contract>>, Failure> {
    let dir = Path::new("schemas").join(source.dataset.as_str());
    if !dir.join("contract.yaml").exists() {
        return Ok(None);
    }
    let agencies = PathBuf::from("broker-config").join("agencies");
    let mut paths = vec![dir];
    if agencies.is_dir() {
        paths.push(agencies);
    }
    let refused = |problems: Vec<kenh_governance::Problem>| super::apply::refused(&problems, Output::Table);
    // With the datasets that are its code lists, and theirs.
    let declared = loop {
        let declared = kenh_governance::read(&paths).map_err(refused)?;
        let lists = declared.contracts.iter().flat_map(|item| item.value.contract.lists_on_the_bus());
        let of = lists.map(|(_, list)| Path::new("schemas").join(list.dataset.as_str()));
        let more: BTreeSet<_> = of.filter(|dir| !paths.contains(dir) && dir.join("contract.yaml").exists()).collect();
        if more.is_empty() {
            break declared;
        }
        paths.extend(more);
    };
    let plan = kenh_governance::plan(&declared, set, &[], now_ms()).map_err(refused)?;
    Ok(plan.after.contracts.get(&source.dataset).cloned())
}

fn mapping(source: &Source) -> Result<Option<Mapping>, Failure> {
    let beside = Path::new("schemas").join(source.dataset.as_str()).join("mapping.yaml");
    let file = match &source.mapping {
        Some(file) => file.clone(),
        None if beside.exists() => beside,
        None => return Ok(None),
    };
    let cannot = |e: &dyn std::fmt::Display| Failure::Usage(format!("{}: {e}", file.display()));
    let yaml = std::fs::read_to_string(&file).map_err(|e| cannot(&e))?;
    Mapping::parse(&yaml).map(Some).map_err(|e| cannot(&e))
}

fn input(source: &Source) -> Result<Box<dyn Read>, Failure> {
    if source.from.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(&source.from)
        .map_err(|e| Failure::Usage(format!("{} cannot be read: {e}", source.from.display())))?;
    Ok(Box::new(file))
}

fn format(source: &Source) -> Result<kenh_producers::Format, Failure> {
    match source.format {
        Some(Format::Jsonl) => Ok(kenh_producers::Format::Jsonl),
        Some(Format::Csv) => Ok(kenh_producers::Format::Csv),
        Some(Format::Avro) => Ok(kenh_producers::Format::Avro),
        Some(Format::Envelope) => Ok(kenh_producers::Format::Envelope),
        None => kenh_producers::Format::of(&source.from).ok_or_else(|| {
            Failure::Usage("the file's ending names no format: say --format jsonl, csv, avro or envelope".into())
        }),
    }
}

/// Everything that reading a source needs, in the order in which it is borrowed.
fn open<'r>(source: &Source, rules: &'r Rules) -> Result<Box<dyn Items + 'r>, Failure> {
    let mapping = mapping(source)?;
    kenh_producers::open(format(source)?, input(source)?, rules, mapping.as_ref()).map_err(|e| match e {
        // No record was read: another file, format or mapping is needed.
        SourceError::Head(_) | SourceError::Mapping(_) => {
            Failure::Usage(format!("{}: {}", source.from.display(), kenh_domain::error::chain(&e)))
        }
        SourceError::NoSchema | SourceError::Read { .. } => e.into(),
    })
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn rejections(listed: &Listed, report: Option<&Path>) {
    for r in &listed.first {
        let line = r.line.map(|l| format!(" (line {l})")).unwrap_or_default();
        let field = if r.field.is_empty() { String::new() } else { format!(" {}", r.field) };
        output::note(format_args!("record {}{line}: {}{field}: {}", r.number, r.rule, r.message));
        output::note(format_args!("    {}", r.message_vi));
        if !r.hint.is_empty() {
            output::note(format_args!("    → {} / {}", r.hint, r.hint_vi));
        }
    }
    let more = listed.total.saturating_sub(listed.first.len() as u64);
    match report {
        Some(file) => output::note(format_args!("all {} rejections are in {}", listed.total, file.display())),
        None if more > 0 => output::note(format_args!("{more} more are not shown: --report FILE.jsonl keeps all")),
        None => {}
    }
}

/// Relaxed rules that were broken: what passes now is rejected when the relaxation ends.
fn warned(warnings: &Warnings) {
    for (code, n) in &warnings.0 {
        // A newer router may know rules that we do not.
        let rule = code.parse::<Rule>().ok();
        let says = |lang| rule.map_or("", |rule| rule.message(lang));
        output::note(format_args!(
            "WARNING / CẢNH BÁO: {} × {code}: {}; the rule is relaxed for now, correct them before it rejects again",
            thousands(*n),
            says(Lang::En)
        ));
        output::note(format_args!(
            "    {}; quy tắc đang được nới lỏng tạm thời, hãy sửa trước khi áp dụng trở lại",
            says(Lang::Vi)
        ));
    }
}

/// The code lists on the bus, where we may read them: an operator may, an agency may not.
fn lists(reach: Option<&Reach>, contract: &Contract, known: &Known) -> CodeLists {
    let Some(reach) = reach.filter(|_| known.guest.is_none()) else { return CodeLists::NotAsked };
    let codes = |(name, list): (&String, &CodeListDataset)| {
        let of = known.set.contracts.get(&list.dataset)?;
        Some((name.clone(), kenh_router::lists::newest(&*reach.log(), list, of).ok()?))
    };
    contract.lists_on_the_bus().map(codes).collect::<Option<_>>().map_or(CodeLists::NotAsked, CodeLists::Known)
}

/// `kenh check`
pub fn check(check: &Check, config: &Config, output: Output) -> Result<(), Failure> {
    let source = &check.source;
    let reach = Node::existing(config)?;
    let known = match &reach {
        Some(reach) => Known::of(reach)?.with_contracts(&*reach.log())?,
        None => Known::default(),
    };
    let Against { contract, provider, relaxed } = against(source, &known, |set| declared(source, set))?;
    let rules = Rules::compile(&contract)?;
    let mut items = open(source, &rules)?;
    let defaults = Defaults { event: Event::New, version: 1, updated_ms: now_ms() };
    let mut checker = Checker::new(&rules, provider, defaults);
    checker.set_relaxed(relaxed);
    let lists = lists(reach.as_ref(), &contract, &known);
    let asked = lists != CodeLists::NotAsked;
    checker.set_lists(lists);
    let mut report = source.report.as_deref().map(Report::create).transpose()?;
    let bar = spinner();
    let checked = kenh_producers::check(&mut *items, &mut checker, now_ms(), report.as_mut(), &mut |at| {
        bar.set_message(format!("{} records read, {} rejected", thousands(at.read), thousands(at.rejected)));
    });
    bar.finish_and_clear();
    let checked = checked?;
    let not_asked = contract.lists_on_the_bus().filter(|_| !asked).map(|(name, list)| (name, &list.dataset));
    let not_asked: Vec<_> = not_asked.collect();
    if output == Output::Json {
        let not_asked: Vec<_> =
            not_asked.iter().map(|(name, dataset)| json!({"codeList": name, "dataset": dataset})).collect();
        output::json(&json!({
            "dataset": source.dataset, "read": checked.read, "good": checked.good, "rejected": checked.rejected,
            "warnings": checked.warnings, "rejections": checked.listed.first, "notAsked": not_asked,
        }));
    } else {
        rejections(&checked.listed, source.report.as_deref());
        warned(&checked.warnings);
        for (name, dataset) in not_asked {
            output::note(format_args!(
                "not asked here: whether codes are in {name}, which is the dataset {dataset}; the router asks it"
            ));
            output::note(format_args!(
                "    chưa kiểm tra: mã có trong danh mục {name} (tập dữ liệu {dataset}) hay không; bộ định tuyến sẽ kiểm tra"
            ));
        }
        output::line(format_args!(
            "{}: {} records read, {} good, {} rejected; nothing was sent",
            source.dataset,
            thousands(checked.read),
            thousands(checked.good),
            thousands(checked.rejected)
        ));
    }
    if checked.rejected > 0 { Err(Failure::Rejected) } else { Ok(()) }
}

/// `kenh produce`
pub fn run(produce: &Produce, config: &Config, output: Output) -> Result<(), Failure> {
    let telemetry = config.otlp.as_deref().map(|to| Telemetry::start(to, "produce")).transpose()?;
    let reach = Node::reach(config)?;
    // Where nobody runs the bus, we do, until our receipts are in.
    let roles = match &reach {
        Reach::Local(node) => Some(Roles::start(node, RoleSet::BUS, &[])?),
        Reach::Remote(..) | Reach::Cluster(_) => None,
    };
    let done = submit(produce, &reach, output);
    let stopped = roles.map_or(Ok(()), Roles::stop);
    if let Some(telemetry) = telemetry {
        telemetry.stop();
    }
    done.and(stopped)
}

fn submit(produce: &Produce, reach: &Reach, output: Output) -> Result<(), Failure> {
    let source = &produce.source;
    let log = &*reach.log();
    let known = Known::of(reach)?.with_contracts(log)?;
    // Only what is in force is submitted, whatever lies in `schemas/`.
    let Against { contract, provider, relaxed } = against(source, &known, |_| Ok(None))?;
    let rules = Rules::compile(&contract)?;
    let mut items = open(source, &rules)?;
    let version = i64::try_from(produce.record_version)
        .map_err(|_| Failure::Usage("--record-version is beyond what a version can be".into()))?;
    let defaults = Defaults { event: Event::New, version, updated_ms: now_ms() };
    let principal = known.system(&provider, None)?;
    let submission = match &produce.submission {
        Some(name) => name.clone(),
        None => uuid::Uuid::new_v4().to_string(),
    };
    let mut checker = Checker::new(&rules, provider, defaults);
    checker.set_relaxed(relaxed);
    let mut report = source.report.as_deref().map(Report::create).transpose()?;
    let patience = Patience { timeout: Duration::from_secs(produce.timeout), ..Patience::default() };
    let options = Options { principal, submission: submission.clone(), patience };
    let bar = spinner();
    let outcome =
        kenh_producers::produce(log, &mut *items, &mut checker, options, &now_ms, report.as_mut(), &mut |at| {
            let wait = match (at.waiting, at.finished) {
                (true, _) => "; the log has no room, waiting",
                (_, true) => "; waiting for receipts",
                _ => "",
            };
            bar.set_message(format!(
                "{} read, {} rejected here, {} sent, {} answered{wait}",
                thousands(at.read),
                thousands(at.rejected),
                thousands(at.sent),
                thousands(at.answered)
            ));
        });
    bar.finish_and_clear();
    let outcome = outcome?;
    let counts = &outcome.counts;
    if output == Output::Json {
        output::json(&json!({
            "dataset": source.dataset, "submission": submission, "read": outcome.read, "sent": outcome.sent,
            "admitted": counts.admitted, "repeated": counts.repeated, "stale": counts.stale,
            "rejected": counts.rejected, "unanswered": outcome.unanswered, "warnings": outcome.warnings,
            "rejections": outcome.listed.first,
        }));
    } else {
        rejections(&outcome.listed, source.report.as_deref());
        warned(&outcome.warnings);
        output::line(format_args!(
            "{} as submission {submission}: {} admitted, {} repeated, {} stale, {} rejected",
            source.dataset,
            thousands(counts.admitted),
            thousands(counts.repeated),
            thousands(counts.stale),
            thousands(counts.rejected)
        ));
    }
    if outcome.unanswered > 0 {
        return Err(Failure::because(format!(
            "no receipt came within {} s for {} changes; they are in the log and may still be decided: submit the same \
             file again to learn (what was admitted is counted as repeated)",
            produce.timeout, outcome.unanswered
        )));
    }
    if counts.rejected > 0 { Err(Failure::Rejected) } else { Ok(()) }
}
