"""L8: the corpora of filter patterns by TestMetricFilter and by FilterLogEvents."""

import glob
import itertools
import sys
import time

import boto3
from expect import equal

client = boto3.client("logs")
now = int(time.time() * 1000)
groups = itertools.count()
patterns = refused = 0


def loaded(messages):
    group = f"patterns/{next(groups)}"
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName="s")
    client.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now + i, "message": m} for i, m in enumerate(messages)])
    return group


def sections(path):
    """Yields (messages, pattern, verdict, text of the verdict)."""
    messages, pattern, loading = [], None, False
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            word, _, rest = line.partition(" ")
            if line == "load":
                messages, loading = [], True
            elif word == "query":
                pattern, loading = rest, False
            elif word in ("want", "fail") and not loading:
                yield messages, pattern, word, rest
            elif loading and line:
                messages.append(line)


group, last = None, None
for path in sorted(glob.glob(sys.argv[1] + "/*.txt")):
    for messages, pattern, verdict, text in sections(path):
        if messages is not last:
            group, last = loaded(messages) if messages else None, messages
        if verdict == "fail":
            refused += 1
            for call in (
                lambda: client.test_metric_filter(filterPattern=pattern, logEventMessages=["x"]),
                lambda: client.filter_log_events(logGroupName=group or "any", filterPattern=pattern),
            ):
                try:
                    call()
                except client.exceptions.InvalidParameterException as e:
                    equal(f"place of {pattern}", text.split(" ")[0].rstrip(":") in str(e) or "validation error" in str(e), True)
                else:
                    raise SystemExit(f"{path}: {pattern!r} is taken")
            continue
        patterns += 1
        want = [int(n) for n in text.split()]
        tested = client.test_metric_filter(filterPattern=pattern, logEventMessages=messages)["matches"]
        equal(f"TestMetricFilter {pattern}", [m["eventNumber"] for m in tested], want)
        found = client.filter_log_events(logGroupName=group, filterPattern=pattern)["events"]
        equal(f"FilterLogEvents {pattern}", [e["message"] for e in found], [messages[n - 1] for n in want])
equal("there are corpora", patterns > 80 and refused > 20, True)
print(patterns, "patterns,", refused, "refused")
