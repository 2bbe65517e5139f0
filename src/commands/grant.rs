//! `kenh grant …`: where grants stand, what they give, and what is decided about them.
//!
//! On a bus whose decisions are signed, an end is written as a request that its person signs; on an unsigned bus it counts
//! at once.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use kenh_domain::confirm::Confirmation;
use kenh_domain::control::{ControlEvent, ControlSet, ViewEntry};
use kenh_domain::grant::EndReason;
use kenh_domain::law::Day;
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::{Log, TopicPartition};
use kenh_domain::names::{Agency, GrantId, Principal};
use kenh_domain::schema::Schema;
use kenh_domain::topic::Topic;
use kenh_governance::life::{self, Explanation, Sample, State};
use kenh_governance::trust::Request;
use kenh_producers::encode::{Case, encode};
use kenh_producers::json;
use serde_json::json;

use super::Failure;
use crate::cli::{GrantCommand, Output, RequestGrant, Stop, Which};
use crate::config::Config;
use crate::output;
use crate::time::{day, now_ms};

/// Largest sample record, in bytes: the largest record of the bus as JSON fits.
const MAX_SAMPLE_BYTES: u64 = 16 << 20;

/// `kenh grant …`
pub fn run(command: &GrantCommand, config: &Config, out: Output) -> Result<(), Failure> {
    let (log, set) = super::show::load(config)?;
    let now = now_ms();
    if let GrantCommand::Explain { id, record } = command {
        // The copy is reached through the directory as well, and only one may have it open.
        drop(log);
        return explain(&set, id, record.as_deref(), config, out);
    }
    let log = log.as_deref();
    match command {
        GrantCommand::List { emergency } => list(&set, *emergency, now, out),
        GrantCommand::Show { id } => {
            let view = find(&set, id)?;
            let confirmed = confirmed(log, &view.activation.grant.recipient)?;
            let mut shown = as_json(&set, view, now);
            shown["life"] = serde_json::to_value(life::life(&set, &confirmed, id, now))?;
            output::json(&shown);
            Ok(())
        }
        GrantCommand::Explain { .. } => Ok(()),
        GrantCommand::Request(asked) => request(asked, &set),
        GrantCommand::Revoke(stop) => end(stop, EndReason::Revoked, &set, log, now),
        GrantCommand::Suspend(stop) => end(stop, EndReason::Suspended, &set, log, now),
        GrantCommand::Resume { id } => resume(id, &set, log, now),
    }
}

fn find<'a>(set: &'a ControlSet, id: &GrantId) -> Result<&'a ViewEntry, Failure> {
    set.view_of_grant(id)
        .ok_or_else(|| Failure::because(format!("there is no grant {id}; `kenh grant list` shows those there are")))
}

/// The state of one edition, in a word or two.
pub fn state(set: &ControlSet, view: &ViewEntry, now: i64) -> &'static str {
    match set.end_of(view, now) {
        Some(EndReason::Ended) => "ended",
        Some(EndReason::Revoked) => "revoked",
        Some(EndReason::Superseded) => "superseded",
        Some(EndReason::Expired) => "expired",
        Some(EndReason::Suspended) => "suspended",
        Some(EndReason::Law) => "ended by law",
        None if view.in_force(now) => "active",
        None => "to come",
    }
}

fn as_json(set: &ControlSet, view: &ViewEntry, now: i64) -> serde_json::Value {
    let (activation, because) = (&view.activation, set.reasons.get(&view.activation.view_no));
    json!({
        "grant": activation.grant, "topic": activation.topic(), "edition": activation.edition,
        "state": state(set, view, now), "startsMs": activation.starts_ms, "endsMs": activation.ends_ms,
        "because": because.filter(|text| !text.is_empty()),
    })
}

/// The last day on which an emergency grant is to be reviewed: the fifth working day after the one it began on. Public
/// holidays are not known here and are not counted off.
fn review_by(starts_ms: i64) -> Day {
    let mut at = Day::of(starts_ms);
    let mut working = 0;
    while working < 5 {
        at = Day::of(at.ends_ms());
        working += i32::from(!at.is_weekend());
    }
    at
}

