//! `kenh key …` and `kenh sign`: what a person does with a key of their own, on any machine, without a node.
//!
//! A passphrase is typed at the terminal, or named by reference (`file:PATH`, `env:NAME`); it never stands in arguments.

use std::io::IsTerminal;
use std::path::Path;

use kenh_domain::control::ControlEvent;
use kenh_domain::date::DAY_MS;
use kenh_domain::names::Person;
use kenh_domain::trust::{Document, Verdict};
use kenh_governance::trust::key::MIN_PASSPHRASE_CHARS;
use kenh_governance::trust::{BusId, KeyFile, Passphrase, PrivateKey, Request};
use serde_json::json;

use super::Failure;
use crate::cli::{KeyCommand, Output, Sign};
use crate::output;
use crate::time::{moment, now_ms};

/// `kenh key new|show|rotate`
pub fn run(command: &KeyCommand, output: Output) -> Result<(), Failure> {
    match command {
        KeyCommand::New { whose, out, passphrase } => {
            let person = whose.person.clone();
            let key = PrivateKey::generate(person)?;
            let file = key.seal(&ask(passphrase.as_deref(), out, true)?)?;
            file.write_new(out)?;
            show(&file, output);
            output::note(format_args!("sealed in {}; without its passphrase nobody opens it again", out.display()));
        }
        KeyCommand::Show { key } => show(&KeyFile::read(key)?, output),
        KeyCommand::Rotate { from, to, bus, out, passphrase, days } => {
            let (old, new) = (KeyFile::read(from)?, KeyFile::read(to)?);
            if old.person != new.person {
                return Err(Failure::Usage(
                    "the two keys are of two persons; a key is changed for another of one's own".into(),
                ));
            }
            let event = match &old.person {
                Some(person) => ControlEvent::Rotation { person: person.clone(), from: old.public, to: new.public },
                None => ControlEvent::Root { key: new.public },
            };
            let signing =
                signed(*bus, &event, &[(&old, from.as_path()), (&new, to.as_path())], passphrase.as_deref(), *days)?;
            signing.write(out)?;
            told(&signing, &event, out, output);
        }
        KeyCommand::Spare { root, spare, before, bus, out, passphrase, days } => {
            let (root_file, spare_file) = (KeyFile::read(root)?, KeyFile::read(spare)?);
            let before_file = before.as_deref().map(KeyFile::read).transpose()?;
            let mut keys = vec![(&root_file, root.as_path()), (&spare_file, spare.as_path())];
            keys.extend(before_file.as_ref().zip(before.as_deref()));
            if let Some(person) = keys.iter().find_map(|(file, _)| file.person.as_ref()) {
                return Err(Failure::Usage(format!("a key of {person} is no root key; make one: kenh key new --root")));
            }
            let event = ControlEvent::Spare { key: spare_file.public };
            let signing = signed(*bus, &event, &keys, passphrase.as_deref(), *days)?;
            signing.write(out)?;
            told(&signing, &event, out, output);
        }
    }
    Ok(())
}

/// An event, signed with several keys of one person or of the root.
fn signed(
    bus: BusId,
    event: &ControlEvent,
    keys: &[(&KeyFile, &Path)],
    passphrase: Option<&str>,
    days: u8,
) -> Result<Request, Failure> {
    let mut request = Request::of(bus, event, None)?;
    for (file, path) in keys {
        let key = file.open(&ask(passphrase, path, false)?)?;
        request.sign(&key, now_ms(), i64::from(days) * DAY_MS).map_err(refused)?;
    }
    Ok(request)
}

/// `kenh sign FILE --key KEY`
pub fn sign(sign: &Sign, output: Output) -> Result<(), Failure> {
    let mut request = Request::read(&sign.file).map_err(refused)?;
    let event = request.event()?;
    // Read before anything is asked for: what is signed, and not what somebody says it is.
    words(&request, &event).iter().for_each(output::note);
    let file = KeyFile::read(&sign.key)?;
    let key = file.open(&ask(sign.passphrase.as_deref(), &sign.key, false)?)?;
    request.sign(&key, now_ms(), i64::from(sign.days) * DAY_MS).map_err(refused)?;
    request.write(&sign.file)?;
    told(&request, &event, &sign.file, output);
    Ok(())
}

/// A request that a rule refuses: exit 3.
pub fn refused(error: kenh_governance::trust::RequestError) -> Failure {
    if matches!(error, kenh_governance::trust::RequestError::File { .. }) {
        return error.into();
    }
    output::note(format_args!("kenh: {}", kenh_domain::error::chain(&error)));
    Failure::Rejected
}

fn show(file: &KeyFile, output: Output) {
    let whose = file.person.as_ref().map_or("the root", Person::as_str);
    if output == Output::Json {
        output::json(&json!({ "person": file.person, "public": file.public }));
    } else {
        output::line(format_args!("{whose} {}", file.public));
    }
}

