"""L4: boto3 over many groups, streams and events: complete, nothing twice, the limits where they are documented."""

import time

import boto3
from botocore.config import Config
from expect import equal

client = boto3.client("logs", config=Config(retries={"max_attempts": 1}))
now = int(time.time() * 1000)


def paginated(name, member, **args):
    out = []
    for page in client.get_paginator(name).paginate(**args):
        out += page[member]
    return out


for i in range(120):
    client.create_log_group(logGroupName=f"many/{i:03d}")
groups = [g["logGroupName"] for g in paginated("describe_log_groups", "logGroups", logGroupNamePrefix="many/")]
equal("groups", groups, [f"many/{i:03d}" for i in range(120)])

group = "many/000"
for i in range(120):
    client.create_log_stream(logGroupName=group, logStreamName=f"s{i:03d}")
streams = [s["logStreamName"] for s in paginated("describe_log_streams", "logStreams", logGroupName=group)]
equal("streams", streams, [f"s{i:03d}" for i in range(120)])

for part in range(3):
    n = 10_000 if part < 2 else 5_000
    client.put_log_events(logGroupName=group, logStreamName=f"s{part:03d}", logEvents=[{"timestamp": now + i // 7, "message": f"event {part * 10_000 + i}"} for i in range(n)])
events = paginated("filter_log_events", "events", logGroupName=group)
equal("events", len(events), 25_000)
equal("distinct events", len({e["message"] for e in events}), 25_000)
equal("distinct ids", len({e["eventId"] for e in events}), 25_000)
equal("order", [e["timestamp"] for e in events], sorted(e["timestamp"] for e in events))
equal("filtered", len(paginated("filter_log_events", "events", logGroupName=group, filterPattern='"event 1999"')), 11)

token, seen = None, []
while True:
    args = {"nextToken": token} if token else {}
    page = client.get_log_events(logGroupName=group, logStreamName="s000", startFromHead=True, limit=3_000, **args)
    seen += [e["message"] for e in page["events"]]
    if page["nextForwardToken"] == token:
        break
    token = page["nextForwardToken"]
equal("get_log_events", seen, [f"event {i}" for i in range(10_000)])

x = client.exceptions
for error, call in [
    (x.ResourceNotFoundException, lambda: client.put_log_events(logGroupName="nope", logStreamName="s", logEvents=[{"timestamp": now, "message": "x"}])),
    (x.ResourceNotFoundException, lambda: client.put_log_events(logGroupName=group, logStreamName="nope", logEvents=[{"timestamp": now, "message": "x"}])),
    (x.ResourceAlreadyExistsException, lambda: client.create_log_group(logGroupName=group)),
    (x.ResourceAlreadyExistsException, lambda: client.create_log_stream(logGroupName=group, logStreamName="s000")),
    (x.InvalidParameterException, lambda: client.put_retention_policy(logGroupName=group, retentionInDays=2)),
    (x.InvalidParameterException, lambda: client.filter_log_events(logGroupName=group, filterPattern="{ $.n > }")),
    (x.InvalidParameterException, lambda: client.put_log_events(logGroupName=group, logStreamName="s000", logEvents=[{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}])),
]:
    try:
        call()
    except error:
        continue
    raise AssertionError(f"{error.__name__} was not raised")

# The batch limit counts the message and 26 bytes an event.
full = [{"timestamp": now, "message": "x" * (262_144 - 26)}] * 4
client.put_log_events(logGroupName=group, logStreamName="s100", logEvents=full)
try:
    client.put_log_events(logGroupName=group, logStreamName="s100", logEvents=full[:3] + [{"timestamp": now, "message": "x" * (262_144 - 25)}])
    raise AssertionError("a batch of 1,048,577 bytes was taken")
except x.InvalidParameterException:
    pass

day = 24 * 3600 * 1000
client.put_retention_policy(logGroupName=group, retentionInDays=7)
out = client.put_log_events(logGroupName=group, logStreamName="s101", logEvents=[{"timestamp": now - 15 * day, "message": "too old"}, {"timestamp": now - 8 * day, "message": "expired"}])
equal("old events", out["rejectedLogEventsInfo"], {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2})
out = client.put_log_events(logGroupName=group, logStreamName="s101", logEvents=[{"timestamp": now, "message": "now"}, {"timestamp": now + 3 * 3600 * 1000, "message": "too new"}])
equal("new events", out["rejectedLogEventsInfo"], {"tooNewLogEventStartIndex": 1})
equal("the rest is stored", [e["message"] for e in client.get_log_events(logGroupName=group, logStreamName="s101", startFromHead=True)["events"]], ["now"])
client.delete_log_group(logGroupName=group)
client.create_log_group(logGroupName=group)
equal("a new group of the old name", client.filter_log_events(logGroupName=group)["events"], [])
print("ok")
