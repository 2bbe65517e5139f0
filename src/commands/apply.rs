//! `kenh apply PATH… [--plan]`: what declared state would change, and making it so.
//!
//! Nothing is changed while anything is wrong: every problem is listed with file, line and hint, and the exit code is 3.
//! Where kenh.yaml names a registry beside ours, what is released is then registered there ([`elsewhere`]).

use kenh_domain::control::ControlSet;
use kenh_governance::plan::{Action, Change};
use kenh_governance::{Applied, Plan, Problem};
use serde_json::json;

use super::{Failure, elsewhere};
use crate::cli::{Apply, Output};
use crate::config::Config;
use crate::node::Node;
use crate::output;
use crate::time::now_ms;

/// `kenh apply`
pub fn run(apply: &Apply, config: &Config, output: Output) -> Result<(), Failure> {
    let declared = kenh_governance::read(&apply.paths).map_err(|problems| refused(&problems, output))?;
    let now = now_ms();
    // A plan, and one that is refused, makes no node where there is none.
    let existing = Node::existing(config)?.map(|reach| reach.log());
    let (set, topics) = match &existing {
        Some(log) => (kenh_governance::load(&**log)?, log.topics()?),
        None => (ControlSet::default(), Vec::new()),
    };
    let plan = kenh_governance::plan(&declared, &set, &topics, now).map_err(|problems| refused(&problems, output))?;
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