fn list(set: &ControlSet, emergency: bool, now: i64, out: Output) -> Result<(), Failure> {
    let listed = set.views.values().filter(|v| !emergency || v.activation.grant.emergency);
    if out == Output::Json {
        let rows = listed.map(|v| {
            let mut row = as_json(set, v, now);
            if emergency {
                row["reviewBy"] = json!(review_by(v.activation.starts_ms));
            }
            row
        });
        output::json(&rows.collect::<Vec<_>>());
        return Ok(());
    }
    let mut columns = vec!["grant", "recipient", "dataset", "view", "edition#", "state", "until"];
    if emergency {
        columns.push("review by");
    }
    output::table(
        &columns,
        listed.map(|v| {
            let g = &v.activation.grant;
            let mut row = vec![
                g.id.to_string(),
                g.recipient.to_string(),
                g.dataset.to_string(),
                g.view.to_string(),
                v.activation.edition.to_string(),
                state(set, v, now).into(),
                // The end is exclusive: midnight belongs to the day before.
                day(v.activation.ends_ms - 1),
            ];
            if emergency {
                row.push(review_by(v.activation.starts_ms).to_string());
            }
            row
        }),
    );
    Ok(())
}

/// What an agency has confirmed; nothing where its topic is not there.
fn confirmed(log: Option<&dyn Log>, agency: &Agency) -> Result<Vec<Confirmation>, Failure> {
    let Some(log) = log else { return Ok(Vec::new()) };
    let topic = Topic::Confirm(agency.clone());
    if log.topics()?.iter().all(|spec| spec.topic != topic) {
        return Ok(Vec::new());
    }
    let of = TopicPartition::new(topic, 0);
    let bounds = log.bounds(&Principal::control(), &of)?;
    let mut reader = log.reader(&Principal::control(), &[(of, bounds.start)])?;
    let mut found = Vec::new();
    while reader.positions().first().is_some_and(|at| *at < bounds.end) {
        for record in reader.poll(MAX_BATCH_RECORDS, MAX_BATCH_BYTES, std::time::Duration::from_millis(100))? {
            // What is no confirmation of this release says nothing here.
            found.extend(record.value.as_deref().and_then(|value| serde_json::from_slice(value).ok()));
        }
    }
    Ok(found)
}

/// Ends every edition of a grant, or writes what is to be signed for it.
fn end(stop: &Stop, reason: EndReason, set: &ControlSet, log: Option<&dyn Log>, now: i64) -> Result<(), Failure> {
    let Stop { id, reason: because, request } = stop;
    let events = match life::stop(set, id, reason, because, now) {
        Err(error @ (life::DecideError::Ended(_) | life::DecideError::Suspended(_))) => {
            output::note(format_args!("{error}; nothing to do"));
            return Ok(());
        }
        events => events?,
    };
    let (done, recipient) = match reason {
        EndReason::Suspended => ("suspended", &find(set, id)?.activation.grant.recipient),
        _ => ("revoked", &find(set, id)?.activation.grant.recipient),
    };
    if set.is_signed() {
        let first = request.clone().unwrap_or_else(|| format!("{id}.end.json").into());
        return to_sign(set, &events, &first);
    }
    decide(set, events, log, now)?;
    output::note(format_args!(
        "grant {id} is {done}. The router stops writing at its next marker; then access and topic go and {recipient} is \
         told to purge. `kenh grant list` and `kenh status` show it."
    ));
    Ok(())
}

/// Writes requests to sign, one for each event.
pub fn to_sign(set: &ControlSet, events: &[ControlEvent], first: &Path) -> Result<(), Failure> {
    for (i, event) in events.iter().enumerate() {
        let file = if i == 0 { first.to_owned() } else { first.with_extension(format!("{i}.json")) };
        Request::new(set, event, None)?.write(&file)?;
        output::note(format_args!(
            "{} is to be signed: kenh sign {0}, then kenh submit {0}; nothing has changed yet",
            file.display()
        ));
    }
    Ok(())
}

/// Makes events so on an unsigned bus: topics first, as with declared state.
pub fn decide(set: &ControlSet, events: Vec<ControlEvent>, log: Option<&dyn Log>, now: i64) -> Result<(), Failure> {
    let log = log.ok_or_else(|| Failure::because("there is no bus here yet; `kenh apply` makes one"))?;
    let plan = kenh_governance::Plan::of_events(set, events, now).map_err(Failure::because)?;
    kenh_governance::apply(log, &plan, now)?;
    Ok(())
}

