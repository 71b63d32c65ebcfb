"""H1 and H2 in Python: the OpenTelemetry SDK and libhoney, with Honeycomb's documented variables."""

import os

import libhoney
from expect import HTTP, equal, eventually, honeycomb_query
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

for name, compression in (("py-plain", Compression.NoCompression), ("py-gzip", Compression.Gzip), ("", Compression.Gzip)):
    resource = Resource.create({"service.name": name}) if name else Resource.create()
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(compression=compression)))
    with provider.get_tracer("conformance").start_as_current_span("work") as span:
        span.set_attribute("app.n", 42)
    provider.shutdown()
for dataset in ("py-plain", "py-gzip", "unknown_service"):
    rows, _ = honeycomb_query(dataset, {"breakdowns": ["name", "app.n"]})
    equal(dataset, rows, [{"name": "work", "app.n": 42, "COUNT": 1}])

libhoney.init(writekey="key", dataset="py events", api_host=HTTP, sample_rate=2)
for i in range(25):
    e = libhoney.new_event({"n": i, "text": f"event {i}"})
    e.send_presampled()
queue = libhoney.responses()
libhoney.close()
answers = list(iter(lambda: queue.get(timeout=5), None))
equal("statuses", [r["status_code"] for r in answers], [202] * 25)
rows, _ = honeycomb_query("py-events", {"calculations": [{"op": "COUNT"}, {"op": "MAX", "column": "n"}]})
equal("weighted count", rows, [{"COUNT": 50, "MAX(n)": 24}])
print("ok")
