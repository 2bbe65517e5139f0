//! `kenh roster …` and `kenh submit`: the root's part, and carrying what others have signed.

use kenh_domain::control::{ControlEvent, Trust};
use kenh_domain::date::DAY_MS;
use kenh_domain::error::chain;
use kenh_governance::Problem;
use kenh_governance::trust::{self, KeyFile, Request, SubmitError};
use serde_json::json;

use super::Failure;
use super::key::{ask, refused, told};
use crate::cli::{Output, RosterCommand, Submit};
use crate::config::Config;
use crate::node::Node;
use crate::output;
use crate::time::{day, now_ms};

/// `kenh roster sign`: no node, no configuration.
pub fn sign(command: &RosterCommand, output: Output) -> Result<(), Failure> {
    let RosterCommand::Sign { file, key, bus, out, days, passphrase } = command else { return Ok(()) };
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::because(format!("{} cannot be read: {e}", file.display())))?;
    let roster =
        trust::read_roster(file, &text).map_err(|problems: Vec<Problem>| super::apply::refused(&problems, output))?;
    let event = ControlEvent::Roster(Box::new(roster));
    let mut request = Request::of(*bus, &event, None).map_err(refused)?;
    super::key::words(&request, &event).iter().for_each(output::note);
    let sealed = KeyFile::read(key)?;
    let opened = sealed.open(&ask(passphrase.as_deref(), key, false)?)?;
    request.sign(&opened, now_ms(), i64::from(*days) * DAY_MS).map_err(refused)?;
    request.write(out)?;
    told(&request, &event, out, output);
    Ok(())
}

/// `kenh roster found|show`
pub fn run(command: &RosterCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        RosterCommand::Found { root } => {
            let log = Node::reach(config)?.log();
            match trust::found(&*log, *root, now_ms()) {
                Ok(bus) => {
                    if output == Output::Json {
                        output::json(&json!({ "bus": bus.to_string(), "root": root }));
                    } else {
                        output::line(format_args!("bus {bus}"));
                        output::note(
                            "from here on, a decision counts only with signatures that lead back to this root, for ever",
                        );
                    }
                    Ok(())
                }
                Err(error @ trust::FoundError::There(_)) => {
                    output::note(format_args!("kenh: {error}"));
                    Err(Failure::Rejected)
                }
                Err(error) => Err(error.into()),
            }
        }
        RosterCommand::Show => show(config, output),
        RosterCommand::Sign { .. } => sign(command, output),
    }
}

fn show(config: &Config, output: Output) -> Result<(), Failure> {
    let Some(reach) = Node::existing(config)? else {
        return Err(Failure::because(
            "there is no node yet, and so no roster; `kenh roster found` makes a bus with a root",
        ));
    };
    let set = kenh_governance::load(&*reach.log())?;
    let now = now_ms();
    let bus = kenh_domain::trust::PublicKey(set.bus).to_string();
    if output == Output::Json {
        output::json(&json!({
            "signed": set.is_signed(),
            "bus": bus,
            "root": set.root,
            "spare": set.spare,
            "roster": set.roster,
        }));
        return Ok(());
    }
    if !matches!(set.trust, Some(Trust::Root(_))) {
        output::line("unsigned: nobody signs on this bus; it is for one machine or loopback only");
        return Ok(());
    }
    let root = set.root.map_or_else(String::new, |key| key.to_string());
    let spare = set.spare.map_or_else(|| "none: `kenh key spare` names one".to_owned(), |key| key.to_string());
    output::line(format_args!("bus   {bus}\nroot  {root}\nspare {spare}"));
    let Some(roster) = &set.roster else {
        output::line("no roster yet: `kenh roster sign`, then `kenh submit`");
        return Ok(());
    };
    output::line(format_args!("roster {}", roster.number));
    let span = |from: i64, until: Option<i64>| match (from, until) {
        (_, Some(until)) if until <= now => format!(" (over since {})", day(until)),
        (from, _) if from > now => format!(" (from {})", day(from)),
        (_, Some(until)) => format!(" (until {})", day(until - 1)),
        _ => String::new(),
    };
    let rows = roster.persons.iter().map(|m| {
        let role = |t: &kenh_domain::trust::Tenure| {
            let deputy = t.deputy_for.as_ref().map_or(String::new(), |p| format!(" for {p}"));
            format!("{}{deputy}{}", t.role, span(t.from_ms, t.until_ms))
        };
        let keys: Vec<_> = m.keys.iter().map(|k| format!("{}{}", k.public, span(k.from_ms, k.until_ms))).collect();
        let roles: Vec<_> = m.roles.iter().map(role).collect();
        vec![m.person.to_string(), m.agency.to_string(), roles.join(", "), keys.join(" ")]
    });
    output::table(&["person", "agency", "roles", "keys"], rows);
    Ok(())
}

/// `kenh submit FILE…`
pub fn submit(submit: &Submit, config: &Config, output: Output) -> Result<(), Failure> {
    let requests: Vec<_> =
        submit.files.iter().map(|file| Request::read(file).map_err(refused)).collect::<Result<_, _>>()?;
    let Some(reach) = Node::existing(config)? else {
        return Err(Failure::because("there is no node here to hand this in at"));
    };
    let log = reach.log();
    let mut done = Vec::new();
    for (file, request) in submit.files.iter().zip(&requests) {
        match trust::submit(&*log, request, now_ms()) {
            Ok(position) => done.push(json!({ "file": file, "position": position })),
            Err(error) if error.is_refusal() => {
                output::note(format_args!("kenh: {}: {}", file.display(), chain(&error)));
                if let SubmitError::OtherBus { .. } = error {
                    output::note("  it was signed for another bus, and counts nowhere else");
                }
                if !done.is_empty() {
                    output::note(format_args!("  the {} before it were handed in", done.len()));
                }
                return Err(Failure::Rejected);
            }
            Err(error) => return Err(error.into()),
        }
        if output == Output::Table {
            output::line(format_args!("{}: handed in", file.display()));
        }
    }
    if output == Output::Json {
        output::json(&done);
    }
    Ok(())
}