fn resume(id: &GrantId, set: &ControlSet, log: Option<&dyn Log>, now: i64) -> Result<(), Failure> {
    let event = life::resume(set, id, now)?;
    if set.is_signed() {
        return Err(Failure::because(format!(
            "grant {id} was approved once, and that has been used: put it to the vote again, and its next edition comes \
             into force with the approval"
        )));
    }
    decide(set, vec![event], log, now)?;
    output::note(format_args!("grant {id} goes on in its next edition, which is filled anew."));
    Ok(())
}

/// Reads the sample, asks, and tells.
fn explain(set: &ControlSet, id: &GrantId, file: Option<&Path>, config: &Config, out: Output) -> Result<(), Failure> {
    let view = find(set, id)?;
    let grant = &view.activation.grant;
    let now = now_ms();
    let told = if let Some(file) = file {
        let newest = set.contracts.get(&grant.dataset).and_then(|c| c.latest());
        let schema = newest.ok_or_else(|| Failure::because(format!("there is no contract of {}", grant.dataset)))?;
        let mut text = Vec::new();
        std::fs::File::open(file)?.take(MAX_SAMPLE_BYTES).read_to_end(&mut text)?;
        let body = body(&Schema::parse(&schema.schema)?, &text)?;
        life::explain(set, id, now, Sample::Record(&body))?
    } else {
        let mut key = String::new();
        std::io::stdin().take(MAX_SAMPLE_BYTES).read_to_string(&mut key)?;
        let key = key.trim();
        if key.is_empty() {
            life::explain(set, id, now, Sample::None)?
        } else {
            let which = Which {
                agency: grant.recipient.clone(),
                dataset: grant.dataset.clone(),
                view: grant.view.clone(),
                store: None,
            };
            match super::view::row(&which, key, config)? {
                None => life::explain(set, id, now, Sample::NotHeld)?,
                Some(row) => {
                    let schema = set.schemas.get(&view.activation.schema_id);
                    let schema = schema.ok_or_else(|| Failure::because("the schema of this view is not there"))?;
                    let body = body(&Schema::parse(&schema.schema)?, row.to_string().as_bytes())?;
                    life::explain(set, id, now, Sample::Row(&body))?
                }
            }
        }
    };
    if out == Output::Json {
        output::json(&told);
    } else {
        tell(&told);
    }
    Ok(())
}

/// A record's Avro body from its JSON. What is wrong with it is told by field and rule, never by value.
fn body(schema: &Schema, text: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let value = json::parse(text).map_err(|wrong| Failure::Usage(wrong.to_string()))?;
    encode(schema.record(), &[], &value, Case::Exact, &mut out).map_err(|wrong| {
        let all: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        Failure::Usage(format!("the sample is no record of this schema: {}", all.join("; ")))
    })?;
    Ok(out)
}

fn tell(told: &Explanation) {
    let yes = |holds: bool| if holds { "yes / có" } else { "no / không" };
    output::line(format_args!(
        "{}: {} receives {} as {}, edition {}",
        told.grant, told.recipient, told.dataset, told.view, told.edition
    ));
    let fact = |label: &str, en: &str, vi: &str| output::line(format_args!("  {label}: {en} / {vi}"));
    output::line(format_args!("  purpose / mục đích: {}", told.purpose));
    output::line(format_args!("  legal basis / căn cứ: {}", told.legal_basis.join("; ")));
    fact("state / hiệu lực", &told.state.en, &told.state.vi);
    fact("key / khóa", &told.key.en, &told.key.vi);
    fact("answer / kết luận", &told.answer.en, &told.answer.vi);
    output::line(format_args!(
        "  row filter / điều kiện dòng: {}",
        told.rows.filter.as_deref().unwrap_or("all rows / mọi dòng")
    ));
    if !told.rows.terms.is_empty() {
        let rows = told.rows.terms.iter().map(|t| vec![t.term.clone(), yes(t.holds).into()]);
        output::table(&["comparison / điều kiện", "holds / đúng"], rows);
    }
    if !told.providers.is_empty() {
        let rows = told.providers.iter().map(|p| vec![p.agency.to_string(), yes(p.may_write).into()]);
        output::table(&["provider / bên cung cấp", "may write it / được ghi"], rows);
    }
    output::table(
        &["field / trường", "personal data / dữ liệu cá nhân", "in the view / trong bản sao", "why / vì sao"],
        told.fields.iter().map(|f| {
            vec![
                f.path.clone(),
                format!("{:?}", f.pii).to_lowercase(),
                f.view_name.clone().unwrap_or_else(|| "-".into()),
                format!("{} / {}", f.why.en, f.why.vi),
            ]
        }),
    );
}

