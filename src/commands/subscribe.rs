//! `kenh subscribe AGENCY`: keep the agency's copies, wherever the log is: in this directory, at the node that runs on it, or
//! on a cluster, under the agency's own certificate. `--once` stops when the copies hold everything that is available now.

use std::sync::Arc;
use std::time::Duration;

use kenh_consumers::subscriber::{self, CopyState, Subscriber};

use super::Failure;
use crate::cli::{Output, Subscribe};
use crate::config::{Config, Store};
use crate::node::known::Known;
use crate::node::run::{RoleSet, Roles, open_store};
use crate::node::{Node, Reach, signal};
use crate::output;
use crate::output::thousands;
use crate::status::CopyStatus;
use crate::telemetry::Telemetry;
use crate::time::{moment, now_ms};

/// How long one turn waits for something new.
const WAIT: Duration = Duration::from_millis(50);
/// Idle turns after which a copy that is complete will not get more at once.
const SETTLED: usize = 3;

/// `kenh subscribe`
pub fn run(subscribe: &Subscribe, config: &Config, output: Output) -> Result<(), Failure> {
    let store = config.store(subscribe.store).map_err(|e| Failure::Usage(e.to_string()))?;
    let telemetry = config.otlp.as_deref().map(|to| Telemetry::start(to, "subscribe")).transpose()?;
    let reach = Node::reach(config)?;
    // Where nobody runs the bus, we do: cards and positions are written by its roles.
    let roles = match &reach {
        Reach::Local(node) => Some(Roles::start(node, RoleSet::BUS, &[])?),
        Reach::Remote(..) | Reach::Cluster(_) => None,
    };
    let kept = keep(subscribe, config, &reach, &store, output);
    let stopped = roles.map_or(Ok(()), Roles::stop);
    if let Some(telemetry) = telemetry {
        telemetry.stop();
    }
    kept.and(stopped)
}

fn keep(subscribe: &Subscribe, config: &Config, reach: &Reach, store: &Store, output: Output) -> Result<(), Failure> {
    let log = reach.log();
    let agency = &subscribe.agency;
    let known = Known::of(reach)?;
    let system = known.system(agency, subscribe.system.as_ref())?;
    let Known { set, guest, .. } = &known;
    // An agency is told of its views by cards alone.
    let granted = set.views.values().any(|v| &v.activation.grant.recipient == agency && v.in_force(now_ms()));
    if !granted && guest.is_none() {
        output::note(format_args!("no grant in force names {agency} as recipient; nothing will come until one does"));
    }
    let store = open_store(&crate::node::copies_dir(&config.data, agency), agency, store)?;
    let config = subscriber::Config::new(log, agency.clone(), system, store, Arc::new(now_ms));
    let mut subscriber = Subscriber::open(config)?;
    let stats = subscriber.stats();
    if subscribe.once {
        until_complete(&mut subscriber, granted)?;
    } else {
        output::note(format_args!("keeping the copies of {agency}; Ctrl-C ends it"));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::Builder::new().name("subscriber".into()).spawn(move || {
            subscriber.run(&stopping);
        })?;
        let waited = signal::wait(|| thread.is_finished());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if thread.join().is_err() {
            return Err(Failure::because("the subscriber panicked"));
        }
        waited?;
    }
    let last = stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if guest.is_some() && last.copies.is_empty() {
        output::note(format_args!("no view card has come for {agency}; none will until a grant names it"));
    }
    report(agency, &last, output);
    Ok(())
}

/// Turns until every copy is live and complete and nothing more comes.
fn until_complete(subscriber: &mut Subscriber, granted: bool) -> Result<(), Failure> {
    let stats = subscriber.stats();
    let mut settled = 0;
    loop {
        let turn = subscriber.turn(WAIT)?;
        let now = stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let complete = now.copies.iter().all(|c| match c.state {
            CopyState::Live => c.complete,
            CopyState::Filling => false,
            CopyState::Ended | CopyState::Refused(_) => true,
        });
        let begun = now.told && (!granted || !now.copies.is_empty());
        settled = if turn.is_idle() && complete && begun { settled + 1 } else { 0 };
        if settled == SETTLED {
            return Ok(());
        }
    }
}

fn report(agency: &kenh_domain::names::Agency, stats: &subscriber::Stats, output: Output) {
    let rows: Vec<_> = stats.copies.iter().map(|c| CopyStatus::new(agency, c)).collect();
    if output == Output::Json {
        output::json(&rows);
        return;
    }
    output::table(
        &["dataset", "view", "edition#", "state", "rows#", "inserted#", "updated#", "left#", "complete as of"],
        rows.iter().map(|c| {
            vec![
                c.dataset.clone(),
                c.view.clone(),
                c.edition.to_string(),
                c.reason.as_ref().map_or_else(|| c.state.clone(), |why| format!("{}: {why}", c.state)),
                thousands(c.rows),
                thousands(c.inserted),
                thousands(c.updated),
                thousands(c.left),
                c.clock_ms.map_or_else(|| "-".into(), moment),
            ]
        }),
    );
}
