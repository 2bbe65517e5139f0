//! `kenh review …`: what is put to the vote, its pages, and the votes.
//!
//! A review lies in a folder (`reviews/<id>` unless said otherwise): the pages, the document, and the requests to sign.
//! What is signed is the SHA-256 of `review.md` and of the document; both are compared with the control log before a page
//! is shown and before a vote is cast, so that nobody votes on a page that was changed on its way.
//!
//! On a bus whose decisions are signed, a proposal and a vote are written as requests; their person signs them, on
//! another machine if they like, and anybody hands them in. On an unsigned bus they count at once.

use std::path::{Path, PathBuf};

use kenh_domain::control::{ControlEvent, ControlSet};
use kenh_domain::date::DAY_MS;
use kenh_domain::grant::Grant;
use kenh_domain::log::Log;
use kenh_domain::names::{Person, ProposalId};
use kenh_domain::rule::Lang;
use kenh_domain::trust::proposal::Subject;
use kenh_domain::trust::{Document, Proposal, Standing, Verdict, Vote, needs};
use kenh_governance::review::page::{self, SIGNED};
use kenh_governance::review::{Counts, Review, Severity, examine_grant, pages};
use kenh_governance::trust::{Request, submit};
use serde_json::json;

use super::{Failure, apply};
use crate::cli::{BallotArgs, Cast, Language, Output, PageFormat, ProposeGrant, ReviewCommand};
use crate::config::Config;
use crate::output;
use crate::time::{day, moment, now_ms};

/// Longest time that a vote may be open, in days: what was examined then is no longer what is in force.
const MAX_DAYS: u16 = 90;

/// `kenh review …`
pub fn run(command: &ReviewCommand, config: &Config, out: Output) -> Result<(), Failure> {
    if let ReviewCommand::Sign(sign) = command {
        return super::key::sign(sign, out);
    }
    let (log, set) = super::show::load(config)?;
    let log = log.as_deref();
    match command {
        ReviewCommand::Sign(_) => Ok(()),
        ReviewCommand::List => list(&set, out),
        ReviewCommand::Show { id, dir, format, lang } => show(find(&set, id)?, dir, (*format, *lang), &set, out),
        ReviewCommand::Grant(asked) => grant(asked, &set, log, out),
        ReviewCommand::Approve(cast) => vote(cast, Verdict::Approve, &set, log, out),
        ReviewCommand::Refuse(cast) => vote(cast, Verdict::Refuse, &set, log, out),
        ReviewCommand::TakeUp(cast) => vote(cast, Verdict::TakeUp, &set, log, out),
        ReviewCommand::Advise { cast, against } => {
            let verdict = if *against { Verdict::AdviseAgainst } else { Verdict::AdviseFor };
            vote(cast, verdict, &set, log, out)
        }
    }
}

/// What is put to the vote.
pub struct Ballot<'a> {
    /// Under which name.
    pub id: ProposalId,
    /// The document.
    pub document: Document,
    /// What was found.
    pub review: Review,
    /// Who proposes it.
    pub author: &'a Person,
    /// The folder for its files; none: `reviews/` and its name.
    pub dir: &'a Option<PathBuf>,
    /// Until when votes count: milliseconds since 1970 (UTC), exclusive.
    pub deadline_ms: i64,
}

/// Until when votes count: milliseconds since 1970 (UTC).
pub fn deadline(args: &BallotArgs, now: i64) -> Result<i64, Failure> {
    if args.days == 0 || args.days > MAX_DAYS {
        return Err(Failure::Usage(format!("a vote is open for 1 to {MAX_DAYS} days")));
    }
    Ok(now + i64::from(args.days) * DAY_MS)
}

