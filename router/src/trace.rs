//! Spans of what was routed.
//!
//! A submitted change may carry its trace context (W3C `traceparent`) in the envelope. It comes as far as here and no
//! further: no data record and no view holds one. So that what happens behind the views can be joined to it, the span
//! says which positions of which view partitions the commit ended at. Spans hold names and positions, never a key or a
//! value, and cost nothing while nobody collects them.

use std::time::SystemTime;

use kenh_domain::log::{Position, TopicPartition};
use kenh_domain::topic::Topic;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};

/// Most submissions of one commit that get a span: a commit of many small ones is no place to look at each.
const MAX_SPANS: usize = 16;
/// Most view partitions that a span names.
const MAX_VIEWS: usize = 64;

/// Changes of one trace in one input partition.
struct Part {
    parent: String,
    of: TopicPartition,
    from: Position,
    to: Position,
    records: i64,
}

/// The traces of one commit.
#[derive(Default)]
pub struct Traces {
    parts: Vec<Part>,
    begun: Option<SystemTime>,
}

impl Traces {
    /// Nothing traced yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new(), begun: None }
    }

    /// Takes note of a change that was decided.
    pub fn add(&mut self, parent: &str, of: &TopicPartition, at: Position) {
        if let Some(part) = self.parts.iter_mut().rev().find(|p| p.parent == parent && &p.of == of) {
            part.to = at;
            part.records += 1;
        } else if self.parts.len() < MAX_SPANS {
            self.begun.get_or_insert_with(SystemTime::now);
            self.parts.push(Part { parent: parent.into(), of: of.clone(), from: at, to: at, records: 1 });
        }
    }

    /// Says what a commit made of them, which has just succeeded.
    pub fn committed(&self, ends: &[(TopicPartition, Position)]) {
        let Some(begun) = self.begun else { return };
        let tracer = global::tracer("kenh-router");
        for part in &self.parts {
            let Some(parent) = parse(&part.parent) else { continue };
            let parent = Context::new().with_remote_span_context(parent);
            let mut span = tracer
                .span_builder("route")
                .with_kind(SpanKind::Consumer)
                .with_start_time(begun)
                .with_attributes([
                    KeyValue::new("messaging.destination.name", part.of.topic.to_string()),
                    KeyValue::new("messaging.destination.partition.id", part.of.partition.to_string()),
                    KeyValue::new("kenh.position.from", integer(part.from)),
                    KeyValue::new("kenh.position.to", integer(part.to)),
                    KeyValue::new("kenh.records", part.records),
                ])
                .start_with_context(&tracer, &parent);
            let views = ends.iter().filter(|(of, _)| matches!(of.topic, Topic::View(..) | Topic::Data(_)));
            for (of, end) in views.take(MAX_VIEWS) {
                span.add_event(
                    "written",
                    vec![
                        KeyValue::new("messaging.destination.name", of.topic.to_string()),
                        KeyValue::new("messaging.destination.partition.id", of.partition.to_string()),
                        KeyValue::new("kenh.position.end", integer(*end)),
                    ],
                );
            }
            span.end();
        }
    }
}

/// OpenTelemetry's integers are signed.
fn integer(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

/// Reads a `traceparent` of version 00 (W3C Trace Context, section 3.2); none when it is anything else.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || parts.next().is_some() || (trace.len(), span.len(), flags.len()) != (32, 16, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_anything_else_is_none() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(parse(good).is_some_and(|c| c.is_sampled() && c.is_remote()));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-zzf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad} was taken");
        }
    }

    #[test]
    fn changes_of_one_trace_are_one_part() {
        let of = TopicPartition::new("in.d.G01".parse().unwrap(), 0);
        let mut traces = Traces::default();
        for at in 1..=3 {
            traces.add("a", &of, Position(at));
        }
        assert_eq!((traces.parts.len(), traces.parts[0].records, traces.parts[0].to), (1, 3, Position(3)));
        for n in 0..100 {
            traces.add(&n.to_string(), &of, Position(9));
        }
        assert_eq!(traces.parts.len(), MAX_SPANS);
    }
}
