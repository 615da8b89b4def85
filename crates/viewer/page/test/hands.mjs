// What every script that drives the page needs: the program's address, a browser, the page's own state, and waiting.

import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Starts `stainfree view` with these arguments; gives its process and the address it says. */
export async function serve(program, args, options = {}) {
  const child = spawn(program, ["view", ...args, "--no-open"], { stdio: ["ignore", "pipe", "pipe"], ...options });
  let said = "";
  const url = await new Promise((found, failed) => {
    child.stderr.on("data", (data) => (said += data));
    child.stdout.on("data", (data) => {
      const match = /http:\S+/.exec(String(data));
      if (match) found(match[0]);
    });
    child.on("exit", (code) => failed(new Error(`the program ended with ${code}: ${said}`)));
  });
  return { child, url };
}

/** A headless Chromium that draws WebGL2 by software. */
export function browse() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
  });
}

/** What an error shows of the page beside what was waited for. */
const STATE = `s && JSON.stringify({
  field: s.app.field, tool: s.app.tool, selection: s.app.selection, message: s.app.message,
  saving: s.app.saving, busy: s.view.busy, tiles: s.renderer.tiles.complete, version: s.app.version,
  dialog: document.querySelector("dialog[open]")?.className ?? null,
  again: s.app.again?.runs?.[0] ?? null, queue: s.app.queue && s.app.queue.at,
})`;

/** Reads the state of a page and waits for what it shows. */
export function handsOn(page) {
  // The page's policy allows no code from texts; the browser's own console may.
  const app = (text, v) => page.evaluate(`((s, v) => (${text}))(window.stainfree, ${JSON.stringify(v ?? null)})`);
  const until = async (text, v, seconds = 60) => {
    const end = Date.now() + 1000 * seconds;
    do {
      if (await app(text, v).catch(() => false)) return;
      await new Promise((wait) => setTimeout(wait, 50));
    } while (Date.now() < end);
    const picture = join(tmpdir(), "stainfree-page.png");
    await page.screenshot({ path: picture }).catch(() => {});
    const state = await app(STATE).catch(String);
    throw new Error(`not true after ${seconds} s: ${text} of ${JSON.stringify(v)}; the page: ${state}; see ${picture}`);
  };
  const settled = async () => {
    // A frame first, which asks for what it lacks.
    await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
    await until("!s.view.busy && s.app.saving === 0 && s.renderer.tiles.complete");
  };
  const loaded = () => until("s && s.app.objects.size > 0");
  /** Where a place of the image is on the screen. */
  const screen = async (y, x) => {
    const box = await page.locator(".stage").boundingBox();
    const c = await app("s.app.camera");
    return [box.x + box.width / 2 + (x - c.x) * c.scale, box.y + box.height / 2 + (y - c.y) * c.scale];
  };
  const click = async (y, x, more = {}) => page.mouse.click(...(await screen(y, x)), more);
  const drag = async (points) => {
    const places = await Promise.all(points.map(([y, x]) => screen(y, x)));
    await page.mouse.move(...places[0]);
    await page.mouse.down();
    for (const place of places.slice(1)) await page.mouse.move(...place, { steps: 6 });
    await page.mouse.up();
  };
  const thing = (label) => app("s.app.objects.get(v)", label);
  const labels = () => app("[...s.app.objects.keys()]");
  return { page, app, until, settled, loaded, screen, click, drag, thing, labels };
}
