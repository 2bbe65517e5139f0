//! Spans of what was applied to a store. A view holds no trace context: what came before is joined by topic, partition and
//! position.

use opentelemetry::global::BoxedSpan;
use opentelemetry::trace::{Span as _, SpanKind, Tracer as _};
use opentelemetry::{KeyValue, global};

use crate::store::{GenerationInfo, Progress};

/// A span of applying `records` records, which brings a generation to `to`; it ends when it is dropped. None when there
/// are no records.
pub(super) fn begin(info: &GenerationInfo, to: &Progress, records: usize) -> Option<BoxedSpan> {
    if records == 0 {
        return None;
    }
    let tracer = global::tracer("kenh-consumers");
    let mut span = tracer
        .span_builder("apply")
        .with_kind(SpanKind::Consumer)
        .with_attributes([
            KeyValue::new("messaging.destination.name", info.card.topic().to_string()),
            KeyValue::new("kenh.records", integer(records as u64)),
        ])
        .start(&tracer);
    if span.is_recording() {
        for (partition, (from, to)) in info.progress.positions.iter().zip(&to.positions).enumerate() {
            span.add_event(
                "applied",
                vec![
                    KeyValue::new("messaging.destination.partition.id", partition.to_string()),
                    KeyValue::new("kenh.position.from", integer(from.0)),
                    KeyValue::new("kenh.position.end", integer(to.0)),
                ],
            );
        }
    }
    Some(span)
}

/// OpenTelemetry's integers are signed.
fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
