// H1 in Node: the OpenTelemetry SDK over http/json.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "js-otel" }),
  spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter())],
});
const span = provider.getTracer("conformance").startSpan("work", { attributes: { "app.n": 42, "app.big": 2 ** 40 } });
span.addEvent("happened", { how: "well" });
span.end();
await provider.forceFlush();
await provider.shutdown();
