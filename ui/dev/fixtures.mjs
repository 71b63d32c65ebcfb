// Serves the console API from sample data, and dist/ beside it, for work on the UI without the real server.
//   node dev/fixtures.mjs [port]        FIXTURES=empty answers as a server that nothing has reached yet.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { sample } from "./sample.mjs";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const MIME = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

class Refusal extends Error {
  constructor(status, code, message, span) {
    super(message);
    Object.assign(this, { status, code, span });
  }
}

function refuseBadFilter(filter, bad, say) {
  const at = filter.search(bad);
  if (at >= 0)
    throw new Refusal(400, "InvalidFilter", `1:${at + 1}: unexpected ${JSON.stringify(filter[at])}, expected ${say}`, {
      start: at,
      end: at + 1,
    });
}

function bucketed(from, to, n, times) {
  const width = Math.max(1000, Math.ceil((to - from) / n / 1000) * 1000);
  const bins = Array.from({ length: Math.ceil((to - from) / width) }, (_, i) => ({ at: from + i * width, count: 0 }));
  for (const t of times) {
    const bin = bins[Math.floor((t - from) / width)];
    if (bin) bin.count++;
  }
  return { width, bins };
}

/** Starts the server; resolves to it and its address. */
export function serve({ port = 8734, empty = false } = {}) {
  const started = Date.now();
  const data = sample(started);
  const { iso, stats } = data;
  const ends = (q) => {
    const now = Date.now();
    const to = q.has("to") ? Number(q.get("to")) : now;
    return { from: q.has("from") ? Number(q.get("from")) : now - 3_600_000, to };
  };
  const status = () => ({
    version: "0.1.0-dev",
    started_at: iso(started - 7_200_000),
    environment: "bootcamp",
    auth: "off",
    addresses: {
      http: "127.0.0.1:8733",
      otlp_grpc: "127.0.0.1:4317",
      otlp_http: "127.0.0.1:4318",
      xray: "127.0.0.1:2000",
    },
    account: "000000000000",
    region: "us-east-1",
    sources: ["otlp", "events", "xray", "logs"].map((source, i) =>
      empty
        ? { source, events: 0, rejected: 0 }
        : {
            source,
            events: [182_331, 412, 96_220, 168_158][i],
            last_event_at: iso(Date.now() - [1200, 1_640_000, 2100, 3000][i]),
            rejected: i === 2 ? 3 : 0,
            ...(i === 2
              ? {
                  last_rejection: {
                    at: iso(started - 90_000),
                    reason: "segment 53995c3f42cd8ad8: end_time before start_time",
                  },
                }
              : {}),
          },
    ),
    events: empty ? 0 : 447_121,
    disk_bytes: empty ? 8192 : 96_468_992,
    xray_daemon: {
      received: empty ? 0 : 96_223,
      rejected: empty ? {} : { "bad header": 2, "no newline": 1 },
      spilled: 0,
      reported: { received: 0, rejected: 0, spilled: 0 },
    },
    ...(empty ? {} : { newest_event_at: iso(Date.now() - 1200) }),
  });
  const inRange = (list, key, { from, to }) =>
    list.filter((x) => {
      const t = Date.parse(x[key]);
      return t >= from && t <= to;
    });

  const routes = {
    status,
    services: (q) => {
      const { from, to } = ends(q);
      const n = 30;
      const wave = (base, spread, seed) =>
        Array.from({ length: n }, (_, i) =>
          Math.max(0, Math.round(base + spread * Math.sin(i / 3 + seed) + spread * 0.6 * Math.sin(i * 1.7 + seed * 5))),
        );
      const row = (name, sources, base, bad, p50, p95, seed) => {
        const requests_series = wave(base, base * 0.3, seed);
        const errors_series = wave(bad * 0.4, bad, seed + 2);
        const sum = (l) => l.reduce((a, b) => a + b, 0);
        return {
          name,
          sources,
          requests: sum(requests_series),
          errors: sum(errors_series),
          p50_ms: p50,
          p95_ms: p95,
          requests_series,
          errors_series,
        };
      };
      const services = empty
        ? []
        : [
            row("backend-flask", ["otlp", "xray", "logs"], 160, 4, 48.2, 412.2, 1),
            row("frontend-react", ["otlp"], 90, 2, 131.4, 902.7, 2),
            row("postgres", ["xray"], 300, 0, 6.1, 48, 3),
            row("cognito-idp", ["otlp"], 70, 1, 39.8, 71, 4),
            row("cruddur-messages", ["xray"], 40, 2, 7.4, 21.3, 5),
            row("notifier", ["otlp", "logs"], 13, 1, 180.9, 1840, 6),
            row("nightly-report", ["events"], 1, 0, 4203, 9120, 7),
          ];
      return {
        bucket_ms: (to - from) / n,
        buckets: Array.from({ length: n }, (_, i) => iso(from + (i * (to - from)) / n)),
        services,
        stats: stats(48_221),
      };
    },
    traces: (q) => {
      const filter = q.get("filter") ?? "";
      refuseBadFilter(filter, />>|[|&~]/, "a value");
      const seen = empty ? [] : inRange(data.traces, "start", ends(q));
      let traces = seen;
      if (/fault OR error/.test(filter)) traces = seen.filter((t) => t.fault || t.error);
      else if (/fault/.test(filter)) traces = seen.filter((t) => t.fault);
      const name = /service\("([^"]+)"\)/.exec(filter)?.[1];
      if (name) traces = traces.filter((t) => t.services.includes(name) || t.root_service === name);
      const longer = /duration >=? ?([\d.]+)/.exec(filter)?.[1];
      if (longer) traces = traces.filter((t) => t.duration_ms >= Number(longer) * 1000);
      const shorter = /duration < ?([\d.]+)/.exec(filter)?.[1];
      if (shorter) traces = traces.filter((t) => t.duration_ms < Number(shorter) * 1000);
      if (/none/.test(filter)) traces = [];
      const edges = [0, ...Array.from({ length: 22 }, (_, i) => Number((2 * 1.5 ** i).toPrecision(2)))];
      const histogram = edges.slice(0, -1).map((from_ms, i) => ({
        from_ms,
        to_ms: edges[i + 1],
        count: traces.filter((t) => t.duration_ms >= from_ms && t.duration_ms < edges[i + 1]).length,
      }));
      const offset = Number(q.get("cursor") ?? 0);
      const limit = Number(q.get("limit") ?? 50);
      return {
        traces: traces.slice(offset, offset + limit),
        ...(offset + limit < traces.length ? { next_cursor: String(offset + limit) } : {}),
        seen: seen.length,
        histogram,
        stats: stats(22_140),
      };
    },
    lookup: (q) => {
      const found = /1-([0-9a-f]{8})-([0-9a-f]{24})|([0-9a-f]{32})/i.exec(q.get("q") ?? "");
      const id = found?.[3] ?? (found && found[1] + found[2]);
      if (!id || !data.traces.some((t) => t.trace_id === id))
        throw new Refusal(404, "TraceNotFound", "no trace with this id");
      return { trace_id: id };
    },
    "logs/groups": (q) => ({
      groups: empty ? [] : data.groups.filter((g) => g.name.startsWith(q.get("prefix") ?? "")),
      stats: stats(6),
    }),
    "logs/streams": (q) => ({
      streams: data.streams.filter((s) => s.name.startsWith(q.get("prefix") ?? "")),
      stats: stats(4),
    }),
    "logs/events": (q) => {
      const filter = q.get("filter") ?? "";
      refuseBadFilter(filter, /\}\}|\|\|$/, "end of pattern");
      const range = ends(q);
      const stream = q.get("stream");
      const low = /status >= (\d+)/.exec(filter)?.[1];
      const word = /^\w+$/.exec(filter)?.[0];
      const events = inRange(data.events, "time", range).filter(
        (e) =>
          (!stream || e.stream === stream) &&
          (!word || e.message.includes(word) || e.severity === word) &&
          (!low || e.fields.some((f) => f.name === "status" && f.value >= Number(low))),
      );
      if (q.get("order") === "asc") events.reverse();
      const { width, bins } = bucketed(
        range.from,
        range.to,
        60,
        events.map((e) => Date.parse(e.time)),
      );
      return {
        events,
        histogram: bins.map((b) => ({ time: iso(b.at), count: b.count })),
        bucket_ms: width,
        stats: stats(143_882),
      };
    },
    map: (q) => {
      refuseBadFilter(q.get("filter") ?? "", />>|[|&~]/, "a value");
      return empty ? { nodes: [], edges: [], stats: stats(0) } : data.map;
    },
    datasets: () => ({ datasets: empty ? [] : data.datasets }),
  };

  function query(body) {
    const to = body.end_time ? body.end_time * 1000 : Date.now();
    const from = body.start_time ? body.start_time * 1000 : to - body.time_range * 1000;
    const n = 60;
    const step = Math.max(1, Math.round((to - from) / n / 1000));
    const calculations = body.calculations.map((c) => (c.column ? `${c.op}(${c.column})` : c.op));
    const breakdowns = body.breakdowns ?? [];
    for (const b of breakdowns)
      if (b === "nope") throw new Refusal(400, "InvalidQuery", `unknown column "${b}" in breakdowns`);
    const groups =
      breakdowns.length === 0
        ? [{}]
        : data.traces
            .slice(0, 40)
            .map((t) => ({ name: t.root_name, "service.name": t.root_service }))
            .filter((g, i, all) => all.findIndex((x) => x.name === g.name) === i)
            .map((g) => Object.fromEntries(breakdowns.map((b) => [b, g[b] ?? null])));
    const value = (op, i, g) => {
      const base = (g + 1) * 17 + 9 * Math.sin(i / 4 + g) + 5 * Math.sin(i * 1.3 + g * 3);
      if (op === "COUNT") return Math.max(0, Math.round(base * 3));
      return Math.max(0.2, base * 6.1);
    };
    const row = (group, i, g) => {
      const out = { ...group };
      body.calculations.forEach((c, k) => {
        if (c.op === "HEATMAP") {
          out[calculations[k]] = {
            buckets: Array.from({ length: 18 }, (_, j) => ({
              min: j * 60,
              max: (j + 1) * 60,
              count: Math.max(
                0,
                Math.round(
                  40 * Math.exp(-((j - 2 - 1.4 * Math.sin(i / 6)) ** 2) / 5) +
                    (i > 34 && i < 44 ? 9 * Math.exp(-((j - 13) ** 2) / 4) : 0) -
                    0.4,
                ),
              ),
            })),
          };
        } else out[calculations[k]] = value(c.op, i, g);
      });
      return out;
    };
    const series = Array.from({ length: n }, (_, i) =>
      groups.map((group, g) => ({ time: iso(from + i * step * 1000), data: row(group, i, g) })),
    ).flat();
    const results = groups.map((group, g) => {
      const out = { ...group };
      body.calculations.forEach((c, k) => {
        if (c.op === "HEATMAP") return;
        const all = Array.from({ length: n }, (_, i) => value(c.op, i, g));
        out[calculations[k]] = c.op === "COUNT" ? all.reduce((a, b) => a + b, 0) : Math.max(...all);
      });
      return out;
    });
    return {
      granularity_s: step,
      from: iso(from),
      to: iso(to),
      calculations,
      breakdowns,
      results: body.filters?.some((f) => f.value === "none") ? [] : results,
      series,
      stats: stats(182_331),
    };
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://fixtures");
    const json = (code, body) => {
      response.writeHead(code, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (url.pathname === "/api/events") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(": open\n\n");
      const timer = setInterval(
        () => response.write(`event: ingest\ndata: ${JSON.stringify({ sources: status().sources })}\n\n`),
        1000,
      );
      request.on("close", () => clearInterval(timer));
      return;
    }
    if (url.pathname.startsWith("/api/")) {
      try {
        const path = url.pathname.slice(5);
        const id = /^traces\/(.+)$/.exec(path)?.[1];
        if (id) {
          const plain = decodeURIComponent(id).replace(/^1-([0-9a-f]{8})-/, "$1");
          const summary = data.traces.find((t) => t.trace_id === plain);
          if (!summary) throw new Refusal(404, "TraceNotFound", `no trace with id ${id}`);
          json(200, { ...data.trace, trace_id: summary.trace_id, xray_id: summary.xray_id });
        } else if (path === "query" && request.method === "POST") {
          const chunks = [];
          for await (const chunk of request) chunks.push(chunk);
          json(200, query(JSON.parse(Buffer.concat(chunks).toString())));
        } else if (routes[path]) json(200, routes[path](url.searchParams));
        else json(404, { error: { code: "NotFound", message: `no route ${path}` } });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        json(error.status, {
          error: { code: error.code, message: error.message, ...(error.span ? { span: error.span } : {}) },
        });
      }
      return;
    }
    let file = join(dist, normalize(decodeURIComponent(url.pathname)));
    if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) file = join(dist, "index.html");
    response.writeHead(200, {
      "content-type": MIME[extname(file)] ?? "application/octet-stream",
      "content-security-policy": "default-src 'self'",
    });
    createReadStream(file).pipe(response);
  });
  return new Promise((done) => {
    server.listen(port, "127.0.0.1", () =>
      done({ server, url: `http://127.0.0.1:${server.address().port}`, trace: data.main }),
    );
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve({ port: Number(process.argv[2] ?? 8734), empty: process.env.FIXTURES === "empty" });
  console.log(`fixtures at ${url}`);
}
