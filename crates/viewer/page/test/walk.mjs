// The walk for newcomers in the README: a simulated plate, a small network, and the page as a person
// sees it on the way from "look" over "correct" to "train again".
//
//   node test/walk.mjs PROGRAM FOLDER FOR PICTURES        # in crates/viewer/page, after `npm ci`

import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { browse, handsOn, serve } from "./hands.mjs";
import { picture } from "./small.mjs";

const [given, folder] = process.argv.slice(2);
const program = resolve(given);
const place = await mkdtemp(join(tmpdir(), "stainfree-walk-"));
await mkdir(folder, { recursive: true });
const run = (...args) => execFileSync(program, [...args, "--quiet"], { cwd: place, stdio: ["ignore", "ignore", "inherit"] });
run("simulate", "plate", "--wells", "8", "--sites", "2", "--side", "512");
run("new", "plate", "--out", "study");
run("prepare", "study", "--mitosis");
run("train", "study", "--steps", "40", "--crop", "192", "--batch", "4");
run("evaluate", "study", "--on", "train");
run("evaluate", "study", "--on", "validation");

const { child, url } = await serve(program, ["study", "--as", "you"], { cwd: place });
const browser = await browse();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 680 }, colorScheme: "dark" });
  const page = await context.newPage();
  const hands = handsOn(page);
  const { app, until } = hands;
  const settled = async () => {
    await hands.settled();
    await page.waitForTimeout(250);
  };
  const all = { x: 0, y: 0, width: 1280, height: 680 };
  const keep = async (name, clip = all) => {
    const bytes = await picture(browser, page, clip, join(folder, `${name}.png`));
    console.log(`${name}.png: ${Math.round(bytes / 1024)} KB`);
  };
  const list = async (beginning) => {
    const at = await app("s.app.list.lists.findIndex(({ title }) => title.startsWith(v))", beginning);
    await app("s.actions.take(v)", at);
    await until("s.app.queue !== null && s.app.objects.size > 0");
    return showWell();
  };
  /** Shows the first entry of the list that lies away from the rim on a nucleus of the truth. */
  const showWell = async () => {
    const count = await app("s.app.queue.entries.length");
    for (let i = 0; i < count; i++) {
      const near = await app("s.app.queue.entries[v].at.every((p) => p > 110 && p < 402)", i);
      if (!near) continue;
      await app("s.actions.entry(v)", i);
      await settled();
      if ((await app("s.app.selection")) !== null) return true;
    }
    return false;
  };
  await page.goto(url);
  await until("s && s.app.objects.size > 0");

  // Look: the nuclei that the model is least sure of, over all fields.
  await list("least sure");
  await app("s.app.say('')");
  await keep("walk-1");

  // Correct: a line across a nucleus that the model splits.
  if (!(await list("doubtful splits"))) {
    const large = "[...s.app.objects.values()].filter((t) => [t.y, t.x].every((p) => p > 110 && p < 402)).sort((a, b) => b.area - a.area)[0].label";
    await app("s.actions.select(v)", await app(large));
    await settled();
  }
  await app("s.app.say('')");
  const label = await app("s.app.selection");
  const large = await app("s.app.objects.get(v)", label);
  const box = await page.locator(".stage").boundingBox();
  const camera = await app("s.app.camera");
  const screen = ([y, x]) => [
    box.x + box.width / 2 + (x - camera.x) * camera.scale,
    box.y + box.height / 2 + (y - camera.y) * camera.scale,
  ];
  await page.keyboard.press("s");
  await page.mouse.move(...screen([large.box[0] - 3, large.x]));
  await page.mouse.down();
  await page.mouse.move(...screen([large.box[2] + 3, large.x]), { steps: 8 });
  await page.waitForTimeout(300);
  await keep("walk-2", { x: box.x, y: 36, width: box.width, height: 644 });
  await page.mouse.up();
  await settled();
  await page.keyboard.press("Escape");

  // Train again, and what it changed.
  await page.keyboard.press("q");
  await page.keyboard.press("r");
  const dialog = page.locator("dialog.again");
  await dialog.getByLabel("steps").fill("40");
  await dialog.getByRole("button", { name: "Start" }).click();
  await until("['done', 'failed'].includes(s.app.again?.runs[0]?.phase)", null, 300);
  await dialog.getByText("What changed from").waitFor();
  await page.waitForTimeout(500);
  await dialog.getByText("What changed from").evaluate((title) => title.scrollIntoView());
  const around = await dialog.boundingBox();
  await keep("walk-3", { x: around.x, y: Math.max(around.y, 0), width: around.width, height: Math.min(around.height, 560) });
  await dialog.getByRole("button", { name: "Show both models" }).click();
  await until("s && document.querySelector('dialog.again[open] h3') !== null");
  await until("s.app.objects.size > 0");
  await dialog.getByRole("button", { name: "that flipped" }).last().click();
  await until("s.app.queue?.list === null && s.app.queue.at === 0");
  if (!(await showWell())) await page.keyboard.press("0");
  await settled();
  await keep("walk-4", { x: box.x, y: 36, width: 1280 - box.x, height: 644 });
} finally {
  await browser.close();
  const ended = new Promise((done) => child.on("exit", done));
  child.kill("SIGINT");
  await ended;
  await rm(place, { recursive: true, force: true });
}
