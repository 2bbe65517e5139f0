//! `kenh law …`: the articles that grants stand on, and what ends with them. `kenh agency …`: what is to be signed again.

use kenh_domain::control::{ControlEvent, ViewEntry};
use kenh_domain::law::Article;
use kenh_governance::life;
use serde_json::json;

use super::{Failure, grant};
use crate::cli::{AgencyCommand, LawCommand, Output};
use crate::config::Config;
use crate::output;
use crate::time::{day, now_ms};

/// `kenh law …`
pub fn run(command: &LawCommand, config: &Config, out: Output) -> Result<(), Failure> {
    let (log, set) = super::show::load(config)?;
    let now = now_ms();
    match command {
        LawCommand::List => {
            let rows = set.articles.values().map(|a| (a, life::resting_on(&set, a, now).len()));
            if out == Output::Json {
                let rows: Vec<_> = rows.map(|(a, n)| json!({"article": a, "grants": n})).collect();
                output::json(&rows);
                return Ok(());
            }
            output::table(
                &["article", "citation", "from", "until", "state", "grants#"],
                rows.map(|(a, n)| {
                    let until = a.until.map_or_else(|| "-".into(), |day| day.to_string());
                    let state = if a.in_force(now) { "in force" } else { "not in force" };
                    vec![a.id.to_string(), a.citation.clone(), a.from.to_string(), until, state.into(), n.to_string()]
                }),
            );
        }
        LawCommand::Repeal { id, until, plan, request } => {
            let known = set.articles.get(id).ok_or_else(|| {
                Failure::because(format!("there is no article {id}; `kenh law list` shows those on record"))
            })?;
            let changed = Article { until: Some(*until), ..known.clone() };
            let standing = life::resting_on(&set, known, now);
            let event = ControlEvent::Law(changed);
            // What cannot be set is not planned either; on a signed bus whoever takes the signed event in says so.
            if !set.is_signed() {
                kenh_governance::Plan::of_events(&set, vec![event.clone()], now).map_err(Failure::because)?;
            }
            show(&standing, out);
            let n = standing.len();
            if *plan {
                output::note(format_args!(
                    "{n} grants stand on {id} and end with {until} unless they are based on another article before; \
                     nothing was changed: --plan only shows"
                ));
                return Ok(());
            }
            if set.is_signed() {
                let file = request.clone().unwrap_or_else(|| format!("{id}.law.json").into());
                return grant::to_sign(&set, &[event], &file);
            }
            grant::decide(&set, vec![event], log.as_deref(), now)?;
            output::note(format_args!(
                "the last day of {id} is {until}; {n} grants end with it unless they are based on another article before"
            ));
        }
    }
    Ok(())
}

/// `kenh agency …`
pub fn agency(command: &AgencyCommand, config: &Config, out: Output) -> Result<(), Failure> {
    let (_, set) = super::show::load(config)?;
    let AgencyCommand::Supersede { old, new } = command;
    if let Some(unknown) = [old, new].into_iter().find(|name| !set.agencies.contains_key(*name)) {
        return Err(Failure::because(format!("there is no agency {unknown}; declare it in broker-config/agencies/")));
    }
    if old == new {
        return Err(Failure::Usage(format!("{old} does not take its own place: name the agency that comes second")));
    }
    let touched = life::touched_by(&set, old, now_ms());
    show(&touched, out);
    output::note(format_args!(
        "{} grants name {old}, or a dataset that it answers for: write each anew for {new}, end the old one in the same \
         run, and have it signed; nothing was changed",
        touched.len()
    ));
    Ok(())
}

fn show(views: &[&ViewEntry], out: Output) {
    if out == Output::Json {
        let rows: Vec<_> = views
            .iter()
            .map(|v| {
                let g = &v.activation.grant;
                json!({"grant": g.id, "recipient": g.recipient, "dataset": g.dataset, "view": g.view,
                    "legalBasis": g.legal_basis, "endsMs": v.activation.ends_ms})
            })
            .collect();
        output::json(&rows);
        return;
    }
    output::table(
        &["grant", "recipient", "dataset", "legal basis", "until"],
        views.iter().map(|v| {
            let g = &v.activation.grant;
            vec![
                g.id.to_string(),
                g.recipient.to_string(),
                g.dataset.to_string(),
                g.legal_basis.join("; "),
                day(v.activation.ends_ms - 1),
            ]
        }),
    );
}
