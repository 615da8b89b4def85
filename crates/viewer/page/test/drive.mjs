// Drives the page in a headless Chromium: open, look, judge, split, merge, paint, undo, reload,
// a kill of the server in the middle, a second window, small pictures, a hundred corrections with
// every key and click counted, training again, what it changed, work lists over all fields.
//
//   node test/drive.mjs PROGRAM STUDY [FOLDER FOR PICTURES]
//
// STUDY is a prepared study, of which a copy is corrected. Where it has a model, what that says
// is compared, and trained again. Ends with a line for every step; anything unexpected is an error.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fingers } from "./fingers.mjs";
import { browse, handsOn, serve } from "./hands.mjs";
import { hundred } from "./hundred.mjs";

const [program, given, pictures] = process.argv.slice(2);
assert(program && given, "usage: drive.mjs PROGRAM STUDY [PICTURES]");

const work = await mkdtemp(join(tmpdir(), "stainfree-view-"));
// What lies beside the study, such as its plate, is copied along: it is named relative to it.
await cp(dirname(resolve(given)), join(work, "all"), { recursive: true });
const study = join(work, "all", resolve(given).split("/").pop());

const steps = [];
const step = (text) => {
  steps.push(text);
  console.log(`ok: ${text}`);
};

const start = (...more) => serve(program, [study, "--as", "driver", ...more]);
let server = await start();
const port = new URL(server.url).port;
const browser = await browse();
const context = await browser.newContext({
  viewport: { width: 1280, height: 720 },
  colorScheme: "dark",
});
const page = await context.newPage();
const problems = [];
const expected = { down: false };
page.on("pageerror", (error) => problems.push(String(error)));
page.on("console", (message) => {
  // The steps that make a refusal say so.
  if (message.type() === "error" && !expected.down && !/409|400/.test(message.text())) {
    problems.push(message.text());
  }
});
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.hostname !== "127.0.0.1" && url.protocol !== "blob:") problems.push(`asked ${url}`);
});

