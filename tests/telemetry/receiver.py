"""An OTLP/HTTP receiver: decodes what arrives with OpenTelemetry's own classes, and keeps it.

    receiver.py DIR     prints its port; ends when standard input does

Every body is appended to DIR/bytes as it came. Every span and every metric becomes a line of JSON in DIR/received, which
is complete line by line. A body that cannot be decoded is answered with 400 and becomes {"kind": "bad"}.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

there = Path(sys.argv[1])
lock = threading.Lock()


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def spans(request):
    for of in request.resource_spans:
        service = attributes(of.resource.attributes)["service.name"]
        for span in (span for scope in of.scope_spans for span in scope.spans):
            yield {
                "kind": "span",
                "service": service,
                "name": span.name,
                "trace": span.trace_id.hex(),
                "span": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "nanos": span.end_time_unix_nano - span.start_time_unix_nano,
                "attributes": attributes(span.attributes),
                "events": [{"name": e.name, "attributes": attributes(e.attributes)} for e in span.events],
            }


def measured(request):
    for of in request.resource_metrics:
        resource = attributes(of.resource.attributes)
        for metric in (metric for scope in of.scope_metrics for metric in scope.metrics):
            form = metric.WhichOneof("data")
            data = getattr(metric, form)
            yield {
                "kind": "metric",
                "service": resource["service.name"],
                "instance": resource["service.instance.id"],
                "name": metric.name,
                "form": form,
                "rises": form == "sum" and data.is_monotonic and data.aggregation_temporality == 2,
                "points": [{"attributes": attributes(p.attributes), "value": p.as_double} for p in data.data_points],
            }


PATHS = {
    "/v1/traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse, spans),
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse, measured),
}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request_class, response_class, lines = PATHS[self.path]
        status, answer = 200, response_class().SerializeToString()
        try:
            if self.headers["Content-Type"] != "application/x-protobuf":
                raise ValueError(self.headers["Content-Type"])
            found = list(lines(request_class.FromString(body)))
        except (DecodeError, KeyError, ValueError) as error:
            status, answer, found = 400, b"", [{"kind": "bad", "path": self.path, "why": repr(error)}]
        with lock:
            with open(there / "bytes", "ab") as raw:
                raw.write(body)
            with open(there / "received", "a", encoding="utf-8") as out:
                out.write("".join(json.dumps(line) + "\n" for line in found))
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
