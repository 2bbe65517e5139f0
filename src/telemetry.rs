//! Telemetry over OTLP/HTTP: spans of the roles, and the metrics of [`crate::metrics`].
//!
//! The roles make spans through OpenTelemetry's own interface, which costs next to nothing while nobody listens. A change
//! carries its trace context in the envelope, as far as the router; no view ever holds one, so that the spans behind it
//! are joined by topic, partition and position. No span holds a record key or a value of a record (invariant 7).

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider as _};
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::metrics::{Kind, METRICS, Metric};
use crate::status::Status;

/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(10);
/// How long one export may take before it is given up: telemetry never holds the bus up.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// This process, to tell it from others of its role.
static INSTANCE: LazyLock<String> = LazyLock::new(|| uuid::Uuid::new_v4().to_string());

/// Telemetry while it is sent.
pub struct Telemetry {
    traces: SdkTracerProvider,
    metrics: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// Sends spans of this process to `endpoint` (`http://host:port`) from now on, under the name of a role.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub fn start(endpoint: &str, role: &'static str) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Ureq::new())
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let traces = SdkTracerProvider::builder().with_resource(resource(role)).with_batch_exporter(exporter).build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(traces.clone());
        Ok(Self { traces, metrics: None })
    }

    /// Sends the metrics of a node as well; `status` is asked for each time.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub fn measure(
        &mut self,
        endpoint: &str,
        role: &'static str,
        status: Arc<dyn Fn() -> Status + Send + Sync>,
    ) -> Result<(), ExporterBuildError> {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(Ureq::new())
            .with_endpoint(format!("{}/v1/metrics", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let reader = PeriodicReader::builder(exporter).with_interval(METRICS_EVERY).build();
        let provider = SdkMeterProvider::builder().with_resource(resource(role)).with_reader(reader).build();
        let meter = provider.meter("kenh");
        for metric in METRICS {
            for part in metric.parts() {
                instrument(&meter, metric, part, status.clone());
            }
        }
        self.metrics = Some(provider);
        Ok(())
    }

    /// Sends what is left and stops.
    pub fn stop(self) {
        let metrics = self.metrics.map_or(Ok(()), |provider| provider.shutdown());
        for ended in [self.traces.shutdown(), metrics] {
            if let Err(error) = ended {
                tracing::warn!(%error, "telemetry was not sent to its end");
            }
        }
    }
}

/// One series of a metric. OpenTelemetry has no histogram that is asked for its buckets: its parts go as counters, named
/// as Prometheus names them, so that one query serves both ways.
fn instrument(
    meter: &Meter,
    metric: &'static Metric,
    part: &'static str,
    status: Arc<dyn Fn() -> Status + Send + Sync>,
) {
    let observe = move |to: &dyn AsyncInstrument<f64>| {
        for sample in metric.samples(&status()).into_iter().filter(|s| s.part == part) {
            let labels: Vec<_> = sample.labels.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
            to.observe(sample.value, &labels);
        }
    };
    let name = format!("{}{part}", metric.name);
    match metric.kind {
        Kind::Counter | Kind::Histogram => {
            let builder = meter.f64_observable_counter(name).with_description(metric.help);
            builder.with_callback(move |to| observe(to)).build();
        }
        Kind::Gauge => {
            let builder = meter.f64_observable_gauge(name).with_description(metric.help);
            builder.with_callback(move |to| observe(to)).build();
        }
    }
}

fn resource(role: &'static str) -> Resource {
    Resource::builder()
        .with_service_name(format!("kenh-{role}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        // Two processes of one role are two series.
        .with_attribute(KeyValue::new("service.instance.id", INSTANCE.clone()))
        .build()
}

/// OTLP over the HTTP client that the commands use anyway. It blocks, on the threads that telemetry has of its own.
struct Ureq(ureq::Agent);

impl Ureq {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(EXPORT_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self(config.into())
    }
}

impl fmt::Debug for Ureq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ureq")
    }
}

#[async_trait]
impl HttpClient for Ureq {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.0.run(request.map(|body| body.to_vec()))?;
        let (parts, mut body) = response.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}
