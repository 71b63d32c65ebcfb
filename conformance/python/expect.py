"""What the conformance scripts share: clients, polling, and checks that say what they saw."""

import os
import time

import boto3
import requests

HTTP = "http://" + os.environ["TREFOIL_HTTP_ADDRESS"]


def equal(what, got, want):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def eventually(what, f, seconds=20):
    """Calls f until it returns without an AssertionError."""
    deadline = time.time() + seconds
    while True:
        try:
            return f()
        except AssertionError as e:
            if time.time() > deadline:
                raise AssertionError(f"{what}: not within {seconds} s: {e}") from e
            time.sleep(0.2)


def xray():
    return boto3.client("xray")


def logs():
    return boto3.client("logs")


def api(path):
    r = requests.get(HTTP + path, timeout=30)
    equal(path, r.status_code, 200)
    return r.json()


def honeycomb_query(dataset, spec):
    """Runs a query through Honeycomb's public API, both steps and the look at the result."""
    head = {"X-Honeycomb-Team": "key"}
    q = requests.post(f"{HTTP}/1/queries/{dataset}", json=spec, headers=head, timeout=30)
    equal(f"query {spec}: {q.text}", q.status_code, 200)
    run = requests.post(f"{HTTP}/1/query_results/{dataset}", json={"query_id": q.json()["id"]}, headers=head, timeout=30)
    equal(f"result of {spec}: {run.text}", run.status_code, 201)
    out = requests.get(HTTP + run.headers["Location"], headers=head, timeout=30).json()
    equal("complete", out["complete"], True)
    return [r["data"] for r in out["data"]["results"]], out["data"]["series"]
