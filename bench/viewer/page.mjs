// How long the page takes: opens a running `stainfree view` in a headless Chromium, scrolls and filters
// the table, shows small pictures, pans and zooms.
//
//   stainfree view IMAGES --no-open          # prints an address
//   node bench/viewer/page.mjs ADDRESS       # after `npm ci` in crates/viewer/page

import { createRequire } from "node:module";

const require = createRequire(new URL("../../crates/viewer/page/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const url = process.argv[2];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
const page = await (await browser.newContext({ viewport: { width: 1280, height: 720 } })).newPage();
// The page's policy allows no code from texts; the browser's own console may.
const app = (text) => page.evaluate(`((s) => (${text}))(window.stainfree)`);
const until = async (text) => {
  for (let i = 0; i < 20000; i++) {
    if (await app(text).catch(() => false)) return;
    await new Promise((wait) => setTimeout(wait, 10));
  }
  throw new Error(`never true: ${text}`);
};
const spread = (what, times) => {
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor((times.length - 1) * share)].toFixed(1);
  console.log(`${what}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms`);
};

let begun = Date.now();
await page.goto(url);
await until("s && s.app.channels.some((c) => c.range)");
console.log(`contrast of the first field after ${Date.now() - begun} ms`);
await until("s.renderer.tiles.latencies.length > 0");
console.log(`its first tile after ${Date.now() - begun} ms`);
await until("s.renderer.tiles.complete");
console.log(`all of it after ${Date.now() - begun} ms`);

const fields = await app("s.app.list.fields.length");
if (fields > 100) {
  const scroll = `(async () => {
    const rows = document.querySelector(".rows");
    const times = [];
    for (let i = 0; i < 100; i++) {
      const begun = performance.now();
      rows.scrollTop = (i * rows.scrollHeight) / 100;
      await new Promise((next) => requestAnimationFrame(next));
      times.push(performance.now() - begun);
    }
    return times;
  })()`;
  spread(`a frame of scrolling ${fields} fields`, await page.evaluate(scroll));
  begun = Date.now();
  await page.keyboard.press("i");
  while ((await page.locator(".gallery canvas").count()) < 12) await page.waitForTimeout(10);
  console.log(`twelve small pictures after ${Date.now() - begun} ms`);
}
const move = `(async () => {
  const s = window.stainfree;
  const [height, width] = s.app.shown.size;
  s.renderer.frames.length = 0;
  const times = [];
  for (let i = 0; i < 240; i++) {
    const begun = performance.now();
    const turn = (2 * Math.PI * i) / 120;
    s.app.camera.scale = 0.02 * 50 ** (0.5 + 0.5 * Math.sin(turn));
    s.app.camera.x = width * (0.5 + 0.25 * Math.cos(turn));
    s.app.camera.y = height * (0.5 + 0.25 * Math.sin(turn));
    s.app.tell("camera");
    await new Promise((next) => requestAnimationFrame(next));
    times.push(performance.now() - begun);
  }
  return [times, s.renderer.frames];
})()`;
const [frames, drawn] = await page.evaluate(move);
spread("a frame of panning and zooming, software rendering", frames);
spread("of that the page's own work", drawn);
await browser.close();
