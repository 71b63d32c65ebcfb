"""S4: every row of the table of expected results, after the walk of seed_test.go."""

import json
import sys
import time

import requests
from expect import HTTP, api, equal, honeycomb_query, logs, xray

parented = sys.argv[1]
now = int(time.time())
window = {"StartTime": now - 900, "EndTime": now + 60}


def honeycomb():
    cols = {c["key_name"]: c["type"] for c in requests.get(f"{HTTP}/1/columns/backend-flask", headers={"X-Honeycomb-Team": "k"}, timeout=30).json()}
    for name, kind in {"app.now": "string", "app.result_length": "integer", "duration_ms": "float", "error": "boolean", "exception.message": "string",
                       "exception.stacktrace": "string", "library.name": "string"}.items():
        equal(f"column {name}", cols.get(name), kind)
    roots, _ = honeycomb_query("backend-flask", {"breakdowns": ["name", "trace.trace_id"], "filters": [
        {"column": "trace.parent_id", "op": "does-not-exist"}, {"column": "name", "op": "contains", "value": "/api/activities/home"}]})
    assert roots, "no root span of home"
    kids, _ = honeycomb_query("backend-flask", {"breakdowns": ["name", "library.name", "app.result_length"], "filters": [
        {"column": "trace.trace_id", "op": "=", "value": roots[0]["trace.trace_id"]}, {"column": "trace.parent_id", "op": "exists"}]})
    equal("the child of home", kids, [{"name": "home-activites-mock-data", "library.name": "home.activities", "app.result_length": 3, "COUNT": 1}])
    scopes, _ = honeycomb_query("backend-flask", {"breakdowns": ["library.name"]})
    equal("scopes", sorted(r["library.name"] for r in scopes), ["home.activities", "opentelemetry.instrumentation.flask"])
    errors, _ = honeycomb_query("backend-flask", {"breakdowns": ["trace.trace_id", "meta.annotation_type"], "filters": [{"column": "error", "op": "=", "value": True}]})
    equal("events with an error: the span of the 500 and its exception", sorted(r.get("meta.annotation_type", "") for r in errors), ["", "span_event"])
    equal("traces with an error", len({r["trace.trace_id"] for r in errors}), 1)


def query():
    spec = {"calculations": [{"op": "HEATMAP", "column": "duration_ms"}, {"op": "P90", "column": "duration_ms"}]}
    rows, series = honeycomb_query("backend-flask", spec)
    assert rows[0]["P90(duration_ms)"] > 0, rows
    assert sum(b["count"] for b in rows[0]["HEATMAP(duration_ms)"]["buckets"]) > 5, rows
    assert series, "the heatmap has no series"
    rules, _ = honeycomb_query("backend-flask", {"breakdowns": ["name"], "filters": [{"column": "span.kind", "op": "=", "value": "server"}]})
    names = [r["name"].removeprefix("GET ").removeprefix("POST ") for r in rules]
    equal("one row for each rule", len(names), len(set(names)))
    for rule in ["/api/activities/home", "/api/activities/@<string:handle>", "/api/activities/<string:activity_uuid>", "/api/activities/search", "/api/activities"]:
        assert rule in names, f"{rule} is not among {names}"
    count, _ = honeycomb_query("backend-flask", {"filters": [{"column": "http.status_code", "op": "=", "value": 422}]})
    equal("requests with status 422", count, [{"COUNT": 1}])


def summaries(expression=None, **more):
    args = dict(window, **more)
    if expression:
        args["FilterExpression"] = expression
    out = []
    for page in xray().get_paginator("get_trace_summaries").paginate(**args):
        out += page["TraceSummaries"]
    return out


def documents(ids):
    traces = xray().batch_get_traces(TraceIds=ids)
    equal("unprocessed ids", traces.get("UnprocessedTraceIds", []), [])
    return {t["Id"]: [json.loads(s["Document"]) for s in t["Segments"]] for t in traces["Traces"]}


def find(node, name):
    for sub in node.get("subsegments", []):
        if sub["name"] == name:
            return sub
        if deeper := find(sub, name):
            return deeper
    return None


def traces():
    rules = {r["SamplingRule"]["RuleName"]: r["SamplingRule"]["Priority"] for r in xray().get_sampling_rules()["SamplingRuleRecords"]}
    equal("sampling rules", {n: rules.get(n) for n in ("Cruddur", "Default")}, {"Cruddur": 9000, "Default": 10000})

    users = summaries('service("backend-flask") AND http.url CONTAINS "@andrewbrown"')
    assert users, "no trace of the user page"
    docs = documents([t["Id"] for t in users][:5])
    seen = False
    ruled = False
    for segments in docs.values():
        for doc in segments:
            ruled = ruled or doc.get("aws", {}).get("xray", {}).get("sampling_rule_name") == "Cruddur"
            sub = find(doc, "activities_users")
            mock = sub and find(sub, "mock-data")
            if mock:
                equal("results-size", mock["metadata"]["namespace"]["key"]["results-size"], 1)
                equal("status", doc["http"]["response"]["status"], 200)
                equal("name", doc["name"], "backend-flask")
                seen = True
    assert seen, f"no backend-flask → activities_users → mock-data in {docs}"
    assert ruled, "no segment names the sampling rule Cruddur"

    faults = [t for t in summaries("fault = true") if "FaultRootCauses" in t and t["FaultRootCauses"]]
    exceptions = {e["Name"] for t in faults for c in t["FaultRootCauses"] for s in c["Services"] for p in s["EntityPath"] for e in p.get("Exceptions", [])}
    assert "NameError" in exceptions, f"exceptions of faults: {exceptions}"
    shows = [t for t in faults if any(p["Name"] == "activities_show" for c in t["FaultRootCauses"] for s in c["Services"] for p in s["EntityPath"])]
    equal("X-Ray traces of activities_show with a fault", len(shows), 1)
    searches = summaries('http.url CONTAINS "search" AND error')
    assert searches and all(t["Http"]["HttpStatus"] == 422 for t in searches), searches
    equal("group Cruddur is its expression", {t["Id"] for t in summaries('group.name = "Cruddur"')}, {t["Id"] for t in summaries('service("backend-flask")')})

    doc = documents([parented])[parented][0]
    equal("parent of the incoming header", doc["parent_id"], "53995c3f42cd8ad8")
    equal("rule of the incoming header", doc.get("aws", {}).get("xray", {}).get("sampling_rule_name"), None)
    # One request has two ids, one of each tracer: both open.
    equal("page of the X-Ray id", api(f"/api/traces/{parented}")["xray_id"], parented)
    homes, _ = honeycomb_query("backend-flask", {"breakdowns": ["trace.trace_id"], "filters": [{"column": "name", "op": "=", "value": "home-activites-mock-data"}]})
    equal("page of the OpenTelemetry id", api("/api/traces/" + homes[0]["trace.trace_id"])["trace_id"], homes[0]["trace.trace_id"])


