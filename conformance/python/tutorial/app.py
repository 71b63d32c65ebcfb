"""The tutorial's Flask app as its week on observability leaves it, written anew: OpenTelemetry, the X-Ray SDK and
watchtower, each wired with the tutorial's own lines. Nothing here knows of Trefoil: environment variables point it there."""

import logging
import os
from time import strftime

import watchtower
from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware
from flask import Flask, request
from flask_cors import CORS
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from services.create_activity import CreateActivity
from services.home_activities import HomeActivities
from services.search_activities import SearchActivities
from services.user_activities import UserActivities

# CloudWatch Logs
LOGGER = logging.getLogger("app")
LOGGER.setLevel(logging.DEBUG)
console_handler = logging.StreamHandler()
cw_handler = watchtower.CloudWatchLogHandler(log_group_name="cruddur")
LOGGER.addHandler(console_handler)
LOGGER.addHandler(cw_handler)
LOGGER.info("test log")

# Honeycomb
provider = TracerProvider()
processor = BatchSpanProcessor(OTLPSpanExporter())
provider.add_span_processor(processor)
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("app")

app = Flask("app")

# X-Ray
xray_url = os.getenv("AWS_XRAY_URL")
xray_recorder.configure(service="backend-flask", dynamic_naming=xray_url)
XRayMiddleware(app, xray_recorder)

FlaskInstrumentor().instrument_app(app)
RequestsInstrumentor().instrument()

cors = CORS(
    app,
    resources={r"/api/*": {"origins": [os.getenv("FRONTEND_URL"), os.getenv("BACKEND_URL")]}},
    expose_headers="location,link",
    allow_headers="content-type,if-modified-since",
    methods="OPTIONS,GET,HEAD,POST",
)


@app.after_request
def after_request(response):
    timestamp = strftime("[%Y-%b-%d %H:%M]")
    LOGGER.error("%s %s %s %s %s %s", timestamp, request.remote_addr, request.method, request.scheme, request.full_path, response.status)
    return response


@app.route("/api/activities/home", methods=["GET"])
def data_home():
    with xray_recorder.capture("activities_home"):
        return HomeActivities.run(LOGGER), 200


@app.route("/api/activities/@<string:handle>", methods=["GET"])
@xray_recorder.capture("activities_users")
def data_handle(handle):
    model = UserActivities.run(handle)
    if model["errors"] is not None:
        return model["errors"], 422
    return model["data"], 200


@app.route("/api/activities/search", methods=["GET"])
def data_search():
    model = SearchActivities.run(request.args.get("term"))
    if model["errors"] is not None:
        return model["errors"], 422
    return model["data"], 200


@app.route("/api/activities", methods=["POST", "OPTIONS"])
def data_activities():
    model = CreateActivity.run(request.json["message"], "andrewbrown", request.json["ttl"])
    if model["errors"] is not None:
        return model["errors"], 422
    return model["data"], 200


@app.route("/api/activities/<string:activity_uuid>", methods=["GET"])
@xray_recorder.capture("activities_show")
def data_show_activity(activity_uuid):
    # The tutorial's own slip, which makes this route its example of a fault.
    return ShowActivity.run(activity_uuid=activity_uuid), 200  # noqa: F821
