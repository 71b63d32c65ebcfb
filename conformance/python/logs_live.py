"""L3 and more by boto3: live tail, metric filters read back as metrics, embedded metrics, a subscription that is delivered to."""

import gzip
import json
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import boto3
from botocore.config import Config
from expect import equal, eventually

logs = boto3.client("logs", config=Config(retries={"max_attempts": 1}, inject_host_prefix=False))
metrics = boto3.client("cloudwatch", config=Config(retries={"max_attempts": 1}))
GROUP, STREAM = "live", "s"
logs.create_log_group(logGroupName=GROUP)
logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)


def now():
    return int(time.time() * 1000)


def put(*messages):
    logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[{"timestamp": now(), "message": m} for m in messages])


put("ahead of everything")
arn = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]

# Live tail: what matches within two seconds, what was there before never.
stream = logs.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="needle")["responseStream"]
got, started, arrived = [], threading.Event(), threading.Event()


def follow():
    for event in stream:
        if "sessionStart" in event:
            equal("session", event["sessionStart"]["logGroupIdentifiers"], [arn])
            started.set()
        for e in event.get("sessionUpdate", {}).get("sessionResults", []):
            got.append(e["message"])
            arrived.set()
            if len(got) == 3:
                return


reader = threading.Thread(target=follow)
reader.start()
assert started.wait(10), "the session does not start"
began = time.monotonic()
put("hay", "needle 1")
assert arrived.wait(10), "nothing arrives"
equal("within two seconds", time.monotonic() - began < 2, True)
put("needle 2", "needle 3")
reader.join(10)
equal("tailed", got, ["needle 1", "needle 2", "needle 3"])
stream.close()
try:
    logs.start_live_tail(logGroupIdentifiers=["nope"])
    raise SystemExit("an unknown group is tailed")
except logs.exceptions.ResourceNotFoundException:
    pass

# Metric filters and embedded metrics, read by CloudWatch's own client.
logs.put_metric_filter(
    logGroupName=GROUP, filterName="latency", filterPattern='{ $.ms > 0 }',
    metricTransformations=[{"metricName": "Latency", "metricNamespace": "Live", "metricValue": "$.ms", "unit": "Milliseconds", "dimensions": {"Route": "$.route"}}],
)
put(*[json.dumps({"ms": ms, "route": "/a"}) for ms in (10, 20, 30, 40)], json.dumps({"ms": 7, "route": "/b"}))
put(json.dumps({"_aws": {"Timestamp": now(), "CloudWatchMetrics": [{"Namespace": "Live", "Dimensions": [["svc"]], "Metrics": [{"Name": "Jobs", "Unit": "Count"}]}]}, "svc": "a", "Jobs": [1, 2]}))
metrics.put_metric_data(Namespace="Live", MetricData=[{"MetricName": f"Many{i:03d}", "Value": i, "Unit": "Count"} for i in range(400)])  # gzip, for its size
window = {"StartTime": datetime.now(timezone.utc) - timedelta(hours=1), "EndTime": datetime.now(timezone.utc) + timedelta(minutes=2)}
points = metrics.get_metric_statistics(
    Namespace="Live", MetricName="Latency", Dimensions=[{"Name": "Route", "Value": "/a"}], Period=3600 * 24, Statistics=["Sum", "SampleCount", "Maximum"], ExtendedStatistics=["p50"], **window)["Datapoints"]
equal("latency", [(p["Sum"], p["SampleCount"], p["Maximum"], p["Unit"]) for p in points], [(100.0, 4.0, 40.0, "Milliseconds")])
data = metrics.get_metric_data(MetricDataQueries=[
    {"Id": "jobs", "MetricStat": {"Metric": {"Namespace": "Live", "MetricName": "Jobs", "Dimensions": [{"Name": "svc", "Value": "a"}]}, "Period": 3600 * 24, "Stat": "Sum"}},
    {"Id": "many", "MetricStat": {"Metric": {"Namespace": "Live", "MetricName": "Many399"}, "Period": 3600 * 24, "Stat": "Average"}},
], **window)["MetricDataResults"]
equal("metric data", [(r["Id"], r["Values"], r["StatusCode"]) for r in data], [("jobs", [3.0], "Complete"), ("many", [399.0], "Complete")])
names = [m["MetricName"] for p in metrics.get_paginator("list_metrics").paginate(Namespace="Live") for m in p["Metrics"]]
equal("list_metrics", (len(names), names.count("Latency")), (403, 2))
try:
    metrics.put_metric_data(Namespace="Live", MetricData=[{"MetricName": "x"}])
    raise SystemExit("a datum without a value is taken")
