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
from expect import equal

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
logs.put_subscription_filter(logGroupName=GROUP, filterName="f", filterPattern="alarm", destinationArn=f"http://127.0.0.1:{server.server_port}/hook")
put("no", "alarm!", "quiet")
message = received.get(timeout=10)
equal("delivered", (message["messageType"], message["logGroup"], message["subscriptionFilters"], [e["message"] for e in message["logEvents"]]), ("DATA_MESSAGE", GROUP, ["f"], ["alarm!"]))
equal("described", logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"][0]["distribution"], "ByLogStream")
server.shutdown()