/// Writes the files of a review, and puts it to the vote unless something blocks it.
pub fn propose(
    ballot: Ballot<'_>,
    set: &ControlSet,
    log: Option<&dyn Log>,
    out: Output,
    now: i64,
) -> Result<(), Failure> {
    let Ballot { id, document, review, author, dir, deadline_ms } = ballot;
    let made = pages(&review);
    let dir = folder(dir, &id);
    std::fs::create_dir_all(&dir)?;
    for page in &made.pages {
        std::fs::write(dir.join(page.name), &page.text)?;
    }
    std::fs::write(dir.join(SIGNED), &made.signed)?;
    std::fs::write(dir.join("document.json"), serde_json::to_vec_pretty(&document)?)?;
    std::fs::write(dir.join("review.json"), serde_json::to_vec_pretty(&review)?)?;
    let digests = (document.digest(), made.digest());
    told(&review, out);
    if review.blocked() {
        answer(out, &id, &dir, &digests, &review, "blocked");
        output::note(format_args!(
            "kenh: something blocks it; nothing was proposed. Correct it and propose again; the page is in {}",
            dir.display()
        ));
        return Err(Failure::Rejected);
    }
    let (Some(log), Some(_)) = (log, &set.trust) else {
        answer(out, &id, &dir, &digests, &review, "examined");
        output::note(format_args!(
            "there is no bus yet, so that nothing is put to the vote: `kenh apply` begins one. The page is in {}",
            dir.display()
        ));
        return Ok(());
    };
    let proposal =
        Proposal { id: id.clone(), document, page_sha256: digests.1.clone(), author: author.clone(), deadline_ms };
    let event = ControlEvent::Proposal(Box::new(proposal));
    let file = dir.join("proposal.json");
    let state = put(&event, Some(made.signed), &file, set, log, now)?;
    answer(out, &id, &dir, &digests, &review, state);
    if state == "to-sign" {
        output::note(format_args!(
            "{author} signs {} with `kenh sign`, and anybody hands it in with `kenh submit`",
            file.display()
        ));
    } else {
        output::note(format_args!("{id} is put to the vote until {}", moment(deadline_ms)));
    }
    Ok(())
}

/// Appends an event where nothing is signed, else writes it as a request to `file`. What would not count is refused.
fn put(
    event: &ControlEvent,
    page: Option<String>,
    file: &Path,
    set: &ControlSet,
    log: &dyn Log,
    now: i64,
) -> Result<&'static str, Failure> {
    let request = Request::new(set, event, page)?;
    if set.is_signed() {
        request.write(file)?;
        return Ok("to-sign");
    }
    hand_in(&request, log, now)?;
    Ok("counts")
}

/// Appends a request as it stands. What would not count is refused: exit 3.
pub fn hand_in(request: &Request, log: &dyn Log, now: i64) -> Result<(), Failure> {
    match submit(log, request, now) {
        Ok(_) => Ok(()),
        Err(error) if error.is_refusal() => {
            output::note(format_args!("kenh: {}", kenh_domain::error::chain(&error)));
            Err(Failure::Rejected)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the checks found, for people.
pub fn told(review: &Review, out: Output) {
    if out == Output::Json {
        return;
    }
    output::line(&review.title.en);
    for change in &review.changes {
        output::line(format_args!("  {}", change.en));
    }
    let findings = review.findings.iter().map(|f| (f.severity, f.field.clone(), f.says.en.clone()));
    let hits = review.hits.iter().flat_map(|hit| {
        let whom = match &hit.whom {
            kenh_governance::review::Whom::Provider(agency) => format!("provider {agency}"),
            kenh_governance::review::Whom::Grant(id, agency) => format!("{agency} ({id})"),
        };
        hit.how.iter().map(move |how| (hit.severity, whom.clone(), how.en.clone()))
    });
    let rows: Vec<_> = findings.chain(hits).map(|(s, what, says)| vec![weight(s).into(), what, says]).collect();
    if !rows.is_empty() {
        output::table(&["weight", "field or whom", "found"], rows);
    }
}

const fn weight(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Attention => "attention",
        Severity::Blocks => "BLOCKS",
    }
}

fn answer(out: Output, id: &ProposalId, dir: &Path, digests: &(String, String), review: &Review, state: &str) {
    let (document, page) = digests;
    if out == Output::Json {
        output::json(&json!({
            "proposal": id, "state": state, "folder": dir, "documentSha256": document, "pageSha256": page,
            "blocked": review.blocked(), "review": review,
        }));
    } else {
        output::line(format_args!("document {document}\npage     {page}"));
    }
}

fn folder(dir: &Option<PathBuf>, id: &ProposalId) -> PathBuf {
    dir.clone().unwrap_or_else(|| Path::new("reviews").join(id.as_str()))
}

fn find<'s>(set: &'s ControlSet, id: &ProposalId) -> Result<&'s Standing, Failure> {
    set.proposals
        .get(id)
        .ok_or_else(|| Failure::because(format!("there is no proposal {id}; `kenh review list` shows those there are")))
}

