"""X1 to X3 with boto3: documents sent to the daemon are found by every read, bad ones are reported, every operation answers."""

import json
import os
import socket
import time

import botocore.exceptions
from expect import equal, eventually, xray

now = time.time()
window = {"StartTime": now - 600, "EndTime": now + 60}
TRACE = f"1-{int(now):08x}-0000000000000000000000a1"


def datagram():
    """X1: the document as a file, sent as the developer guide does, shows within a second."""
    doc = {"name": "example.com", "id": "70de5b6f19ff9a0a", "start_time": now, "trace_id": TRACE, "end_time": now + 0.1,
           "http": {"request": {"method": "GET", "url": "http://example.com/"}, "response": {"status": 200}},
           "subsegments": [{"name": "db", "id": "53995c3f42cd8ad8", "start_time": now, "end_time": now + 0.05, "namespace": "remote"}]}
    with open("/tmp/segment-%d.txt" % os.getpid(), "w") as f:
        f.write('{"format": "json", "version": 1}\n' + json.dumps(doc))
    host, port = os.environ["AWS_XRAY_DAEMON_ADDRESS"].split(":")
    equal("cat", os.system(f"bash -c 'cat {f.name} > /dev/udp/{host}/{port}'"), 0)
    os.unlink(f.name)

    def seen():
        found = xray().get_trace_summaries(**window)["TraceSummaries"]
        equal("summaries", [t["Id"] for t in found], [TRACE])
    eventually("the trace is listed", seen, 1)
    segments = xray().batch_get_traces(TraceIds=[TRACE])["Traces"][0]["Segments"]
    names = sorted(json.loads(s["Document"])["name"] for s in segments)
    equal("segments, the inferred one too", names, ["db", "example.com"])
    for services in (xray().get_service_graph(**window)["Services"], xray().get_trace_graph(TraceIds=[TRACE])["Services"]):
        equal("services", sorted((s["Name"], s.get("Type", "")) for s in services), [("db", "remote"), ("example.com", ""), ("example.com", "client")])


def put():
    """X2."""
    good = {"name": "put", "id": "70de5b6f19ff9a0b", "start_time": now, "trace_id": TRACE[:-1] + "2", "end_time": now + 0.1}
    out = xray().put_trace_segments(TraceSegmentDocuments=[json.dumps(good), json.dumps({**good, "id": "70de5b6f19ff9a0c", "name": "a?b"})])
    equal("unprocessed", [(u["Id"], u["ErrorCode"]) for u in out["UnprocessedTraceSegments"]], [("70de5b6f19ff9a0c", "InvalidName")])
    for change, code in [({"id": None}, "MissingId"), ({"end_time": None}, "MissingEndTime"), ({"trace_id": "1-x"}, "InvalidTraceId"), ({"name": None}, "MissingName")]:
        doc = {k: v for k, v in {**good, **change}.items() if v is not None}
        out = xray().put_trace_segments(TraceSegmentDocuments=[json.dumps(doc)])
        equal(f"{change}", [u["ErrorCode"] for u in out["UnprocessedTraceSegments"]], [code])
    equal("not JSON", len(xray().put_trace_segments(TraceSegmentDocuments=["not json"])["UnprocessedTraceSegments"]), 1)


def every_operation():
    """X3: no operation is unknown or fails inside; answers parse with botocore's shapes."""
    client = xray()
    client.create_group(GroupName="walk", FilterExpression="fault")
    arn = client.get_group(GroupName="walk")["Group"]["GroupARN"]
    inputs = {
        "BatchGetTraces": {"TraceIds": [TRACE]},
        "CancelTraceRetrieval": {"RetrievalToken": "none"},
        "CreateGroup": {"GroupName": "other"},
        "CreateSamplingRule": {"SamplingRule": {"RuleName": "walk", "ResourceARN": "*", "Priority": 5, "FixedRate": 0.5, "ReservoirSize": 1, "ServiceName": "*",
                                                "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1}},
        "DeleteGroup": {"GroupName": "other"},
        "DeleteResourcePolicy": {"PolicyName": "p"},
        "DeleteSamplingRule": {"RuleName": "walk"},
        "GetGroup": {"GroupName": "walk"},
        "GetInsight": {"InsightId": "12345678-1234-4234-8234-123456789012"},
        "GetInsightEvents": {"InsightId": "12345678-1234-4234-8234-123456789012"},
        "GetInsightImpactGraph": {"InsightId": "12345678-1234-4234-8234-123456789012", **window},
        "GetInsightSummaries": {"GroupName": "walk", **window},
        "GetRetrievedTracesGraph": {"RetrievalToken": "none"},
        "GetSamplingTargets": {"SamplingStatisticsDocuments": [{"RuleName": "Default", "ClientID": "0" * 24, "Timestamp": now, "RequestCount": 1, "SampledCount": 1}]},
        "GetServiceGraph": window, "GetTimeSeriesServiceStatistics": window, "GetTraceSummaries": window,
        "GetTraceGraph": {"TraceIds": [TRACE]},
        "ListRetrievedTraces": {"RetrievalToken": "none"},
        "ListTagsForResource": {"ResourceARN": arn},
        "PutEncryptionConfig": {"Type": "NONE"},
        "PutResourcePolicy": {"PolicyName": "p", "PolicyDocument": "{}"},
        "PutTelemetryRecords": {"TelemetryRecords": [{"Timestamp": now}], "EC2InstanceId": "", "Hostname": "", "ResourceARN": ""},
        "PutTraceSegments": {"TraceSegmentDocuments": []},
        "StartTraceRetrieval": {"TraceIds": [TRACE], **window},
        "TagResource": {"ResourceARN": arn, "Tags": [{"Key": "a", "Value": "b"}]},
        "UntagResource": {"ResourceARN": arn, "TagKeys": ["a"]},
        "UpdateGroup": {"GroupName": "walk", "FilterExpression": "error"},
        "UpdateIndexingRule": {"Name": "Default", "Rule": {"Probabilistic": {"DesiredSamplingPercentage": 5}}},
        "UpdateSamplingRule": {"SamplingRuleUpdate": {"RuleName": "Default", "FixedRate": 0.2}},
        "UpdateTraceSegmentDestination": {"Destination": "XRay"},
    }
    names = client.meta.service_model.operation_names
    assert len(names) >= 38, names
    methods = {v: k for k, v in client.meta.method_to_api_mapping.items()}
    for name in sorted(names, key=lambda n: (n.startswith("Delete"), n.startswith("Untag"), n)):
        try:
            getattr(client, methods[name])(**inputs.get(name, {}))
        except botocore.exceptions.ClientError as e:
            code, status = e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
            modelled = [s.name for s in client.meta.service_model.operation_model(name).error_shapes]
            assert code in modelled and status in (400, 404), f"{name}: {status} {code} {e}"


for case in (datagram, put, every_operation):
    case()
    print("ok", case.__name__)
