import { expect, test } from "vitest";
import { placeOfHash, placeOfPath } from "./deeplink";

const x = "1-5759e988-bd862e3fe1be46a994272793";
const w = "5759e988bd862e3fe1be46a994272793";

test.each([
  [`#xray:traces/${x}`, { to: "trace", id: x }],
  [`#/traces/${x}`, { to: "trace", id: x }],
  [`#xray:traces/${x}?~(query~())`, { to: "trace", id: x }],
  [
    "#logsV2:log-groups/log-group/$252Faws$252Flambda$252Fhello/log-events/a$252Fb",
    { to: "group", group: "/aws/lambda/hello", stream: "a/b" },
  ],
  ["#logsV2:log-groups/log-group/cruddur", { to: "group", group: "cruddur", stream: undefined }],
  ["#xray:traces/none", undefined],
  ["#other", undefined],
])("%s", (hash, place) => {
  expect(placeOfHash(hash)).toEqual(place);
});

test.each([
  [
    "/team/environments/bootcamp/datasets/backend-flask/trace",
    `trace_id=${w}&span=53995c3f42cd8ad8&trace_start_ts=1`,
    { to: "trace", id: w, span: "53995c3f42cd8ad8" },
  ],
  ["/team/datasets/backend-flask/trace", `trace_id=${w}`, { to: "trace", id: w, span: undefined }],
  ["/team/environments/bootcamp/trace", `trace_id=${w}`, { to: "trace", id: w, span: undefined }],
  ["/team/datasets/backend-flask", "", { to: "dataset", dataset: "backend-flask" }],
  ["/nowhere", "", undefined],
])("%s?%s", (path, search, place) => {
  expect(placeOfPath(path, new URLSearchParams(search))).toEqual(place);
});