/// Where a proposal stands, in words: what it still lacks, as the router would say it.
fn state(set: &ControlSet, standing: &Standing, now: i64) -> String {
    let document = &standing.proposal.document;
    let in_force = match document {
        Document::Contract(contract) => {
            set.contracts.get(&contract.dataset).is_some_and(|c| &Document::of_contract(c) == document)
        }
        Document::Grant(grant) => {
            set.view_of_grant(&grant.id).is_some_and(|v| v.in_force(now) && v.activation.grant == **grant)
        }
        Document::Relaxation(wanted) => {
            set.relaxations.get(&wanted.id).is_some_and(|r| r.in_force(now) && *r.relaxation == **wanted)
        }
    };
    let refused = standing.said(Verdict::Refuse).count();
    if in_force {
        return "in force".into();
    }
    if standing.released.is_some() {
        return "was released, and has ended or been replaced since".into();
    }
    if !set.is_signed() {
        let approved = standing.said(Verdict::Approve).count();
        return format!("{approved} for, {refused} against; this bus is unsigned: `kenh apply` asks no approval");
    }
    match needs::gaps(set, standing, now) {
        gaps if gaps.is_empty() => match document {
            Document::Contract(_) | Document::Grant(_) => "approved; `kenh apply` releases it".into(),
            Document::Relaxation(relaxation) if relaxation.ends_ms <= now => {
                "was approved, and its time is over".into()
            }
            Document::Relaxation(_) => format!("approved; `kenh rule release {}` releases it", standing.proposal.id),
        },
        _ if standing.proposal.deadline_ms <= now => "its time for votes is over".into(),
        gaps => format!("lacks {}", needs::words(&gaps)),
    }
}

fn list(set: &ControlSet, out: Output) -> Result<(), Failure> {
    let now = now_ms();
    let all = set.proposals.values();
    if out == Output::Json {
        let rows: Vec<_> = all.map(|s| as_json(set, s, now)).collect();
        output::json(&rows);
        return Ok(());
    }
    output::table(
        &["proposal", "of", "author", "until", "votes#", "state"],
        all.map(|s| {
            let Proposal { id, document, author, deadline_ms, .. } = &s.proposal;
            let subject = document.subject().to_string();
            let votes = s.votes.len().to_string();
            vec![id.to_string(), subject, author.to_string(), day(*deadline_ms), votes, state(set, s, now)]
        }),
    );
    Ok(())
}

fn as_json(set: &ControlSet, standing: &Standing, now: i64) -> serde_json::Value {
    let Proposal { id, document, author, deadline_ms, page_sha256 } = &standing.proposal;
    let (kind, name) = match document.subject() {
        Subject::Contract(dataset) => ("contract", dataset.to_string()),
        Subject::Grant(id) => ("grant", id.to_string()),
        Subject::Relaxation(id) => ("relaxation", id.to_string()),
    };
    let votes: Vec<_> = standing.votes.iter().map(|(at_ms, vote)| json!({ "atMs": at_ms, "vote": vote })).collect();
    json!({
        "proposal": id, "kind": kind, "of": name, "author": author, "deadlineMs": deadline_ms,
        "documentSha256": standing.digest, "pageSha256": page_sha256, "votes": votes, "state": state(set, standing, now),
    })
}

/// The signed page in the folder of a review, if it is the one that the log names.
fn signed_page(standing: &Standing, dir: &Path) -> Result<String, Failure> {
    let file = dir.join(SIGNED);
    let text = std::fs::read_to_string(&file)
        .map_err(|e| Failure::because(format!("{} cannot be read: {e}; say --dir FOLDER", file.display())))?;
    if page::digest(&text) != standing.proposal.page_sha256 {
        output::note(format_args!(
            "kenh: {} is not the page that was put to the vote: its SHA-256 is another. Get it from whoever proposed it",
            file.display()
        ));
        return Err(Failure::Rejected);
    }
    Ok(text)
}