/// Why nothing is asked for on this basis: it stands on no article on record, or on one that is not in force. On a bus
/// that records no law a basis is kept as it is written.
fn unfounded(set: &ControlSet, basis: &str) -> Option<String> {
    if set.articles.is_empty() {
        return None;
    }
    match set.articles.values().find(|article| article.bears(basis)) {
        None => Some(format!(
            "there is no article {basis:?} on record; `kenh law list` shows those there are: write an id, or a citation and \
             after a comma where in it. Record another as broker-config/laws/ has them"
        )),
        Some(article) if !article.in_force(now_ms()) => {
            Some(format!("article {} is not in force today; `kenh law list` shows from when until when", article.id))
        }
        Some(_) => None,
    }
}

/// Writes a grant's document, as somebody would by hand; whether it holds is asked when it is proposed or applied.
fn request(asked: &RequestGrant, set: &ControlSet) -> Result<(), Failure> {
    let missing = |what: String| Err(Failure::because(what));
    let Some(offer) = life::catalog(set).into_iter().find(|offer| offer.dataset == asked.dataset) else {
        return missing(format!("there is no dataset {}; `kenh catalog` shows those there are", asked.dataset));
    };
    let Some(agency) = set.agencies.get(&asked.recipient) else {
        return missing(format!("there is no agency {}; declare it in broker-config/agencies/", asked.recipient));
    };
    let known: BTreeSet<&str> = offer.fields.iter().map(|f| f.path.as_str()).collect();
    if let Some(other) = asked.fields.iter().find(|path| !known.contains(path.as_str())) {
        return missing(format!("{} has no field {other}; `kenh catalog {}` shows them", asked.dataset, asked.dataset));
    }
    if let Some(wrong) = asked.basis.iter().find_map(|basis| unfounded(set, basis)) {
        return missing(wrong);
    }
    if let Some(day) = asked.ends.filter(|day| day.ends_ms() <= now_ms()) {
        return missing(format!("{day} is over; let the grant end on a day that is still to come"));
    }
    let id = match &asked.id {
        Some(id) => id.clone(),
        None => GrantId::new(&format!("{}-{}", asked.recipient, asked.dataset).to_lowercase())?,
    };
    if !matches!(life::life(set, &[], &id, now_ms()), State::Requested) {
        return missing(format!("grant {id} is on the bus already; choose another with --id"));
    }
    let systems = if asked.systems.is_empty() { &agency.systems } else { &asked.systems };
    let filter = asked.filter.as_ref().map(std::fs::read_to_string).transpose()?;
    // JSON is YAML, and its strings need no guessing about quotes.
    let mut text = String::from("kind: Grant\nstate: active\n");
    let mut put = |key: &str, value: serde_json::Value| text.push_str(&format!("{key}: {value}\n"));
    put("id", json!(id));
    put("recipient", json!(asked.recipient));
    put("systems", json!(systems));
    put("dataset", json!(asked.dataset));
    put("view", json!(asked.view));
    put("purpose", json!(asked.purpose));
    put("legalBasis", json!(asked.basis));
    put("fields", json!(asked.fields));
    if let Some(filter) = &filter {
        put("filter", json!(filter.trim()));
    }
    if asked.pseudonym {
        put("key", json!("pseudonym"));
    }
    match asked.ends {
        Some(day) => put("ends", json!(day)),
        None => put("duration", json!(asked.duration)),
    }
    match &asked.to {
        None => output::line(text.trim_end()),
        Some(file) => {
            std::fs::write(file, text)?;
            output::note(format_args!("{} is written: propose it to {}", file.display(), offer.owner));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emergency_is_reviewed_within_five_working_days() {
        for (began, by) in [
            ("2026-11-24", "2026-12-01"), // Tuesday
            ("2026-11-27", "2026-12-04"), // Friday
            ("2026-11-28", "2026-12-04"), // Saturday
            ("2026-11-29", "2026-12-04"), // Sunday
            ("2026-11-30", "2026-12-07"), // Monday
        ] {
            let began: Day = began.parse().unwrap();
            for moment in [began.starts_ms(), began.ends_ms() - 1] {
                assert_eq!(review_by(moment).to_string(), by, "{began}");
            }
        }
    }
}