const hands = handsOn(page);
const { app, until, settled, loaded, click, drag, thing, labels } = hands;
const shot = async (name) => {
  if (!pictures) return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`) });
};
/** A hundred corrections as a person makes them, with every key and click counted. */
async function correctMany() {
  const trained = await app(
    "s.app.list.fields.flatMap((f, i) => f.cells[s.app.list.columns.indexOf('split')] === 'train' ? [i] : [])",
  );
  const said = await hundred(hands, trained);
  const { counts, sum, waits } = said;
  assert.equal(said.made, 100);
  const most = { accept: 2, reject: 2, split: 3, merge: 3, paint: 2, erase: 2, outline: 2, mitotic: 1 };
  for (const [what, [n, all]] of Object.entries(counts)) {
    assert(all <= most[what] * n, `${what}: ${all} keys and clicks for ${n}`);
  }
  for (const what of ["accept", "reject", "split", "merge"]) assert(counts[what]?.[0] > 0, what);
  const each = Object.entries(counts).map(([what, [n, all]]) => `${what} ${all / n} (${n})`);
  step(`100 corrections in ${said.seconds.toFixed(0)} s; keys and clicks each: ${each.join(", ")}`);
  waits.sort((x, y) => x - y);
  const at = (share) => waits[Math.floor((waits.length - 1) * share)].toFixed(0);
  step(
    `a person: ${sum.key} keys and presses, ${sum.point} pointings, ${sum.mind} decisions, waiting ` +
      `${said.waited.toFixed(1)} s (p50 ${at(0.5)} ms, p95 ${at(0.95)} ms): ${said.estimate.toFixed(0)} s`,
  );
  assert(said.estimate < 600);
}

/** Trains the study's model again, and looks at what changed. */
async function trainAgain() {
  if (!(await app("s.app.list.model"))) return step("no model, so none is trained again");
  await page.keyboard.press("r");
  const dialog = page.locator("dialog.again");
  await dialog.getByLabel("steps").fill("6");
  await shot("again-start");
  await dialog.getByRole("button", { name: "Start" }).click();
  // Six steps may be over before the page asks again.
  const ends = "['comparing', 'done', 'failed'].includes(s.app.again?.runs[0]?.phase)";
  await until(`s.app.again?.runs[0]?.done > 0 || ${ends}`);
  await until("s.app.again.curves !== null");
  await shot("again-running");
  await until("['done', 'failed'].includes(s.app.again?.runs[0]?.phase)", null, 180);
  const run = await app("s.app.again.runs[0]");
  assert.equal(run.phase, "done", run.message);
  await dialog.getByText("What changed from").waitFor();
  await shot("again-changes");
  await app("(s.app.before = true)");
  await dialog.getByRole("button", { name: "Show both models" }).click();
  await until("s && !s.app.before && document.querySelector('dialog.again[open] h3') !== null");
  await loaded();
  assert(await app("s.app.list.layers.some((layer) => layer.name === v)", `${run.name}: nuclei`));
  await shot("again-shown");
  step(`trains ${run.name} from ${run.from} and shows what changed`);
  const flipped = dialog.getByRole("button", { name: "that flipped" }).first();
  if (await flipped.isEnabled()) {
    await flipped.click();
    await until("s.app.queue?.list === null && s.app.queue.at === 0");
    await settled();
    await shot("flipped");
    step(`goes through ${await app("s.app.queue.entries.length")} flipped nuclei`);
  } else await page.keyboard.press("Escape");
}

/** Goes through a list of all fields; those of the test are listed on request. */
async function workThroughAll() {
  const lists = await app("s.app.list.lists");
  const wanted = lists.findIndex(({ title }) => title.startsWith("nuclei that truth and"));
  const list = wanted >= 0 ? wanted : 0;
  await app("s.actions.take(v)", list);
  await until("s.app.queue !== null");
  await settled();
  const of = await app("s.app.queue.entries.map((entry) => entry.field)");
  const parts = await app(
    "v.map((i) => s.app.list.fields[i].cells[s.app.list.columns.indexOf('split')])",
    of,
  );
  assert(parts.every((part) => part !== "test"), "a test field is listed without being asked for");
  await shot("queue");
  const open = await app("s.app.queue.entries.filter((entry) => !entry.done).length");
  if (open > 1 && (await app("s.app.selection")) !== null) {
    const before = await app("s.app.queue.at");
    await page.keyboard.press("a");
    await until("s.app.queue.at > v && s.app.saving === 0", before);
    assert(await app("s.app.queue.entries[v].done", before));
  }
  await page.keyboard.press("q");
  await page.keyboard.press("Shift+Q");
  await until("s.app.queue?.list === v", list);
  const difference = await app("s.app.list.layers.findIndex((layer) => layer.kind === 'difference')");
  if (difference >= 0) {
    await app("(s.app.layers[v].on = true, s.actions.select(null), s.view.fit(), s.app.tell('layers'))", difference);
    await settled();
    await shot("difference");
  }
  step(`goes through ${of.length} entries of “${lists[list].title}” in ${new Set(of).size} fields`);
}

try {
  await page.goto(server.url);
  await loaded();
  await settled();
  assert.equal(new URL(page.url()).hash, "", "the token stays in the address");
  const title = await page.title();
  await shot("open");
  step(`opens: ${title}, ${await app("s.app.objects.size")} nuclei`);

  // A field of the training: the list by doubt is open there.
  await page.keyboard.press("/");
  await page.keyboard.type("split=train");
  await until("s.app.order.length < s.app.list.fields.length");
  await page.keyboard.press("Escape");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("PageDown");
  await until("s.app.part === 'train'");
  await loaded();
  await settled();
  step("filters the table and goes to a field of the training");

  await page.keyboard.press("n");
  await settled();
  const first = await app("s.app.selection");
  assert(first > 0);
  await shot("first");
  await page.keyboard.press("a");
  await settled();
  assert.deepEqual(await app("s.app.decided.accepted"), [first]);
  const second = await app("s.app.selection");
  assert.notEqual(second, first);
  step("accepts the first of the work list with two keys");

  await page.keyboard.press("x");
  await settled();
  assert.equal(await thing(second), undefined);
  step("rejects the next with one");
  await page.keyboard.press("u");
  await settled();
  assert(await thing(second));
  step("takes the rejection back");

  // The largest nucleus that lies well inside is split across its middle.
  await page.keyboard.press("Escape");
  const large = await app(
    "[...s.app.objects.values()].filter(t => t.box[0] > 60 && t.box[1] > 60 && t.box[2] < s.app.shown.size[0] - 60 && t.box[3] < s.app.shown.size[1] - 60).sort((a, b) => b.area - a.area)[0]",
  );
  await app("s.app.selection = v", large.label);
  await app("(s.view.show(v), s.app.tell('selection'))", large.label);
  await settled();
  const before = await labels();
  await page.keyboard.press("s");
  await drag([[large.box[0] - 3, large.x], [large.y, large.x], [large.box[2] + 3, large.x]]);
  await settled();
  const parts = (await labels()).filter((label) => !before.includes(label));
  assert.equal(parts.length, 1, "a split makes one object more");
  await shot("split");
  step(`splits object ${large.label} with a key and a line`);

  await page.keyboard.press("m");
  const [a, b] = [await thing(large.label), await thing(parts[0])];
  await click(a.y + 0.5, a.x + 0.5);
  await until("s.app.picked !== null");
  await click(b.y + 0.5, b.x + 0.5);
  await until("!s.app.objects.has(v)", parts[0]);
  await settled();
  assert.equal((await thing(large.label)).area, large.area);
  step("merges both again with a key and two clicks");

  await page.keyboard.press("p");
  const painted = await thing(large.label);
  await drag([[painted.y, painted.box[3] - 2], [painted.y, painted.box[3] + 12]]);
  await settled();
  const grown = await thing(large.label);
  assert(grown.area > painted.area && grown.box[3] > painted.box[3]);
  await shot("paint");
  await page.keyboard.press("e");
  await drag([[painted.y, painted.box[3] + 12], [painted.y, painted.box[3] - 2]]);
  await settled();
  assert((await thing(large.label)).area < grown.area);
  await page.keyboard.press("Escape");
  step("paints and erases");
  for (let i = 0; i < 2; i++) await page.keyboard.press("u");
  await settled();
  assert.equal((await thing(large.label)).area, large.area);
  await page.keyboard.press("Shift+U");
  await settled();
  assert.equal((await thing(large.label)).area, grown.area);
  step("undoes and redoes");

  await page.keyboard.press("t");
  await settled();
  assert.equal(await app("s.app.decided.mitotic[v]", large.label), true);
  await page.keyboard.press("c");
  await page.locator("dialog[open] input").fill("two in one?");
  await page.keyboard.press("Enter");
  await until("s.app.decided.comments.length === 1");
  step("marks a mitosis and comments");

  const state = JSON.stringify(await app("s.app.decided"));
  await page.reload();
  await loaded();
  await until("s.app.decided.edits > 0");
  await settled();
  assert.equal(JSON.stringify(await app("s.app.decided")), state, "a reload changes nothing");
  step("reloads with everything as it was");

  // A second window on the same field sees an edit of the first.
  const otherPage = await context.newPage();
  await otherPage.goto(server.url);
  const other = handsOn(otherPage);
  await other.loaded();
  await other.app("s.actions.go(v)", await app("s.app.field"));
  await other.until("s.app.version === v", await app("s.app.version"));
  // Both draw at once, each on objects of its own: nothing is lost, and both end alike.
  const ours = (await labels()).slice(8, 11);
  const theirs = (await labels()).slice(11, 14);
  const reject = "Promise.all(v.map((label) => s.edits.send({ do: 'reject', label })))";
  const [one, two] = await Promise.all([app(reject, ours), other.app(reject, theirs)]);
  assert(one.every(Boolean) && two.every(Boolean), `${one} ${two}`);
  for (const window of [hands, other]) {
    await window.until("v.every((label) => !s.app.objects.has(label))", [...ours, ...theirs]);
  }
  await otherPage.close();
  step(`two windows at once lose none of ${ours.length + theirs.length} edits`);
  step(await fingers(browser, server.url, (on, name) => pictures && on.screenshot({ path: join(pictures, `${name}.png`) })));

  // Strokes until the server is killed in the middle; none that was answered is lost.
  expected.down = true;
  await page.keyboard.press("Escape");
  const doomed = (await labels()).slice(0, 8);
  const strokes = await app("v.map((label) => s.app.objects.get(label))", (await labels()).slice(8, 16));
  const made = await app("s.app.decided.edits");
  await app(
    `(window.pending = Promise.all(v[0].flatMap((label, i) => {
      const { label: own, y, x, box } = v[1][i];
      const line = Array.from({ length: 40 }, (_, i) => [y, x + ((box[3] - x + 4) * i) / 39]);
      return [
        s.edits.send({ do: 'reject', label }),
        s.edits.send({ do: 'paint', label: own, radius: 3, line }),
      ];
    })), true)`,
    [doomed, strokes],
  );
  // Some are answered and others on their way.
  await until("s.app.decided.edits >= v", made + 5);
  server.child.kill("SIGKILL");
  const answers = await app("window.pending");
  const answered = doomed.filter((_, i) => answers[2 * i]);
  const drawn = strokes.filter((_, i) => answers[2 * i + 1]);
  server = await start("--port", port);
  await page.goto("about:blank");
  await page.goto(server.url);
  await loaded();
  await until("s.app.decided.edits > 0");
  await settled();
  const left = new Set(await labels());
  assert(answered.every((label) => !left.has(label)), "an answered edit was lost");
  for (const was of drawn) {
    assert((await thing(was.label)).area > was.area, `the stroke on ${was.label} was lost`);
  }
  expected.down = false;
  const kept = answered.length + drawn.length;
  assert(kept >= 5 && kept < 2 * doomed.length, `${kept} were answered`);
  step(`a killed server lost none of ${kept} answered edits and strokes (of ${2 * doomed.length} sent)`);

  await page.keyboard.press("?");
  await shot("keys");
  await page.keyboard.press("Escape");
  await page.emulateMedia({ colorScheme: "light" });
  await page.keyboard.press("0");
  await page.keyboard.press("k");
  await page.keyboard.press("k");
  await page.keyboard.press("o");
  await settled();
  await shot("light");
  await page.setViewportSize({ width: 820, height: 1180 });
  await settled();
  await shot("tablet");
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.keyboard.press("g");
  await shot("wide");
  await page.keyboard.press("g");
  step("help, light and dark, a tablet, the wide table");

  await page.keyboard.press("i");
  await page.locator(".gallery canvas").nth(2).waitFor();
  await page.locator(".picture").nth(2).click();
  await until("s.app.field === s.app.order[2]");
  await loaded();
  await settled();
  await shot("gallery");
  await page.keyboard.press("i");
  step(`small pictures of ${await app("s.app.order.length")} fields lead to them`);

  // The stain's edge around a place: a nucleus that is taken away comes back with one click.
  const stain = await app("s.app.list.channels.findIndex((c) => c.role === 'nucleus')");
  await page.keyboard.press(`Alt+Digit${stain + 1}`);
  await settled();
  const round = await app(
    "[...s.app.objects.values()].filter(t => t.box[0] > 60 && t.box[1] > 60 && t.box[2] < s.app.shown.size[0] - 60 && t.box[3] < s.app.shown.size[1] - 60).sort((a, b) => b.area - a.area)[1]",
  );
  await app("(s.view.show(v), s.actions.select(v))", round.label);
  await page.keyboard.press("x");
  await settled();
  await app("s.actions.select(null)");
  const taken = await labels();
  await page.keyboard.press("w");
  await app("s.view.showPlace(v.y, v.x)", round);
  await settled();
  await click(round.y + 0.5, round.x + 0.5);
  await until("s.app.objects.size > v && s.app.saving === 0", taken.length);
  const back = await thing((await labels()).find((label) => !taken.includes(label)));
  await settled();
  await shot("outline");
  await page.keyboard.press("Escape");
  assert(back.area > 0.6 * round.area && back.area < 1.6 * round.area, `${back.area} of ${round.area}`);
  step(`an outline grows to the edge: ${back.area} px of ${round.area}`);

  await correctMany();
  await trainAgain();
  await workThroughAll();

  const median = (values, share) => [...values].sort((x, y) => x - y)[Math.floor(values.length * share)];
  const times = await app("({ frames: s.renderer.frames, tiles: s.renderer.tiles.latencies })");
  const say = (what, v) => `${what} p50 ${median(v, 0.5).toFixed(1)} ms, p95 ${median(v, 0.95).toFixed(1)} ms (${v.length})`;
  console.log(`${say("frames", times.frames)}; ${say("tiles", times.tiles)}; software rendering`);
  assert.deepEqual(problems, []);
} catch (error) {
  await shot("failed");
  console.error(problems.join("\n"));
  throw error;
} finally {
  await browser.close();
  const { child } = server;
  // One that was killed has ended already.
  const ended = new Promise((done) => (child.exitCode ?? child.signalCode) === null ? child.on("exit", done) : done());
  child.kill("SIGINT");
  await ended;
  await rm(work, { recursive: true, force: true });
}
console.log(`${steps.length} steps`);
