//! Deciding one submitted change: admit, append to the data log, route; or say why not.

use bytes::Bytes;
use kenh_domain::admit::{self, AsOf, Verdict};
use kenh_domain::envelope::{self, SubmissionEnd};
use kenh_domain::frame::{self, After, Change, Data, Sequence};
use kenh_domain::log::{Record, TopicPartition};
use kenh_domain::receipt::{self, DeadLetter, Outcome};
use kenh_domain::rule::{Lang, Rejection};
use kenh_domain::schema::Spans;
use kenh_domain::topic::Topic;
use kenh_domain::wire;

use crate::draft::Draft;
use crate::engine::{EngineError, Walked};
use crate::slot::Slot;
use crate::tally::InputId;

/// Decides `record`, which lies in `input`, and puts what follows into `draft` and the slot's engine and effects.
///
/// # Errors
/// [`EngineError`]: the engine could not apply what admission let pass. Nothing of the draft may then be committed.
pub fn one(
    slot: &mut Slot,
    input: &InputId,
    record: &Record,
    spans: &mut Spans,
    draft: &mut Draft,
) -> Result<(), EngineError> {
    let Slot { engine, rules, lists, effects, data, since_image, .. } = slot;
    let sequence = Sequence(engine.sequence().0 + 1);
    let clock_ms = engine.clock_ms();
    let Some((_, rules)) = rules else { return Err(EngineError::NoMarker(sequence)) };
    let value = record.value.as_deref().unwrap_or_default();
    if record.key.is_empty()
        && let Some(end) = SubmissionEnd::decode(value)
    {
        draft.metadata.tallies.end(input, &end.id, record.position, &mut draft.due);
        draft.answer(clock_ms);
        return Ok(());
    }
    let as_of = AsOf { clock_ms, relaxed: engine.relaxed(), lists };
    let candidate = match rules.read(&input.provider, input.partition, &record.key, value, as_of, spans) {
        Ok(candidate) => candidate,
        Err(rejection) => {
            // What of the envelope can be read tells the provider which record is meant.
            let named = wire::split(value).ok().and_then(|(_, body)| envelope::decode(body).ok());
            let (submission, number) = named.map_or(("", 0), |s| (s.submission, s.number));
            reject(input, record, (submission, number), &rejection, clock_ms, draft);
            return Ok(());
        }
    };
    if let Some(parent) = candidate.submitted.trace {
        let topic = Topic::In(input.dataset.clone(), input.provider.clone());
        draft.traces.add(parent, &TopicPartition { topic, partition: input.partition }, record.position);
    }
    let content = candidate.content(engine.secret());
    let epoch = engine.control().epoch(engine.dataset(), &input.provider);
    let known = engine.known(&record.key);
    let known = known.as_ref().map(|(k, owner)| admit::Known { owner, version: k.version, content: k.content });
    let change = &candidate.submitted;
    let mut warnings = &[][..];
    let outcome = match admit::decide(rules, &candidate, epoch, known.as_ref(), content) {
        Verdict::Repeated => Outcome::Repeated,
        Verdict::Stale => Outcome::Stale,
        Verdict::Reject(rejection) => {
            reject(input, record, (change.submission, change.number), &rejection, clock_ms, draft);
            return Ok(());
        }
        Verdict::Admit(version) => {
            let admitted = Change {
                provider: input.provider.clone(),
                submission: change.submission,
                number: change.number,
                version,
                updated_ms: change.updated_ms,
                effective_days: change.effective_days,
                after: candidate.schema.zip(change.record).map(|(schema, body)| After { schema, body }),
            };
            let walked = Walked { spans, content };
            engine.change(sequence, &record.key, &admitted, Some(&walked), effects)?;
            let framed = frame::encode(sequence, &Data::Change(admitted));
            draft.push(data.clone(), clock_ms, record.key.clone(), Some(framed.into()));
            *since_image += 1;
            match draft.updated.get_mut(input) {
                Some(newest) => *newest = change.updated_ms.max(*newest),
                None => drop(draft.updated.insert(input.clone(), change.updated_ms)),
            }
            warnings = &candidate.warnings;
            Outcome::Admitted
        }
    };
    draft.counts.add(outcome);
    draft.warnings.add(warnings);
    let told = (outcome, warnings);
    draft.metadata.tallies.count(input, change.submission, told, record.position, &mut draft.due);
    draft.answer(clock_ms);
    Ok(())
}

/// Tells the provider which record broke which rule. The record itself stays where its provider put it.
fn reject(
    input: &InputId,
    record: &Record,
    (submission, number): (&str, u64),
    rejection: &Rejection,
    clock_ms: i64,
    draft: &mut Draft,
) {
    let letter = DeadLetter {
        format: receipt::FORMAT,
        submission: submission.to_owned(),
        number,
        partition: input.partition,
        position: record.position,
        rule: rejection.rule.code().to_owned(),
        field: rejection.field.clone(),
        message: rejection.message(Lang::En),
        message_vi: rejection.message(Lang::Vi),
    };
    let topic = Topic::DeadLetter(input.dataset.clone(), input.provider.clone());
    draft.push_json((topic, input.partition), clock_ms, Bytes::clone(&record.key), &letter);
    draft.counts.add(Outcome::Rejected);
    *draft.rules.entry(rejection.rule.code()).or_default() += 1;
    if !submission.is_empty() {
        let due = &mut draft.due;
        draft.metadata.tallies.count(input, submission, (Outcome::Rejected, &[]), record.position, due);
        draft.answer(clock_ms);
    }
}
