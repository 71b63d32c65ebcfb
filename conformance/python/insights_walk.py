"""L9: the corpora of Logs Insights through start_query and get_query_results of boto3, over 50,000 events in four groups; and the operations around queries."""

import datetime
import json
import pathlib
import re
import sys
import time

import boto3
from botocore.config import Config
from expect import equal, eventually

client = boto3.client("logs", config=Config(retries={"max_attempts": 1}))
EVENTS = 12_500
BASE = (int(time.time()) - 86_400) // 3600 * 3600
FROM, TO = BASE, BASE + 4 * 3600 - 1


def pick(i, *of):
    return of[i % len(of)]


def app(i):
    err = ',"err":"timeout"' if i % 10 == 0 else ""
    level = pick(i, "info", "info", "info", "warn", "error")
    return (
        f'{{"level":"{level}","status":{200 + 100 * (i % 4)},"ms":{i % 1000},"user":{{"id":"u{i % 100}","tags":["t{i % 3}","all"]}},"path":"/api/{pick(i, "a", "b", "c")}",'
        f'"ip":"10.0.{i % 4}.{i % 250}","ok":{"true" if i % 2 == 0 else "false"},"foo-bar":{i % 7},"items":[{{"id":{i % 7}}},{{"id":{i % 11}}}],"note":"{{\\"k\\":{i % 5}}}"{err}}}'
    )


def plain(i):
    if i % 50 == 49:
        return f"ERROR request {i} failed after {i % 9} tries: disk {pick(i, 'alpha', 'beta')} full"
    if i % 25 == 24:
        return f"WARN slow request id={i} took {i % 1000}ms"
    if i % 5 == 1:
        return f'level=info msg="hello world" n={i % 10} host=h{i % 4}'
    if i % 5 == 2:
        return f'{i},"a, b",{i % 8}'
    return f"user={pick(i, 'frank', 'anna', 'bob')}, method:{pick(i, 'GET', 'PUT')}, latency := {i % 100}"


def function(i):
    call = i // 4
    request = f"{call:08x}-0000-4000-8000-{call:012x}"
    if i % 4 == 0:
        return f"START RequestId: {request} Version: $LATEST\n"
    if i % 4 == 1:
        return f'2026-11-20T10:00:00.000Z\t{request}\tINFO\tdone {{"op":"{pick(call, "put", "get")}","n":{call % 10}}} in time\n'
    if i % 4 == 2:
        return f"END RequestId: {request}\n"
    first = "Init Duration: 200.50 ms\t" if call % 10 == 0 else ""
    return (
        f"REPORT RequestId: {request}\tDuration: {call % 500}.25 ms\tBilled Duration: {call % 500 + 1} ms\tMemory Size: 128 MB\tMax Memory Used: {64 + call % 32} MB\t{first}\n"
    )


def apache(i):
    return (
        f'10.1.0.{i % 200} - - [20/Nov/2026:10:{i // 60 % 60:02d}:{i % 60:02d} +0000] "{pick(i, "GET", "GET", "POST")} /page{i % 5}.html?id={i} HTTP/1.1" '
        f"{pick(i, 200, 200, 200, 404, 500)} {100 + i % 900}"
    )


GROUPS = {"app": app, "plain": plain, "/aws/lambda/fn": function, "apache": apache}
TABLES = {
    "users": "id,name,team\nu0,Zoe,red\nu1,Yan,blue\nu2,Xi,\n",
    "nets": "block,zone\n10.0.0.0/8,inside\n10.0.1.0/24,one\n10.0.1.1,host\n",
}


def load(group, step, n, line):
    client.create_log_group(logGroupName=group)
    for s in range(2):
        client.create_log_stream(logGroupName=group, logStreamName=f"s{s + 1}")
        events = [{"timestamp": (BASE + i * step) * 1000, "message": line(i)} for i in range(s, n, 2)]
        for at in range(0, len(events), 2500):
            client.put_log_events(logGroupName=group, logStreamName=f"s{s + 1}", logEvents=events[at : at + 2500])


def corpus(path):
    """The cases of a file: (line, query, want, fail), and what it loads."""
    lines, cases, section, text = [], [], None, []

    def end():
        nonlocal text
        body = "\n".join(text).strip("\n")
        if section == "load":
            lines.extend(body.split("\n"))
        elif section == "query":
            cases.append([number, body, None, None])
        elif section:
            cases[-1][2 if section == "want" else 3] = body
        text = []

    number = 0
    for n, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#") and section != "query":
            continue
        word, _, rest = line.partition(" ")
        if word in ("load", "query", "want", "fail"):
            end()
            section, line = word, rest
            if word == "query":
                number = n
        text.append(line)
    end()
    return lines, cases


def relative(text):
    def one(m):
        at = datetime.datetime.strptime(m[0], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=datetime.timezone.utc).timestamp() - BASE
        if abs(at) > 48 * 3600:
            return m[0]
        sign, at = ("-", -int(at)) if at < 0 else ("+", int(at))
        return f"T{sign}{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}"

    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", one, text)


def answer(query, groups):
    args = {} if query.upper().startswith("SOURCE") else {"logGroupNames": groups}
    q = client.start_query(startTime=FROM, endTime=TO, queryString=query, **args)["queryId"]
    deadline = time.time() + 30
    while True:
        r = client.get_query_results(queryId=q)
        if r["status"] not in ("Scheduled", "Running"):
            break
        assert time.time() < deadline, f"{query} is still {r['status']}"
        time.sleep(0.005)
    equal("status of " + query, r["status"], "Complete")
    return r


