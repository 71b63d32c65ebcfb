"""X5: the Python SDK with Flask; what a route raises or answers is found by every filter that means it."""

import json
import os
import socket
import threading
import time

import requests
from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware
from expect import equal, eventually, xray
from flask import Flask
from werkzeug.serving import make_server

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
app = Flask("x5")
dynamic = os.environ.get("NAMING")
xray_recorder.configure(service="x5", dynamic_naming=dynamic, sampling=False)
XRayMiddleware(app, xray_recorder)


@app.route("/raise")
def fail():
    raise ValueError("bad value")


@app.route("/ok")
def ok():
    return "ok"


server = make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.port}"
start = time.time()
equal("raise", requests.get(base + "/raise", timeout=10).status_code, 500)
equal("missing", requests.get(base + "/missing", timeout=10).status_code, 404)
r = requests.get(base + "/ok", headers={"X-Amzn-Trace-Id": f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=?"}, timeout=10)
equal("echoed header", r.headers["X-Amzn-Trace-Id"], f"Root={ROOT};Sampled=1")

def found(expression):
    return xray().get_trace_summaries(StartTime=start - 5, EndTime=time.time() + 5, TimeRangeType="Event", FilterExpression=expression)["TraceSummaries"]


def listed():
    equal("traces", len(found('service("x5") OR service(id(name: "127.0.0.1:%d"))' % server.port)), 3)


eventually("three traces", listed, 5)
for expression in ("fault", "!ok AND !error", "http.status = 500", 'rootcause.fault.exception { name = "ValueError" }', "service() { fault }", 'http.url ENDSWITH "/raise"'):
    hits = found(expression)
    equal(expression, [t["Http"]["HttpStatus"] for t in hits], [500])
equal("error", [t["Http"]["HttpStatus"] for t in found("error")], [404])
equal("ok", [t["Id"] for t in found("ok")], [ROOT])
doc = json.loads(xray().batch_get_traces(TraceIds=[ROOT])["Traces"][0]["Segments"][0]["Document"])
equal("parent", doc["parent_id"], "53995c3f42cd8ad8")
print("ok")
