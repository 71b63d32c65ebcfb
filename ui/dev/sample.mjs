// The sample data of the development server: one deployment of a small shop of messages, seen by all three clients.

const HOUR = 3_600_000;

/** A seeded random source, so that every run shows the same pictures. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

const hex = (rnd, length) => Array.from({ length }, () => Math.floor(rnd() * 16).toString(16)).join("");
const iso = (ms) => {
  const whole = Math.floor(ms);
  return new Date(whole)
    .toISOString()
    .replace("Z", `${String(Math.round((ms - whole) * 1e6) % 1e6).padStart(6, "0")}Z`);
};
const field = (name, value) => ({
  name,
  type:
    typeof value === "string"
      ? "string"
      : typeof value === "boolean"
        ? "boolean"
        : Number.isInteger(value)
          ? "integer"
          : "float",
  value,
});
const fields = (object) => Object.entries(object).map(([name, value]) => field(name, value));

const stats = (rows) => ({
  rows_scanned: rows,
  bytes_scanned: rows * 412,
  segments_scanned: 4,
  segments_pruned: 11,
  elapsed_ms: 3.84,
});

/** Makes everything that the API answers, as of now. */
export function sample(now) {
  const rnd = random(7);
  const traceId = (ms) =>
    Math.floor(ms / 1000)
      .toString(16)
      .padStart(8, "0") + hex(rnd, 24);
  const xrayId = (id) => `1-${id.slice(0, 8)}-${id.slice(8)}`;

  const start = now - 4 * 60_000 - 321.456789;
  const main = traceId(start);
  const at = (ms) => iso(start + ms);
  const rows = [];
  const add = (id, parent, kind, source, name, service, from, length, more = {}) => {
    rows.push({
      id,
      ...(parent ? { parent_id: parent } : {}),
      kind,
      source,
      name,
      service,
      start: at(from),
      duration_ms: length,
      status: "ok",
      ...more,
      fields: fields(more.fields ?? {}),
    });
    return id;
  };
  const http = (method, route, status) => ({
    "http.request.method": method,
    "http.route": route,
    "http.response.status_code": status,
  });
  const browser = add(
    "b0a1c2d3e4f50617",
    undefined,
    "span",
    "otlp",
    "POST /api/activities",
    "frontend-react",
    0,
    1284.512,
    {
      span_kind: "CLIENT",
      status: "fault",
      fields: {
        ...http("POST", "/api/activities", 500),
        "url.full": "https://app.cruddur.example/api/activities",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0",
        "session.id": "8c1f0e3a",
        "browser.language": "en-GB",
      },
    },
  );
  const server = add(
    "71c2aa90be3344f1",
    browser,
    "span",
    "otlp",
    "POST /api/activities",
    "backend-flask",
    18.2,
    1249.8,
    {
      span_kind: "SERVER",
      status: "fault",
      fields: {
        ...http("POST", "/api/activities", 500),
        "service.name": "backend-flask",
        "service.version": "2.4.1",
        "net.peer.ip": "192.168.191.138",
        "app.user_id": "andrew",
        "app.message_length": 412,
        "app.is_reply": false,
        "process.pid": 4711,
        "telemetry.sdk.language": "python",
        "http.status": 500,
      },
    },
  );
  add("ev-recv", server, "span_event", "otlp", "request body parsed", "backend-flask", 21.4, 0, {
    fields: { bytes: 1288 },
  });
  const auth = add("3e5f88d012aa41bc", server, "span", "otlp", "cognito.verify_token", "backend-flask", 22.1, 61.9, {
    span_kind: "INTERNAL",
    fields: { "enduser.id": "andrew", "auth.cached": false },
  });
  add("9ab3417c00de5f21", auth, "span", "otlp", "GET /.well-known/jwks.json", "cognito-idp", 25.3, 48.7, {
    span_kind: "CLIENT",
    inferred: true,
    fields: http("GET", "/.well-known/jwks.json", 200),
  });
  add("log-auth", auth, "log", "logs", "token verified", "backend-flask", 83.2, 0, {
    message: '{"level":"info","msg":"token verified","user":"andrew","ms":61.9}',
    severity: "INFO",
    group: "cruddur",
    stream: "backend-flask/1",
    fields: { level: "info", user: "andrew" },
  });
  const segment = add("5b2d0c77a1934e06", server, "segment", "xray", "backend-flask", "backend-flask", 86.4, 1176.2, {
    status: "fault",
    fields: {
      "http.method": "POST",
      "http.url": "https://api.cruddur.example/api/activities",
      "http.status": 500,
      "annotation.user_id": "andrew",
      "annotation.cold": false,
      "aws.xray.sdk": "X-Ray for Python",
      "aws.xray.sdk_version": "2.15.0",
    },
  });
  const create = add(
    "a4471f0bb2c86d93",
    segment,
    "subsegment",
    "xray",
    "create_activity",
    "backend-flask",
    92.3,
    1164.1,
    { status: "fault", fields: { "annotation.handle": "andrewbrown", "metadata.app.ttl": "7-days" } },
  );
  const mock = add("c02e9a118d7744fa", create, "subsegment", "xray", "mock-data", "backend-flask", 94.9, 4.4, {
    fields: { "metadata.default.now": at(95), "metadata.default.results_size": 3 },
  });
  add("log-mock", mock, "log", "logs", "home activities", "backend-flask", 97.2, 0, {
    message: "HomeActivities",
    severity: "INFO",
    group: "cruddur",
    stream: "backend-flask/1",
  });
  const lookup = add("1d88fe07334c5ab2", create, "subsegment", "xray", "postgres", "postgres", 101.7, 212.6, {
    span_kind: "CLIENT",
    fields: {
      "sql.sanitized_query": "SELECT uuid FROM public.users WHERE users.handle = %(handle)s LIMIT 1",
      "sql.database_type": "PostgreSQL",
      "sql.url": "postgresql://db:5432/cruddur",
      "db.rows": 1,
    },
  });
  add("log-slow", lookup, "log", "logs", "slow query", "postgres", 311.2, 0, {
    message:
      "duration: 209.881 ms  statement: SELECT uuid FROM public.users WHERE users.handle = 'andrewbrown' LIMIT 1",
    severity: "WARN",
    group: "/cruddur/postgres",
    stream: "primary",
  });
  const insert = add("77b1e25c9f0d4a38", create, "subsegment", "xray", "postgres", "postgres", 318.9, 96.4, {
    span_kind: "CLIENT",
    fields: {
      "sql.sanitized_query": "INSERT INTO public.activities (user_uuid, message, expires_at) VALUES (…)",
      "sql.database_type": "PostgreSQL",
      "db.rows": 1,
    },
  });
  add("log-ins", insert, "log", "logs", "inserted", "backend-flask", 414.8, 0, {
    message: '{"level":"info","msg":"activity stored","uuid":"6f1c…e2","ms":96.4}',
    severity: "INFO",
    group: "cruddur",
    stream: "backend-flask/1",
  });
  const fan = add("e9930cd2157b48aa", create, "subsegment", "xray", "notify_followers", "backend-flask", 420.3, 828.5, {
    status: "fault",
    fields: { "annotation.followers": 3 },
  });
  for (let i = 0; i < 3; i++) {
    const put = add(
      `d${i}41aa7be09c3f5${i}`,
      fan,
      "subsegment",
      "xray",
      "DynamoDB",
      "cruddur-messages",
      426 + i * 74,
      66.2 + i * 9,
      {
        span_kind: "CLIENT",
        status: i === 1 ? "throttle" : "ok",
        fields: {
          "aws.operation": "PutItem",
          "aws.table_name": "cruddur-messages",
          "aws.request_id": `R${i}K2P`,
          "aws.retries": i === 1 ? 2 : 0,
        },
      },
    );
    if (i === 1)
      add("log-throttle", put, "log", "logs", "throttled", "backend-flask", 560, 0, {
        message:
          '{"level":"warn","msg":"ProvisionedThroughputExceededException, retry 2 of 5","table":"cruddur-messages"}',
        severity: "WARN",
        group: "cruddur",
        stream: "backend-flask/1",
      });
  }
  const worker = add("0fb86e41d2c95a77", fan, "span", "otlp", "notifications.publish", "notifier", 668.4, 571.2, {
    span_kind: "PRODUCER",
    status: "fault",
    fields: {
      "messaging.system": "aws_sqs",
      "messaging.destination.name": "cruddur-notify",
      "messaging.batch.message_count": 3,
    },
  });
  const consumer = add("b6cc20f5a87341ee", worker, "span", "otlp", "process cruddur-notify", "notifier", 702.9, 522.7, {
    span_kind: "CONSUMER",
    status: "fault",
    fields: { "messaging.operation": "process", "worker.queue_depth": 18 },
  });
  add("link-1", consumer, "link", "otlp", "link to an earlier delivery", "notifier", 702.9, 0, {
    fields: { "trace.link.trace_id": "5759e988bd862e3fe1be46a994272793", "trace.link.span_id": "53995c3f42cd8ad8" },
  });
  const render = add("48d1e07a96cb25f3", consumer, "span", "otlp", "render_template", "notifier", 714.2, 38.6, {
    fields: { "template.name": "mention.html", "template.cached": true },
  });
  add("ev-cache", render, "span_event", "otlp", "template cache hit", "notifier", 715.9, 0, {
    fields: { key: "mention.html@3" },
  });
  const mail = add("2ac7f9e0815b63d4", consumer, "span", "otlp", "POST smtp-relay /send", "notifier", 758.1, 461.3, {
    span_kind: "CLIENT",
    status: "fault",
    fields: {
      ...http("POST", "/send", 503),
      "server.address": "smtp-relay",
      "retry.count": 2,
      "error.type": "ConnectionError",
    },
  });
  add("ev-exc", mail, "span_event", "otlp", "exception", "notifier", 1216.4, 0, {
    status: "fault",
    fields: {
      "exception.type": "requests.exceptions.ConnectionError",
      "exception.message": "HTTPConnectionPool(host='smtp-relay', port=8025): Max retries exceeded with url: /send",
      "exception.escaped": true,
      "exception.stacktrace": [
        "Traceback (most recent call last):",
        '  File "/app/notifier/worker.py", line 88, in process',
        "    relay.send(message, timeout=0.4)",
        '  File "/app/notifier/relay.py", line 31, in send',
        "    response = self.session.post(self.url, json=body, timeout=timeout)",
        '  File "/usr/lib/python3.11/site-packages/requests/adapters.py", line 519, in send',
        "    raise ConnectionError(e, request=request)",
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='smtp-relay', port=8025): Max retries exceeded with url: /send",
      ].join("\n"),
    },
  });
  add("log-mail", mail, "log", "logs", "send failed", "notifier", 1217.1, 0, {
    message: '{"level":"error","msg":"mail not sent","host":"smtp-relay","attempts":3,"trace_id":"…"}',
    severity: "ERROR",
    group: "/cruddur/notifier",
    stream: "worker/7",
    fields: { level: "error", attempts: 3 },
  });
  add("log-500", server, "log", "logs", "access", "backend-flask", 1266.9, 0, {
    message: "192.168.191.138 POST http /api/activities? 500 INTERNAL SERVER ERROR",
    severity: "ERROR",
    group: "cruddur",
    stream: "backend-flask/1",
    fields: { status: 500, method: "POST" },
  });

  const seconds = (ms) => (start + ms) / 1000;
  const trace = {
    trace_id: main,
    xray_id: xrayId(main),
    start: at(0),
    end: at(1284.512),
    duration_ms: 1284.512,
    root_name: "POST /api/activities",
    root_service: "frontend-react",
    partial: false,
    sources: ["otlp", "xray", "logs"],
    services: [
      { name: "frontend-react", spans: 1, errors: 1 },
      { name: "backend-flask", spans: 6, errors: 4 },
      { name: "cognito-idp", spans: 1, errors: 0 },
      { name: "postgres", spans: 2, errors: 0 },
      { name: "cruddur-messages", spans: 3, errors: 1 },
      { name: "notifier", spans: 4, errors: 3 },
    ],
    missing_parents: 0,
    truncated: 0,
    rows,
    documents: [
      {
        id: segment,
        name: "backend-flask",
        document: {
          trace_id: xrayId(main),
          id: segment,
          name: "backend-flask",
          start_time: seconds(86.4),
          end_time: seconds(1262.6),
          parent_id: server,
          fault: true,
          http: {
            request: {
              method: "POST",
              url: "https://api.cruddur.example/api/activities",
              client_ip: "192.168.191.138",
              user_agent: "Mozilla/5.0",
            },
            response: { status: 500, content_length: 291 },
          },
          annotations: { user_id: "andrew", cold: false },
          aws: { xray: { sdk: "X-Ray for Python", sdk_version: "2.15.0", sampling_rule_name: "Cruddur" } },
          subsegments: [
            {
              id: create,
              name: "create_activity",
              start_time: seconds(92.3),
              end_time: seconds(1256.4),
              fault: true,
              namespace: "local",
              annotations: { handle: "andrewbrown" },
              metadata: { app: { ttl: "7-days" } },
              subsegments: [
                {
                  id: mock,
                  name: "mock-data",
                  start_time: seconds(94.9),
                  end_time: seconds(99.3),
                  metadata: { default: { now: at(95), results_size: 3 } },
                },
                {
                  id: lookup,
                  name: "postgres",
                  start_time: seconds(101.7),
                  end_time: seconds(314.3),
                  namespace: "remote",
                  sql: {
                    sanitized_query: "SELECT uuid FROM public.users WHERE users.handle = %(handle)s LIMIT 1",
                    database_type: "PostgreSQL",
                  },
                },
                {
                  id: fan,
                  name: "notify_followers",
                  start_time: seconds(420.3),
                  end_time: seconds(1248.8),
                  fault: true,
                  cause: {
                    working_directory: "/app",
                    exceptions: [
                      {
                        id: "1f0e",
                        type: "NotifyError",
                        message: "1 of 3 notifications failed",
                        stack: [
                          { path: "services/notify.py", line: 52, label: "notify_followers" },
                          { path: "services/create_activity.py", line: 71, label: "run" },
                        ],
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      },
    ],
    stats: stats(1932),
  };

  const kinds = [
    ["frontend-react", "POST /api/activities", "POST", ["otlp", "xray", "logs"], 900, 27],
    ["backend-flask", "GET /api/activities/home", "GET", ["otlp", "xray", "logs"], 48, 9],
    ["backend-flask", "GET /api/activities/@andrewbrown", "GET", ["otlp", "xray", "logs"], 74, 11],
    ["backend-flask", "GET /api/message_groups", "GET", ["otlp", "xray"], 120, 14],
    ["backend-flask", "GET /api/activities/search", "GET", ["xray", "logs"], 210, 6],
    ["notifier", "process cruddur-notify", undefined, ["otlp", "logs"], 180, 5],
    ["nightly-report", "report.build", undefined, ["events"], 4200, 38],
    ["backend-flask", "GET /api/health-check", "GET", ["xray"], 3, 1],
  ];
  const traces = [
    {
      trace_id: main,
      xray_id: xrayId(main),
      start: at(0),
      duration_ms: 1284.512,
      root_name: "POST /api/activities",
      root_service: "frontend-react",
      method: "POST",
      url: "https://app.cruddur.example/api/activities",
      status: 500,
      spans: 17,
      logs: 8,
      error: false,
      fault: true,
      throttle: false,
      partial: false,
      sources: ["otlp", "xray", "logs"],
      services: trace.services.map((s) => s.name),
    },
  ];
  for (let i = 0; i < 120; i++) {
    const [service, name, method, sources, typical, spans] = kinds[Math.floor(rnd() ** 1.4 * kinds.length)];
    const from = now - 20_000 - i * 27_000 - rnd() * 20_000;
    const id = traceId(from);
    const luck = rnd();
    const fault = luck > 0.94;
    const error = luck > 0.88 && !fault;
    const throttle = luck < 0.02;
    traces.push({
      trace_id: id,
      xray_id: xrayId(id),
      start: iso(from),
      duration_ms: typical * (0.5 + rnd() ** 3 * 5),
      root_name: name,
      root_service: service,
      ...(method
        ? {
            method,
            url: `https://api.cruddur.example${name.split(" ")[1]}`,
            status: fault ? 500 : throttle ? 429 : error ? 404 : 200,
          }
        : {}),
      spans,
      logs: sources.includes("logs") ? Math.floor(rnd() * 6) : 0,
      error: error || throttle,
      fault,
      throttle,
      partial: i === 2,
      sources,
      services:
        spans > 8 ? ["backend-flask", "postgres", "cognito-idp"].slice(0, 1 + Math.floor(rnd() * 3)) : [service],
    });
  }
  traces.sort((a, b) => (a.start < b.start ? 1 : -1));

  const groups = [
    ["/aws/lambda/cruddur-post-confirmation", 14, 3, 41_200, 812],
    ["/cruddur/notifier", 7, 8, 2_310_442, 18_204],
    ["/cruddur/postgres", undefined, 1, 918_772, 6120],
    ["cruddur", 30, 4, 18_442_901, 143_882],
    ["nightly-report", undefined, 1, 20_480, 96],
    ["run/python-app", 1, 2, 9_120, 44],
  ].map(([name, retention, streams, size, events], i) => ({
    name,
    ...(retention ? { retention_days: retention } : {}),
    stored_bytes: size,
    events,
    streams,
    created_at: iso(now - 9 * 24 * HOUR),
    ...(i === 4 ? {} : { last_event_at: iso(now - i * 95_000 - 2000) }),
  }));
  const streamNames = ["backend-flask/1", "backend-flask/2", "backend-flask/3", "cron"];
  const streams = streamNames.map((name, i) => ({
    name,
    created_at: iso(now - 9 * 24 * HOUR),
    first_event_at: iso(now - 8 * 24 * HOUR),
    last_event_at: iso(now - 3000 - i * 41_000),
    last_ingestion_at: iso(now - 2000 - i * 41_000),
    events: [82_114, 51_002, 10_712, 54][i],
  }));
  const paths = [
    "/api/activities/home",
    "/api/activities",
    "/api/message_groups",
    "/api/activities/search",
    "/api/health-check",
  ];
  const events = Array.from({ length: 200 }, (_, i) => {
    const time = now - 3000 - i * 16_000 - rnd() * 9000;
    const luck = rnd();
    const status = luck > 0.93 ? 500 : luck > 0.86 ? 404 : 200;
    const severity = status === 500 ? "ERROR" : status === 404 ? "WARN" : "INFO";
    const json = rnd() > 0.35;
    const path = paths[Math.floor(rnd() * paths.length)];
    const ms = Math.round(rnd() ** 2 * 4000) / 10;
    const body = {
      level: severity.toLowerCase(),
      msg: "request",
      method: "GET",
      path,
      status,
      duration_ms: ms,
      remote_addr: "192.168.191.138",
      user: rnd() > 0.5 ? "andrew" : "bayko",
    };
    const message = json
      ? JSON.stringify(body)
      : `[2026-Nov-23 ${new Date(time).toISOString().slice(11, 16)}] 192.168.191.138 GET http ${path}? ${status} ${status === 200 ? "OK" : status === 404 ? "NOT FOUND" : "INTERNAL SERVER ERROR"}`;
    const linked = i % 5 === 1;
    return {
      id: `event-${i}`,
      time: iso(time),
      ingested_at: iso(time + 812),
      stream: streamNames[Math.floor(rnd() ** 2 * 4)],
      message,
      severity,
      ...(linked ? { trace_id: main, span_id: server } : {}),
      fields: json ? fields(body) : fields({ remote_addr: "192.168.191.138", status }),
    };
  });

  const counts = (requests, errors, faults, throttles, avg) => ({
    requests,
    ok: requests - errors - faults - throttles,
    errors,
    faults,
    throttles,
    avg_ms: avg,
  });
  const map = {
    nodes: [
      { id: 0, name: "clients", type: "client", root: false, ...counts(4820, 120, 58, 4, 96.1) },
      {
        id: 1,
        name: "backend-flask",
        type: "AWS::EC2::Instance",
        root: true,
        ...counts(4820, 120, 58, 4, 88.4),
        p95_ms: 412.2,
      },
      { id: 2, name: "postgres", type: "Database::SQL", root: false, ...counts(9122, 0, 3, 0, 12.7), p95_ms: 48 },
      {
        id: 3,
        name: "cruddur-messages",
        type: "AWS::DynamoDB::Table",
        root: false,
        ...counts(1204, 0, 0, 61, 8.2),
        p95_ms: 21.3,
      },
      { id: 4, name: "notifier", type: "", root: false, ...counts(388, 0, 41, 0, 512.6), p95_ms: 1840 },
      { id: 5, name: "cognito-idp", type: "remote", root: false, ...counts(2210, 34, 0, 0, 44.9), p95_ms: 71 },
    ],
    edges: [
      { source: 0, target: 1, ...counts(4820, 120, 58, 4, 92.3) },
      { source: 1, target: 2, ...counts(8734, 0, 3, 0, 12.1) },
      { source: 1, target: 3, ...counts(1204, 0, 0, 61, 8.2) },
      { source: 1, target: 4, ...counts(388, 0, 41, 0, 512.6) },
      { source: 1, target: 5, ...counts(2210, 34, 0, 0, 44.9) },
      { source: 4, target: 2, ...counts(388, 0, 0, 0, 26.3) },
      { source: 1, target: 4, link: true, ...counts(52, 0, 0, 0, 180.2) },
      { source: 5, target: 4, link: true, ...counts(31, 0, 9, 0, 96.5) },
    ],
    stats: stats(22_140),
  };

  const names = [
    "name",
    "service.name",
    "duration_ms",
    "http.response.status_code",
    "http.route",
    "error",
    "trace.trace_id",
    "app.user_id",
  ];
  const types = ["string", "string", "float", "integer", "string", "boolean", "string", "string"];
  const columns = names.map((name, i) => ({ name, type: types[i] }));
  const dataset = (name, kind, age) => ({
    name,
    slug: name.replace(/[^a-z0-9]+/gi, "-"),
    kind,
    created_at: iso(now - 9 * 24 * HOUR),
    last_event_at: iso(now - age),
    columns,
  });
  const datasets = [
    dataset("backend-flask", "honeycomb", 3000),
    dataset("frontend-react", "honeycomb", 9000),
    dataset("notifier", "honeycomb", 40_000),
    dataset("X-Ray", "xray", 3000),
    dataset("cruddur", "logs", 2000),
  ];
  return { main, trace, traces, groups, streams, events, map, datasets, columns, rnd, iso, stats };
}