def check(name, groups, folder):
    _, cases = corpus(folder / name)
    for number, query, want, fail in cases:
        where = f"{name}:{number}: {query}"
        if fail is not None:
            try:
                client.start_query(startTime=FROM, endTime=TO, queryString=query, logGroupNames=groups)
            except client.exceptions.MalformedQueryException as e:
                place, message = re.match(r"\d+:(\d+): (.*)", fail, re.S).groups()
                error = e.response["queryCompileError"]
                assert e.response["Error"]["Message"].startswith(fail), f"{where}: {e.response}"
                assert error["message"].startswith(message), f"{where}: {error}"
                assert 0 <= error["location"]["startCharOffset"] <= error["location"]["endCharOffset"] <= len(query), f"{where}: {error}"
                if "\n" not in query and query.isascii():
                    equal("offset of " + where, error["location"]["startCharOffset"], int(place) - 1)
                continue
            raise AssertionError(f"{where}: is taken")
        rows = "\n".join(" ".join(f"{f['field']}={f['value']}" for f in r if f["field"] != "@ptr") for r in answer(query, groups)["results"])
        equal(where, relative(rows).strip("\n"), want)
    return len(cases)


folder = pathlib.Path(sys.argv[1])
for name, body in TABLES.items():
    client.create_lookup_table(lookupTableName=name, tableBody=body)
small, _ = corpus(folder / "small.txt")
one, _ = corpus(folder / "functions.txt")
vended, _ = corpus(folder / "vended.txt")
load("logs/insights", 60, len(small), lambda i: small[i])
load("one", 60, len(one), lambda i: one[i])
load("vended", 60, len(vended), lambda i: vended[i])
for group, line in GROUPS.items():
    load(group, 1, EVENTS, line)

total = check("functions.txt", ["one"], folder) + check("small.txt", ["logs/insights"], folder) + check("vended.txt", ["vended"], folder)
for name, groups in {"app.txt": ["app"], "plain.txt": ["plain"], "lambda.txt": ["/aws/lambda/fn"], "apache.txt": ["apache"], "all.txt": list(GROUPS)}.items():
    total += check(name, groups, folder)
assert total >= 250, total

# The operations around queries.
r = answer('filter level = "error" | sort @timestamp desc | limit 1', ["app"])
record = client.get_log_record(logRecordPointer=r["results"][0][-1]["value"])["logRecord"]
equal("record", (record["level"], record["user.id"], record["@message"]), ("error", "u99", app(EVENTS - 1)))
equal("statistics", r["statistics"]["recordsMatched"], 2500.0)
fields = {f["name"]: f["percent"] for f in client.get_log_group_fields(logGroupName="app", time=BASE + 3600)["logGroupFields"]}
equal("fields", (fields["@message"], fields["level"], fields["user.tags.0"], fields["err"]), (100, 100, 100, 10))
definition = client.put_query_definition(name="ops/errors", queryString="filter level = {{level}}", logGroupNames=["app"], parameters=[{"name": "level", "defaultValue": '"error"'}])["queryDefinitionId"]
equal("definitions", [d["queryDefinitionId"] for d in client.describe_query_definitions(queryDefinitionNamePrefix="ops/")["queryDefinitions"]], [definition])
assert client.delete_query_definition(queryDefinitionId=definition)["success"]
q = client.start_query(startTime=FROM, endTime=TO, logGroupNames=["app", "plain"], queryString="fields @message | limit 10000")["queryId"]
equal("groups of a query", client.list_log_groups_for_query(queryId=q)["logGroupIdentifiers"], ["app", "plain"])


def complete():
    equal("status", client.get_query_results(queryId=q, maxItems=1)["status"], "Complete")


eventually("the query is complete", complete)
try:
    client.stop_query(queryId=q)
    raise AssertionError("a query that has ended is stopped")
except client.exceptions.InvalidParameterException:
    pass
rows, token = 0, {}
while True:
    page = client.get_query_results(queryId=q, maxItems=3000, **token)
    rows += len(page["results"])
    if "nextToken" not in page:
        break
    token = {"nextToken": page["nextToken"]}
equal("rows of all pages", rows, 10_000)
tables = client.describe_lookup_tables()["lookupTables"]
equal("lookup tables", [(t["lookupTableName"], t["recordsCount"]) for t in tables], [("nets", 3), ("users", 3)])
made = client.create_scheduled_query(
    name="hourly", queryLanguage="CWLI", queryString="stats count(*) by level", logGroupIdentifiers=["app"], scheduleExpression="cron(0 * * * ? *)", executionRoleArn="arn:aws:iam::000000000000:role/r",
    tags={"team": "red"},
)
client.tag_resource(resourceArn=made["scheduledQueryArn"], tags={"more": "1"})
equal("tags", client.list_tags_for_resource(resourceArn=made["scheduledQueryArn"])["tags"], {"team": "red", "more": "1"})
equal("scheduled query", client.get_scheduled_query(identifier=made["scheduledQueryArn"])["name"], "hourly")
equal("history", client.get_scheduled_query_history(identifier="hourly", startTime=0, endTime=TO + 86_400)["triggerHistory"], [])
client.delete_scheduled_query(identifier="hourly")
print(json.dumps({"queries": total}))