except metrics.exceptions.InvalidParameterCombinationException:
    pass

# A subscription posts what arrives.
received = Queue()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        received.put(json.loads(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
logs.put_subscription_filter(logGroupName=GROUP, filterName="f", filterPattern="alarm", emitSystemFields=["@aws.region"], destinationArn=f"http://127.0.0.1:{server.server_port}/hook")
put("no", "alarm!", "quiet")
message = received.get(timeout=10)
equal("delivered", (message["messageType"], message["logGroup"], message["subscriptionFilters"], [e["message"] for e in message["logEvents"]]), ("DATA_MESSAGE", GROUP, ["f"], ["alarm!"]))
equal("described", logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"][0]["distribution"], "ByLogStream")
server.shutdown()
equal("system fields", message["logEvents"][0]["extractedFields"], {"@aws.region": logs.meta.region_name})

# An audit reports what it finds to another group, and counts it.
logs.create_log_group(logGroupName="findings", tags={"cw:datasource:name": "audits", "cw:datasource:type": "findings"})
identifiers = ["arn:aws:dataprotection::aws:data-identifier/EmailAddress"]
logs.put_data_protection_policy(
    logGroupIdentifier=GROUP,
    policyDocument=json.dumps({
        "Name": "p", "Version": "2021-06-01", "Statement": [
            {"Sid": "audit", "DataIdentifier": identifiers, "Operation": {"Audit": {"FindingsDestination": {"CloudWatchLogs": {"LogGroup": "findings"}}}}},
            {"Sid": "redact", "DataIdentifier": identifiers, "Operation": {"Deidentify": {"MaskConfig": {}}}},
        ],
    }),
)
put("mail to ann@example.com")
finding = json.loads(logs.filter_log_events(logGroupName="findings")["events"][0]["message"])
equal("finding", (finding["resourceArn"], finding["dataIdentifiers"]), (arn + ":*", [{"name": "EmailAddress", "count": 1, "detections": [{"start": 9, "end": 23}]}]))
until = datetime.now(timezone.utc) + timedelta(minutes=1)
counted = metrics.get_metric_statistics(
    Namespace="AWS/Logs", MetricName="LogEventsWithFindings", Dimensions=[{"Name": "LogGroupName", "Value": GROUP}], StartTime=until - timedelta(hours=1), EndTime=until, Period=3600, Statistics=["Sum"]
)
equal("events with findings", sum(p["Sum"] for p in counted["Datapoints"]), 1)

# The group of the findings is a data source.
query = logs.start_query(queryString='SOURCE dataSource(["audits.findings"]) | stats count(*) as n by @data_source_name as source', startTime=0, endTime=int(time.time()) + 60)["queryId"]


def counted_by_source():
    answer = logs.get_query_results(queryId=query)
    equal("of the data source", (answer["status"], answer["results"]), ("Complete", [[{"field": "source", "value": "audits"}, {"field": "n", "value": "1"}]]))


eventually("the data source is asked", counted_by_source)
summary = logs.list_aggregate_log_group_summaries(groupBy="DATA_SOURCE_NAME_AND_TYPE")["aggregateLogGroupSummaries"]
equal("data sources", [(s["logGroupCount"], [i["value"] for i in s["groupingIdentifiers"]]) for s in summary], [(1, ["audits", "findings"])])
names = [f["logFieldName"] for f in logs.get_log_fields(dataSourceName="audits", dataSourceType="findings")["logFields"]]
assert "dataIdentifiers.0.name" in names and "resourceArn" in names, names
