//! `kenh apply PATH… [--plan]`: what declared state would change, and making it so.
//!
//! Nothing is changed while anything is wrong: every problem is listed with file, line and hint, and the exit code is 3.
//! Where kenh.yaml names a registry beside ours, what is released is then registered there ([`elsewhere`]).
//! On a bus whose decisions are signed the same goes for whatever lacks a signature or an approval: `--to-sign FOLDER`
//! writes what can be signed as it is, and the rest is put to the vote.

use kenh_domain::control::ControlSet;
use kenh_governance::plan::{Action, Change};
use kenh_governance::trust::{Withheld, withheld};
use kenh_governance::{Applied, Plan, Problem};
use serde_json::json;

use super::{Failure, elsewhere};
use crate::cli::{Apply, Output};
use crate::config::Config;
use crate::node::{Node, unsigned};
use crate::output;
use crate::time::now_ms;

/// `kenh apply`
pub fn run(apply: &Apply, config: &Config, output: Output) -> Result<(), Failure> {
    let declared = kenh_governance::read(&apply.paths).map_err(|problems| refused(&problems, output))?;
    // A plan, and one that is refused, makes no node where there is none.
    let existing = Node::existing(config)?.map(|reach| reach.log());
    let (set, topics) = match &existing {
        Some(log) => (kenh_governance::load(&**log)?, log.topics()?),
        None => (ControlSet::default(), Vec::new()),
    };
    // A clock that was set back does not date a decision before the one it follows.
    let now = now_ms().max(set.at_ms);
    let mut plan =
        kenh_governance::plan(&declared, &set, &topics, now).map_err(|problems| refused(&problems, output))?;
    if let Some(log) = &existing {
        plan.mend(log.drifted()?);
    }
    // An empty bus begins unsigned with the first that is applied.
    unsigned::may_hold(config.bootstrap(), plan.after.trust.as_ref())?;
    let missing = withheld(&set, &plan.events, now);
    if !missing.is_empty() {
        return Err(lacking(&missing, &set, &plan, apply, output));
    }
    let (applied, log) = if apply.plan || plan.is_empty() {
        (None, existing)
    } else {
        let log = match existing {
            Some(log) => log,
            None => Node::reach(config)?.log(),
        };
        (Some(kenh_governance::apply(&*log, &plan, now)?), Some(log))
    };
    let elsewhere = match (&config.registry, log) {
        (Some(to), Some(log)) if !apply.plan => Some(elsewhere::register(to, &kenh_governance::load(&*log)?)),
        _ => None,
    };
    if output == Output::Json {
        output::json(&json!({
            "changes": plan.changes,
            "applied": applied.map(|a| json!({ "events": a.events, "topics": a.topics, "position": a.position })),
            "registeredElsewhere": elsewhere.as_ref().and_then(|registered| registered.as_ref().ok()),
        }));
    } else {
        show(&plan, applied.as_ref(), apply.plan);
        if let Some(Ok(versions)) = &elsewhere {
            output::line(format_args!("the other registry: {versions} versions of subjects registered"));
        }
    }
    // What was applied stays so, and was said.
    elsewhere.transpose()?;
    Ok(())
}

/// Lists what lacks signatures or approvals, and writes what can be signed where that was asked for. Exit 3: nothing was
/// changed.
fn lacking(missing: &[Withheld], set: &ControlSet, plan: &Plan, apply: &Apply, output: Output) -> Failure {
    let mut rows = Vec::new();
    for (n, one) in missing.iter().enumerate() {
        let file = match (one.request(set), &apply.to_sign) {
            (Ok(Some(request)), Some(folder)) => {
                // Numbered: they are handed in in this order.
                let name = format!("{:03}-{}.json", n + 1, one.what().replace(' ', "-"));
                let path = folder.join(name);
                let written = std::fs::create_dir_all(folder).map_err(Failure::from);
                match written.and_then(|()| request.write(&path).map_err(Failure::from)) {
                    Ok(()) => Some(path),
                    Err(failure) => return failure,
                }
            }
            (Err(error), _) => return error.into(),
            _ => None,
        };
        rows.push((one, file));
    }
    if output == Output::Json {
        let row = |(one, file): &(&Withheld, Option<std::path::PathBuf>)| json!({"what": one.what(), "lacks": one.why.to_string(), "hint": one.hint(), "toSign": file});
        output::json(&json!({ "changes": plan.changes, "withheld": rows.iter().map(row).collect::<Vec<_>>() }));
    }
    for (one, file) in &rows {
        output::note(format_args!("{}: {}", one.what(), one.why));
        match file {
            Some(file) => output::note(format_args!("  to sign: {}", file.display())),
            None if !one.hint().is_empty() => output::note(format_args!("  {}", one.hint())),
            None => {}
        }
    }
    let n = missing.len();
    output::note(format_args!(
        "kenh: {n} decision{} lack{} signatures or approvals; nothing was changed",
        if n == 1 { "" } else { "s" },
        if n == 1 { "s" } else { "" },
    ));
    Failure::Rejected
}

fn show(plan: &Plan, applied: Option<&Applied>, only_plan: bool) {
    for change in plan.changes.iter().filter(|c| c.action != Action::Unchanged) {
        output::line(line(change));
    }
    let counts = format!(
        "{} to create, {} to change, {} to end, {} unchanged",
        plan.count(Action::Create),
        plan.count(Action::Change),
        plan.count(Action::End),
        plan.count(Action::Unchanged),
    );
    match applied {
        _ if plan.is_empty() => {
            output::line(format_args!("nothing to do: {} unchanged", plan.count(Action::Unchanged)))
        }
        Some(applied) => output::line(format_args!(
            "{counts}\napplied: {} control events, {} topics made; the control log stands at {}",
            applied.events, applied.topics, applied.position
        )),
        None if only_plan => output::line(format_args!("{counts}\nnothing was changed: --plan only shows")),
        None => output::line(counts),
    }
}

fn line(change: &Change) -> String {
    let mark = match change.action {
        Action::Create => '+',
        Action::Change => '~',
        Action::End => '-',
        Action::Unchanged => ' ',
    };
    format!("{mark} {change}")
}

/// Lists what is wrong.
pub fn refused(problems: &[Problem], output: Output) -> Failure {
    if output == Output::Json {
        let rows: Vec<_> = problems
            .iter()
            .map(|p| {
                let (line, column) = p.at.map_or((None, None), |at| (Some(at.line), Some(at.column)));
                json!({"file": p.file, "line": line, "column": column, "message": p.message, "hint": p.hint})
            })
            .collect();
        output::json(&json!({ "problems": rows }));
    }
    for problem in problems {
        output::note(problem);
    }
    let n = problems.len();
    output::note(format_args!(
        "kenh: {n} problem{} in declared state; nothing was changed",
        if n == 1 { "" } else { "s" }
    ));
    Failure::Rejected
}