def graph():
    services = xray().get_service_graph(**window)["Services"]
    real = [s for s in services if s.get("Type") != "client"]
    equal("services", [s["Name"] for s in real], ["backend-flask"])
    assert any(s.get("Type") == "client" for s in services), services
    st = real[0]["SummaryStatistics"]
    total = st["OkCount"] + st["ErrorStatistics"]["TotalCount"] + st["FaultStatistics"]["TotalCount"]
    equal("ok + error + fault", total, st["TotalCount"])
    # Both tracers report each request: X-Ray's segments and OpenTelemetry's server spans.
    spans, _ = honeycomb_query("backend-flask", {"filters": [{"column": "span.kind", "op": "=", "value": "server"}, {"column": "trace.parent_id", "op": "does-not-exist"}]})
    segments, _ = honeycomb_query("xray", {"filters": [{"column": "xray.type", "op": "=", "value": "segment"}]})
    equal("requests on the graph", st["TotalCount"], spans[0]["COUNT"] + segments[0]["COUNT"])
    assert st["FaultStatistics"]["TotalCount"] >= 1 and st["ErrorStatistics"]["TotalCount"] >= 1, st


def sampling():
    out = xray().get_sampling_statistic_summaries()["SamplingStatisticSummaries"]
    mine = [s for s in out if s["RuleName"] == "Cruddur"]
    assert sum(s["RequestCount"] for s in mine) >= 1, out
    target = xray().get_sampling_targets(SamplingStatisticsDocuments=[{"RuleName": "Cruddur", "ClientID": "0" * 24, "Timestamp": now, "RequestCount": 9, "SampledCount": 1}])
    document = target["SamplingTargetDocuments"][0]
    equal("fixed rate", document["FixedRate"], 0.1)
    assert document["ReservoirQuota"] >= 1, document


def log_rows():
    c = logs()
    streams = c.describe_log_streams(logGroupName="cruddur")["logStreams"]
    equal("streams", len(streams), 1)
    assert "/app/" in streams[0]["logStreamName"], streams
    events = c.filter_log_events(logGroupName="cruddur")["events"]
    messages = [e["message"] for e in events]
    assert "test log" in messages and "initializing xray middleware" in messages, messages
    access = [m for m in messages if m.startswith("[2")]
    homes = [m for m in messages if m == "HomeActivities"]
    assert len([m for m in access if "/api/activities/home?" in m]) == len(homes), messages
    traceback = [m for m in messages if "NameError" in m]
    assert len(traceback) == 1 and "\n" in traceback[0], traceback
    equal("filter HomeActivities", len(c.filter_log_events(logGroupName="cruddur", filterPattern="HomeActivities")["events"]), len(homes))
    equal('filter "404 NOT FOUND"', len(c.filter_log_events(logGroupName="cruddur", filterPattern='"404 NOT FOUND"')["events"]), len([m for m in access if "404 NOT FOUND" in m]))
    found = c.filter_log_events(logGroupName="cruddur", filterPattern="[ts, ip, method, scheme, path, code=4*, reason]")["events"]
    equal("space-delimited filter", sorted(e["message"] for e in found), sorted(m for m in access if m.split("? ")[-1].split(" ")[0].startswith("4") or " 4" in m.split("]")[1]))
    q = c.start_query(logGroupName="cruddur", startTime=now - 900, endTime=now + 60,
                      queryString='filter @message like /^\\[/ | parse @message "[*] * * * * * *" as ts, ip, method, scheme, path, code, reason | stats count() by code')
    deadline = time.time() + 20
    while (r := c.get_query_results(queryId=q["queryId"]))["status"] in ("Scheduled", "Running"):
        assert time.time() < deadline, r
        time.sleep(0.1)
    equal("Insights status", r["status"], "Complete")
    by_code = {row[0]["value"]: int(row[1]["value"]) for row in r["results"]}
    want = {}
    for m in access:
        code = m.split("] ", 1)[1].split(" ")[4]
        want[code] = want.get(code, 0) + 1
    equal("Insights count by code", by_code, want)


for row in [honeycomb, query, traces, graph, sampling, log_rows]:
    row()
    print("ok", row.__name__)
