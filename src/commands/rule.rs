//! `kenh rule …`: rules that warn for some hours where they would reject.
//!
//! On a bus whose decisions are signed, a relaxation is put to the vote like a contract, and released when two persons have
//! approved it; on an unsigned bus it counts at once, with its reason. There is no switch besides.

use kenh_domain::control::{ControlEvent, ControlSet};
use kenh_domain::log::Log;
use kenh_domain::names::{ProposalId, RelaxationId};
use kenh_domain::relaxation::{Relaxation, RelaxationEntry};
use kenh_domain::rule::Lang;
use kenh_domain::trust::Document;
use kenh_governance::review::examine_relaxation;
use kenh_governance::trust::Request;
use serde_json::json;

use super::review::{Ballot, hand_in, propose, told};
use super::{Failure, grant};
use crate::cli::{Output, RelaxRule, RuleCommand};
use crate::config::Config;
use crate::output;
use crate::time::{minute, moment, now_ms};

const HOUR_MS: i64 = 3_600_000;

/// `kenh rule …`
pub fn run(command: &RuleCommand, config: &Config, out: Output) -> Result<(), Failure> {
    let (log, set) = super::show::load(config)?;
    let log = log.as_deref();
    let now = now_ms();
    match command {
        RuleCommand::List => list(&set, now, out),
        RuleCommand::Relax(asked) => relax(asked, &set, log, now, out),
        RuleCommand::Release { id } => release(id, &set, log, now, out),
        RuleCommand::Restore { id, reason, request } => {
            let Some(entry) = set.relaxations.get(id) else {
                let words = format!("there is no relaxation {id}; `kenh rule list` shows those there are");
                return Err(Failure::because(words));
            };
            if !entry.in_force(now) {
                output::note(format_args!("relaxation {id} is over; nothing to do"));
                return Ok(());
            }
            let event = ControlEvent::Restoration { relaxation: id.clone(), because: reason.clone() };
            if set.is_signed() {
                let file = request.clone().unwrap_or_else(|| format!("{id}.end.json").into());
                return grant::to_sign(&set, &[event], &file);
            }
            count(&event, &set, log, now)?;
            output::note(format_args!("{} rejects again, from the router's next marker", said(&entry.relaxation)));
            Ok(())
        }
    }
}

/// The rule and its place in words: `code-list for NoiO.MaXa of dan-cu`.
fn said(relaxation: &Relaxation) -> String {
    format!("{} of {}", relaxation.what(), relaxation.dataset)
}

/// One relaxation in force, for people: in both languages.
pub fn line(relaxation: &Relaxation) -> String {
    let Relaxation { id, dataset, rule, ends_ms, .. } = relaxation;
    let until = moment(*ends_ms);
    format!(
        "{} of {dataset} warns and does not reject until {until} ({id}) / {dataset}: {} chỉ cảnh báo, không từ chối đến {until}: {}",
        relaxation.what(),
        rule.code(),
        rule.message(Lang::Vi)
    )
}

fn state(entry: &RelaxationEntry, now: i64) -> &'static str {
    match &entry.ended {
        Some(_) => "restored",
        None if entry.in_force(now) => "in force",
        None if now < entry.starts_ms => "to come",
        None => "over",
    }
}

fn list(set: &ControlSet, now: i64, out: Output) -> Result<(), Failure> {
    let all = set.relaxations.values();
    if out == Output::Json {
        let row = |entry: &RelaxationEntry| {
            json!({
                "relaxation": entry.relaxation, "startsMs": entry.starts_ms, "state": state(entry, now),
                "because": entry.ended.as_ref().map(|(_, because)| because),
            })
        };
        output::json(&all.map(row).collect::<Vec<_>>());
        return Ok(());
    }
    output::table(
        &["relaxation", "dataset", "rule", "field", "from", "until", "state", "why"],
        all.map(|entry| {
            let r = &entry.relaxation;
            vec![
                r.id.to_string(),
                r.dataset.to_string(),
                r.rule.code().into(),
                r.field.clone().unwrap_or_else(|| "-".into()),
                moment(entry.starts_ms),
                moment(r.ends_ms),
                state(entry, now).into(),
                r.reason.clone(),
            ]
        }),
    );
    Ok(())
}

fn relax(asked: &RelaxRule, set: &ControlSet, log: Option<&dyn Log>, now: i64, out: Output) -> Result<(), Failure> {
    let RelaxRule { dataset, rule, field, hours, reason, .. } = asked;
    let id: RelaxationId = match &asked.id {
        Some(id) => id.clone(),
        None => {
            let name = format!("{dataset}-{}-{}", rule.code(), minute(now));
            name.parse().map_err(|e| Failure::Usage(format!("{e}; say --id NAME")))?
        }
    };
    let relaxation = Relaxation {
        id: id.clone(),
        dataset: dataset.clone(),
        rule: *rule,
        field: field.clone(),
        reason: reason.clone(),
        ends_ms: now + hours * HOUR_MS,
    };
    let review = examine_relaxation(set, &relaxation, now);
    if set.is_signed() {
        let Some(author) = &asked.author else {
            let words = "decisions are signed on this bus: say who proposes it with --author; two others approve it";
            return Err(Failure::Usage(words.into()));
        };
        let id: ProposalId = id.as_str().parse()?;
        let (document, deadline_ms) = (Document::of_relaxation(&relaxation), relaxation.ends_ms);
        return propose(Ballot { id, document, review, author, dir: &asked.dir, deadline_ms }, set, log, out, now);
    }
    told(&review, out);
    if review.blocked() {
        if out == Output::Json {
            output::json(&json!({ "relaxation": relaxation, "state": "blocked", "review": review }));
        }
        output::note("kenh: something blocks it; nothing was relaxed");
        return Err(Failure::Rejected);
    }
    count(&ControlEvent::Relaxation(Box::new(relaxation.clone())), set, log, now)?;
    in_force(&relaxation, out);
    Ok(())
}

fn release(id: &ProposalId, set: &ControlSet, log: Option<&dyn Log>, now: i64, out: Output) -> Result<(), Failure> {
    let proposed = set.proposals.get(id).map(|standing| &standing.proposal.document);
    let Some(Document::Relaxation(relaxation)) = proposed else {
        let words = format!("there is no proposal {id} of a relaxation; `kenh review list` shows what was proposed");
        return Err(Failure::because(words));
    };
    count(&ControlEvent::Relaxation(relaxation.clone()), set, log, now)?;
    in_force(relaxation, out);
    Ok(())
}

fn in_force(relaxation: &Relaxation, out: Output) {
    if out == Output::Json {
        output::json(&json!({ "relaxation": relaxation, "state": "in force" }));
    }
    output::note(format_args!(
        "{}. It counts from the router's next marker; `kenh rule restore {}` ends it earlier",
        line(relaxation),
        relaxation.id
    ));
}

/// Appends an event that needs no signature, or says why it would not count.
fn count(event: &ControlEvent, set: &ControlSet, log: Option<&dyn Log>, now: i64) -> Result<(), Failure> {
    let log = log.ok_or_else(|| Failure::because("there is no bus here yet; `kenh apply` makes one"))?;
    hand_in(&Request::new(set, event, None)?, log, now)
}