fn show(
    standing: &Standing,
    dir: &Option<PathBuf>,
    (format, lang): (PageFormat, Language),
    set: &ControlSet,
    out: Output,
) -> Result<(), Failure> {
    let now = now_ms();
    if out == Output::Json {
        output::json(&as_json(set, standing, now));
        return Ok(());
    }
    let dir = folder(dir, &standing.proposal.id);
    let signed = signed_page(standing, &dir)?;
    let lang = match lang {
        Language::Vi => Lang::Vi,
        Language::En => Lang::En,
    };
    let html = format == PageFormat::Html;
    let file = dir.join(page::name(lang, html));
    let text = std::fs::read_to_string(&file)?;
    if !page::is_part(&signed, &text, html) {
        output::note(format_args!("kenh: {} is not the page that was put to the vote", file.display()));
        return Err(Failure::Rejected);
    }
    output::line(text.trim_end());
    output::note(format_args!("{}: {}", standing.proposal.id, state(set, standing, now)));
    for (at_ms, vote) in &standing.votes {
        let verdict = serde_json::to_value(vote.verdict)?;
        let verdict = verdict.as_str().unwrap_or_default();
        let reason = if vote.reason.is_empty() { String::new() } else { format!(": {}", vote.grounds()) };
        output::note(format_args!("{} {} {verdict}{reason}", moment(*at_ms), vote.person));
    }
    Ok(())
}

fn vote(cast: &Cast, verdict: Verdict, set: &ControlSet, log: Option<&dyn Log>, out: Output) -> Result<(), Failure> {
    let standing = find(set, &cast.id)?;
    let Some(log) = log else { return Err(Failure::because("there is no bus")) };
    let dir = folder(&cast.dir, &cast.id);
    let page = signed_page(standing, &dir)?;
    let vote = Vote {
        proposal: cast.id.clone(),
        document_sha256: standing.digest.clone(),
        page_sha256: standing.proposal.page_sha256.clone(),
        person: cast.person.clone(),
        verdict,
        reason: cast.reason.clone().unwrap_or_default(),
        article: cast.article.clone().unwrap_or_default(),
    };
    let file = dir.join(format!("vote-{}.json", cast.person));
    let state = put(&ControlEvent::Vote(vote), Some(page), &file, set, log, now_ms())?;
    if out == Output::Json {
        output::json(&json!({ "proposal": cast.id, "person": cast.person, "verdict": verdict, "state": state }));
    }
    if state == "to-sign" {
        output::note(format_args!(
            "{} signs {} with `kenh sign`, and anybody hands it in with `kenh submit`",
            cast.person,
            file.display()
        ));
    } else {
        output::note(format_args!("the vote of {} counts", cast.person));
    }
    Ok(())
}

/// `kenh review grant`: a declared grant, examined and put to the vote.
fn grant(asked: &ProposeGrant, set: &ControlSet, log: Option<&dyn Log>, out: Output) -> Result<(), Failure> {
    let mut paths = vec![asked.from.clone()];
    paths.extend(asked.template.clone());
    let read = kenh_governance::read(&paths);
    let declared = read.map_err(|problems| apply::refused(&problems, out))?;
    let [item] = declared.grants.as_slice() else {
        let n = declared.grants.len();
        return Err(Failure::Usage(format!("{} declares {n} grants; name the file of one", asked.from.display())));
    };
    let grant: &Grant = &item.value.grant;
    let mut counts = Counts { dataset: asked.records, ..Counts::default() };
    if let Some(n) = asked.view_records {
        counts.views.insert(grant.id.clone(), n);
    }
    let template = grant.template.as_ref().and_then(|name| declared.template(name));
    if let (Some(name), None) = (&grant.template, template) {
        return Err(Failure::Usage(format!(
            "grant {} names template {name}, whose bounds those who sign are to see: say --template FILE, or the folder \
             that declares it",
            grant.id
        )));
    }
    let now = now_ms();
    let review = examine_grant(set, grant, template, &counts, now);
    let id = match &asked.ballot.id {
        Some(id) => id.clone(),
        None => grant.id.as_str().parse().map_err(|e| Failure::Usage(format!("{e}; say --id NAME")))?,
    };
    let BallotArgs { author, dir, .. } = &asked.ballot;
    let deadline_ms = deadline(&asked.ballot, now)?;
    propose(Ballot { id, document: Document::of_grant(grant), review, author, dir, deadline_ms }, set, log, out, now)
}
