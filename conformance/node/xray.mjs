// X6: an express application with AWS's middleware, asked about with AWS's client.
import assert from "node:assert/strict";
import { once } from "node:events";
import { BatchGetTracesCommand, GetServiceGraphCommand, GetTraceSummariesCommand, InvalidRequestException, XRayClient } from "@aws-sdk/client-xray";
import AWSXRay from "aws-xray-sdk-core";
import express from "aws-xray-sdk-express";
import web from "express";

const app = web();
app.use(express.openSegment("express-app"));
app.get("/ok", (req, res) => {
  const sub = AWSXRay.getSegment().addNewSubsegment("work");
  sub.addAnnotation("user", "u7");
  sub.addMetadata("items", [1, 2]);
  sub.close();
  res.json({ ok: true });
});
app.get("/slow", (req, res) => res.status(429).end());
app.get("/fail", () => {
  throw new TypeError("nothing here");
});
app.use(express.closeSegment());
app.use((err, req, res, next) => res.status(503).end());
const server = app.listen(0, "127.0.0.1");
await once(server, "listening");
const base = `http://127.0.0.1:${server.address().port}`;
const ROOT = "1-5759e988-bd862e3fe1be46a994272793";
const start = new Date(Date.now() - 5000);
const sampled = { headers: { "X-Amzn-Trace-Id": `Root=${ROOT};Sampled=1` } };
assert.equal((await fetch(`${base}/ok`, sampled)).status, 200);
for (const path of ["/slow", "/fail"]) {
  const id = `1-${Math.floor(Date.now() / 1000).toString(16)}-${path === "/slow" ? "a".repeat(24) : "b".repeat(24)}`;
  await fetch(base + path, { headers: { "X-Amzn-Trace-Id": `Root=${id};Sampled=1` } });
}

const client = new XRayClient({});
const find = async (FilterExpression) =>
  (await client.send(new GetTraceSummariesCommand({ StartTime: start, EndTime: new Date(Date.now() + 5000), TimeRangeType: "Event", FilterExpression }))).TraceSummaries;
const deadline = Date.now() + 10_000;
while ((await find('service("express-app")')).length < 3) {
  assert.ok(Date.now() < deadline, "three traces are not there in 10 s");
  await new Promise((resolve) => setTimeout(resolve, 100));
}
const [ok] = await find('annotation.user = "u7"');
assert.equal(ok.Id, ROOT);
assert.ok(ok.StartTime instanceof Date && Math.abs(ok.StartTime - Date.now()) < 60_000, `StartTime ${ok.StartTime}`);
assert.equal(ok.Http.HttpStatus, 200);
assert.deepEqual((await find("throttle")).map((t) => t.Http.HttpStatus), [429]);
assert.deepEqual((await find('rootcause.fault.exception { name = "TypeError" }')).map((t) => [t.HasFault, t.Http.HttpURL.endsWith("/fail")]), [[true, true]]);
const { Traces } = await client.send(new BatchGetTracesCommand({ TraceIds: [ROOT] }));
const document = JSON.parse(Traces[0].Segments[0].Document);
assert.deepEqual(document.subsegments[0].metadata, { default: { items: [1, 2] } });
const graph = await client.send(new GetServiceGraphCommand({ StartTime: start, EndTime: new Date(Date.now() + 5000) }));
assert.ok(graph.StartTime instanceof Date);
const node = graph.Services.find((s) => s.Name === "express-app" && s.Type !== "client");
assert.equal(node.SummaryStatistics.TotalCount, 3);
assert.equal(node.SummaryStatistics.FaultStatistics.TotalCount, 1);
assert.equal(node.SummaryStatistics.ErrorStatistics.ThrottleCount, 1);
await assert.rejects(find('service("x" {'), (e) => e instanceof InvalidRequestException && e.name === "InvalidRequestException" && e.$metadata.httpStatusCode === 400 && /position \d+/.test(e.message));
server.close();
console.log("ok");
process.exit(0);
