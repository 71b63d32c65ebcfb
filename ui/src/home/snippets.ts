import type { Source, Status } from "../api/contract";

/** One kind of client, and what to paste to point it at this server. */
export interface ClientKind {
  id: string;
  name: string;
  /** What arrives when it works; absent for "anything". */
  sources?: Source[];
  intro: string;
  steps: { title: string; text: string }[];
}

/** The set-up of every client kind, with the addresses that the server listens on. Unset listeners fall back to the one HTTP port. */
export function clientKinds(status: Status): ClientKind[] {
  const http = `http://${status.addresses.http}`;
  const otlp = `http://${status.addresses.otlp_http ?? status.addresses.http}`;
  const daemon = status.addresses.xray ?? status.addresses.http.replace(/:\d+$/, ":2000");
  const key = status.auth === "off" ? "any" : "YOUR_KEY";
  const aws = `export AWS_ACCESS_KEY_ID=${status.auth === "off" ? "test" : "YOUR_ACCESS_KEY"} AWS_SECRET_ACCESS_KEY=${status.auth === "off" ? "test" : "YOUR_SECRET"} AWS_DEFAULT_REGION=${status.region}`;
  const grpc = status.addresses.otlp_grpc;
  const flags = remoteFlags(status);
  return [
    {
      id: "all",
      name: "Everything",
      intro:
        "The shortest way: one command sets every variable, for OpenTelemetry, Honeycomb, X-Ray and CloudWatch Logs clients alike.",
      steps: [
        { title: "In this shell, from now on", text: `eval "$(trefoil env${flags})"` },
        {
          title: "Or for one command; its output becomes a log group too",
          text: `trefoil run${flags} -- python app.py`,
        },
      ],
    },
    {
      id: "otel",
      name: "OpenTelemetry",
      sources: ["otlp"],
      intro: "Any OpenTelemetry SDK or collector, over HTTP or gRPC. The dataset is the service name.",
      steps: [
        {
          title: "Environment of the process",
          text: [
            "export OTEL_SERVICE_NAME=my-service",
            `export OTEL_EXPORTER_OTLP_ENDPOINT=${otlp}`,
            "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            `export OTEL_EXPORTER_OTLP_HEADERS=x-honeycomb-team=${key}`,
            ...(grpc
              ? [
                  "# over gRPC instead:",
                  `# export OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=http://${grpc}`,
                ]
              : []),
          ].join("\n"),
        },
        {
          title: "Or one span by hand",
          text: [
            `curl ${otlp}/v1/traces -H 'content-type: application/json' -H 'x-honeycomb-team: ${key}' -d "{`,
            '  \\"resourceSpans\\":[{\\"resource\\":{\\"attributes\\":[{\\"key\\":\\"service.name\\",\\"value\\":{\\"stringValue\\":\\"hello\\"}}]},',
            '  \\"scopeSpans\\":[{\\"spans\\":[{\\"name\\":\\"first span\\",\\"kind\\":2,\\"traceId\\":\\"$(openssl rand -hex 16)\\",\\"spanId\\":\\"$(openssl rand -hex 8)\\",',
            '  \\"startTimeUnixNano\\":\\"$(date +%s)000000000\\",\\"endTimeUnixNano\\":\\"$(date +%s)250000000\\"}]}]}]}"',
          ].join("\n"),
        },
      ],
    },
    {
      id: "honeycomb",
      name: "Honeycomb",
      sources: ["events"],
      intro: "Libhoney, Beelines and the events API, pointed here by the API host.",
      steps: [
        {
          title: "Environment of the process",
          text: [`export HONEYCOMB_API_ENDPOINT=${http}`, `export HONEYCOMB_API_KEY=${key}`].join("\n"),
        },
        {
          title: "Python, libhoney",
          text: [
            "import libhoney",
            `libhoney.init(writekey="${key}", dataset="my-service", api_host="${http}")`,
            'libhoney.send_now({"name": "hello", "duration_ms": 12.5})',
            "libhoney.close()",
          ].join("\n"),
        },
        {
          title: "Or one event by hand",
          text: `curl ${http}/1/events/my-service -H 'X-Honeycomb-Team: ${key}' -d '{"name":"hello","duration_ms":12.5}'`,
        },
      ],
    },
    {
      id: "xray",
      name: "AWS X-Ray",
      sources: ["xray"],
      intro: "X-Ray SDKs by the daemon's address; the AWS CLI and SDKs by their endpoint variable.",
      steps: [
        { title: "X-Ray SDK, any language", text: `export AWS_XRAY_DAEMON_ADDRESS=${daemon}` },
        {
          title: "AWS CLI: send one segment, then find it",
          text: [
            aws,
            `export AWS_ENDPOINT_URL_XRAY=${http}`,
            "now=$(date +%s); id=$(printf '1-%x-%s' $now $(openssl rand -hex 12))",
            "aws xray put-trace-segments --trace-segment-documents \\",
            '  "{\\"name\\":\\"hello\\",\\"id\\":\\"$(openssl rand -hex 8)\\",\\"trace_id\\":\\"$id\\",\\"start_time\\":$now.0,\\"end_time\\":$now.25}"',
            "aws xray get-trace-summaries --start-time $((now-60)) --end-time $((now+60)) --filter-expression 'service(\"hello\")'",
          ].join("\n"),
        },
      ],
    },
    {
      id: "logs",
      name: "CloudWatch Logs",
      sources: ["logs"],
      intro:
        "The AWS CLI, boto3, watchtower, and cwslog for Go's log/slog. Lines that name a trace id appear in its waterfall.",
      steps: [
        {
          title: "Environment of the process",
          text: [aws, `export AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=${http}`].join("\n"),
        },
        {
          title: "Python, watchtower",
          text: [
            "import boto3, logging, watchtower",
            'logs = boto3.client("logs")  # reads the endpoint from the environment',
            'logging.getLogger().addHandler(watchtower.CloudWatchLogHandler(log_group_name="my-app", boto3_client=logs))',
            'logging.getLogger().warning("hello")',
          ].join("\n"),
        },
        {
          title: "AWS CLI",
          text: [
            "aws logs create-log-group --log-group-name my-app",
            "aws logs create-log-stream --log-group-name my-app --log-stream-name shell",
            'aws logs put-log-events --log-group-name my-app --log-stream-name shell --log-events "timestamp=$(date +%s000),message=hello"',
          ].join("\n"),
        },
        { title: "Go, cwslog", text: "go get github.com/trefoil-o11y/trefoil/cwslog" },
      ],
    },
  ];
}

/** The flags that tell `trefoil env` and `trefoil run` where this server is, and with which keys: none where the defaults hold. */
function remoteFlags(status: Status): string {
  const { http, otlp_grpc, otlp_http, xray } = status.addresses;
  const flags: [string, string | undefined, string][] = [
    ["http", http, "127.0.0.1:8733"],
    ["otlp-grpc", otlp_grpc, "127.0.0.1:4317"],
    ["otlp-http", otlp_http, "127.0.0.1:4318"],
    ["xray", xray, "127.0.0.1:2000"],
  ];
  const elsewhere = flags.filter(([, is, usual]) => is && is !== usual).map(([name, is]) => ` --${name} ${is}`);
  const keys = status.auth === "off" ? "" : " --key YOUR_KEY --access-key-id YOUR_ACCESS_KEY --secret-key YOUR_SECRET";
  return elsewhere.join("") + keys;
}
