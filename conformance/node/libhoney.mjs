// H2 in Node: libhoney answers every event in order, and says so when the key is wrong.
import assert from "node:assert/strict";
import Libhoney from "libhoney";

const api = process.env.HONEYCOMB_API_ENDPOINT;
const send = (writeKey, n) =>
  new Promise((resolve) => {
    const got = [];
    const hny = new Libhoney({
      writeKey, dataset: "js-events", apiHost: api,
      responseCallback: (responses) => {
        got.push(...responses);
        if (got.length === n) resolve(got);
      },
    });
    for (let i = 0; i < n; i++) {
      const e = hny.newEvent();
      e.add({ n: i, nested: { a: [1, 2] } });
      e.metadata = i;
      e.send();
    }
    hny.flush();
  });

const answers = await send(process.argv[2], Number(process.argv[3]));
for (const [i, a] of answers.entries()) {
  assert.equal(a.metadata, i, "answers come in order");
  if (process.argv[4] === "refused") assert.ok(a.status_code === 401 || a.error, JSON.stringify(a));
  else assert.equal(a.status_code, 202, JSON.stringify(a));
}
console.log("ok");