/// What a request says, for whoever is about to sign it.
pub fn words(request: &Request, event: &ControlEvent) -> Vec<String> {
    let mut words = match event {
        ControlEvent::Roster(roster) => {
            let member = |m: &kenh_domain::trust::Member| {
                let role = |t: &kenh_domain::trust::Tenure| match &t.deputy_for {
                    Some(other) => format!("{} for {other}", t.role),
                    None => t.role.to_string(),
                };
                let roles: Vec<_> = m.roles.iter().map(role).collect();
                format!("  {} of {}: {}; {} keys", m.person, m.agency, roles.join(", "), m.keys.len())
            };
            let head = format!("roster {} of {} persons:", roster.number, roster.persons.len());
            std::iter::once(head).chain(roster.persons.iter().map(member)).collect()
        }
        ControlEvent::Root { key } => vec![format!("from now on the root signs with {key}")],
        ControlEvent::Spare { key } => {
            vec![format!("from now on {key} may replace the root's key, should that be lost")]
        }
        ControlEvent::Rotation { person, from, to } => {
            vec![format!("from now on {person} signs with {to}, and no longer with {from}")]
        }
        ControlEvent::Agency(agency) => {
            let systems: Vec<_> = agency.systems.iter().map(ToString::to_string).collect();
            vec![format!("agency {} ({}), acting through: {}", agency.name, agency.title, systems.join(", "))]
        }
        ControlEvent::Proposal(proposal) => {
            vec![
                format!("{} proposes {} as {}", proposal.author, proposal.document.subject(), proposal.id),
                document(&proposal.document),
            ]
        }
        ControlEvent::Vote(vote) => {
            let verdict = match vote.verdict {
                Verdict::Approve => "approves",
                Verdict::Refuse => "refuses",
                Verdict::TakeUp => "takes up",
                Verdict::AdviseFor => "advises for",
                Verdict::AdviseAgainst => "advises against",
            };
            vec![
                format!("{} {verdict} {} {}", vote.person, vote.proposal, vote.grounds()),
                format!("  document sha256 {}", vote.document_sha256),
                format!("  page sha256     {}", vote.page_sha256),
            ]
        }
        ControlEvent::Restoration { relaxation, because } => {
            vec![format!("relaxation {relaxation} ends before its time {because}")]
        }
        ControlEvent::End { view_no, reason, .. } => vec![format!("view {} ends: {reason:?}", view_no.0)],
        ControlEvent::Epoch { dataset, provider, epoch, by } => {
            vec![format!("{provider} starts epoch {epoch} in {dataset}, by {} and {}", by[0], by[1])]
        }
        // Everything else is shown word for word.
        _ => serde_json::to_string_pretty(&request.event).unwrap_or_default().lines().map(String::from).collect(),
    };
    words.push(format!("on the bus {}", request.bus));
    words.extend(request.page.iter().flat_map(|page| page.lines().map(String::from)));
    words
}

fn document(document: &Document) -> String {
    format!("  document sha256 {}", document.digest())
}

/// What the request has now.
pub fn told(request: &Request, event: &ControlEvent, file: &Path, output: Output) {
    let by: Vec<_> = request.signatures.iter().map(|s| (s.who().to_string(), s.expires_ms)).collect();
    if output == Output::Json {
        let signatures: Vec<_> = by.iter().map(|(who, at)| json!({ "by": who, "expiresMs": at })).collect();
        output::json(&json!({ "file": file, "event": request.event["kind"], "signatures": signatures }));
        return;
    }
    let what = words(request, event).into_iter().next().unwrap_or_default();
    output::line(format_args!("{}: {what}", file.display()));
    for (who, expires_ms) in by {
        output::line(format_args!("  signed by {who}, to be handed in before {}", moment(expires_ms)));
    }
}

/// A passphrase: by reference, or typed (twice where it seals something new).
pub fn ask(reference: Option<&str>, file: &Path, twice: bool) -> Result<Passphrase, Failure> {
    if let Some(reference) = reference {
        let text = if let Some(path) = reference.strip_prefix("file:") {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::because(format!("the passphrase in {path} cannot be read: {e}")))?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        } else if let Some(name) = reference.strip_prefix("env:") {
            std::env::var(name).map_err(|_| Failure::Usage(format!("the variable {name} is not set")))?
        } else {
            let words = "a passphrase is named by reference only: file:PATH or env:NAME (arguments are seen by others)";
            return Err(Failure::Usage(words.into()));
        };
        return Ok(Passphrase::new(text));
    }
    if !std::io::stdin().is_terminal() {
        let words =
            "there is no terminal to ask for the passphrase at: name it with --passphrase file:PATH or env:NAME";
        return Err(Failure::Usage(words.into()));
    }
    let text = rpassword::prompt_password(format!("passphrase of {}: ", file.display()))?;
    if twice {
        if text.chars().count() < MIN_PASSPHRASE_CHARS {
            return Err(Failure::because(format!("a passphrase has at least {MIN_PASSPHRASE_CHARS} characters")));
        }
        if rpassword::prompt_password("once more: ")? != text {
            return Err(Failure::because("the two are not the same; nothing was made"));
        }
    }
    Ok(Passphrase::new(text))
}
