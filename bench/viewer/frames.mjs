// Where a frame's time goes: the page's own JavaScript, what it uploads and asks to be drawn, and the
// rasteriser, for several sizes of the window and numbers of layers.
//
//   stainfree view STUDY --no-open             # prints an address
//   node bench/viewer/frames.mjs ADDRESS       # after `npm ci` in crates/viewer/page
//
// "own" is the time of the page's code in a frame; "drawn" the time until what it asked for is drawn,
// measured by reading a pixel back; "frame" from frame to frame of the browser, which cannot be shorter
// than the screen's 16.7 ms. Chromium draws by software here unless GPU=1 is set.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(new URL("../../crates/viewer/page/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const url = process.argv[2];
const software = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", ...(process.env.GPU ? [] : software)],
});

/** Counts what the page asks of WebGL; runs before its own code. */
function count() {
  const counts = { draws: 0, bytes: 0, pixels: 0 };
  Object.assign(window, { counts });
  const wrap = (of, name, note) => {
    const own = of[name];
    of[name] = function (...given) {
      note(...given);
      return own.apply(this, given);
    };
  };
  const gl = WebGL2RenderingContext.prototype;
  wrap(gl, "drawArrays", () => (counts.draws += 1));
  const upload = (...given) => (counts.bytes += given.at(-1)?.byteLength ?? 0);
  wrap(gl, "texImage2D", upload);
  wrap(gl, "texSubImage2D", upload);
  // The canvas above the tiles is uploaded by the browser as a whole when anything in it changes.
  const changed = () => (counts.above = (counts.above ?? 0) + 1);
  wrap(CanvasRenderingContext2D.prototype, "clearRect", changed);
}

const spread = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share) => (sorted[Math.floor((sorted.length - 1) * share)] ?? NaN).toFixed(1);
  return `${at(0.5)}, ${at(0.95)}`;
};

async function opened(width, height) {
  const context = await browser.newContext({ viewport: { width, height } });
  await context.addInitScript(count);
  const page = await context.newPage();
  if (process.env.DIST) {
    // The page as it was just built, over the server that runs.
    for (const name of ["app.js", "app.css"]) {
      const contentType = name.endsWith("js") ? "text/javascript" : "text/css";
      const body = readFileSync(`${process.env.DIST}/${name}`, "utf8");
      await page.route(`**/${name}`, (route) => route.fulfill({ body, contentType }));
    }
  }
  await page.goto(url);
  // The page's policy allows no code from texts; the browser's own console may.
  const app = (text, v) => page.evaluate(`((s, v) => (${text}))(window.stainfree, ${JSON.stringify(v ?? null)})`);
  const until = async (text) => {
    for (let i = 0; i < 2000; i++) {
      if (await app(text).catch(() => false)) return;
      await page.waitForTimeout(20);
    }
    throw new Error(`never true: ${text}`);
  };
  await until("s && s.app.channels.some((c) => c.range)");
  await until("s.renderer.tiles.complete");
  return { page, app, until, context };
}

/** Pans and zooms for `frames` frames, and times each. */
const move = (frames, kind) => `(async () => {
  const s = window.stainfree;
  const [height, width] = s.app.shown.size;
  const start = { ...s.app.camera };
  const { counts } = window;
  const next = () => new Promise((done) => requestAnimationFrame(done));
  const gl = s.renderer.gl;
  const own = [], drawn = [], frame = [], draws = [], bytes = [], above = [];
  const pixel = new Uint8Array(4);
  // What is drawn at once: the page's own frame, then a read that waits for the rasteriser.
  await next();
  for (let i = 0; i < ${frames}; i++) {
    const turn = (2 * Math.PI * i) / ${frames};
    const before = performance.now();
    [counts.draws, counts.bytes, counts.above] = [0, 0, 0];
    if (${kind === "pan"}) {
      s.app.camera.x = start.x + (width / 16) * Math.sin(turn);
      s.app.camera.y = start.y + (height / 16) * Math.sin(2 * turn);
    } else s.app.camera.scale = start.scale * 2 ** (1 + Math.sin(turn));
    const one = performance.now();
    s.renderer.pace?.moved();
    s.app.tell("camera");
    const told = performance.now() - one;
    await next();
    frame.push(performance.now() - before);
    own.push(told + (s.renderer.frames.at(-1) ?? 0));
    draws.push(counts.draws);
    bytes.push(counts.bytes);
    above.push(counts.above);
  }
  const canvas = [s.renderer.canvas.width, s.renderer.canvas.height];
  await new Promise((done) => setTimeout(done, 400));
  for (let i = 0; i < ${frames}; i += 4) {
    s.app.camera.x = start.x + i / 7;
    s.app.tell("camera");
    const begun = performance.now();
    s.renderer.draw();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    drawn.push(performance.now() - begun);
    await next();
  }
  Object.assign(s.app.camera, start);
  s.app.tell("camera");
  return { own, drawn, frame: frame.slice(2), draws, bytes, above, canvas };
})()`;

const row = (what, r) => {
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const each = (values) => (sum(values) / values.length).toFixed(1);
  console.log(
    `| ${what} | ${spread(r.own)} | ${spread(r.drawn)} | ${spread(r.frame)} | ${each(r.draws)} | ` +
      `${(sum(r.bytes) / r.bytes.length / 1024).toFixed(0)} | ${each(r.above)} | ${r.canvas.join(" x ")} |`,
  );
};

console.log("| window, layers, motion | own ms p50, p95 | drawn ms p50, p95 | frame ms p50, p95 | draw calls | KB uploaded | canvas above | drawn at last |");
console.log("|---|---|---|---|---|---|---|---|");
for (const [width, height] of (process.env.SIZES ? JSON.parse(process.env.SIZES) : [[1280, 720], [820, 560], [640, 400]])) {
  const { page, app, until, context } = await opened(width, height);
  const layers = await app("s.app.list.layers.length");
  for (const shown of [0, 1, 3]) {
    if (shown > layers) continue;
    await app("(s.app.layers.forEach((layer, i) => (layer.on = i < v)), s.app.tell('layers'))", shown);
    for (const kind of ["pan", "zoom"]) {
      await page.waitForTimeout(300);
      await until("s.renderer.tiles.complete");
      // Once to have the tiles, once to measure.
      await page.evaluate(move(40, kind));
      await until("s.renderer.tiles.complete");
      const size = await app("[s.renderer.canvas.width, s.renderer.canvas.height]");
      const r = await page.evaluate(move(160, kind));
      row(`${width} x ${height} (canvas ${size.join(" x ")}), ${shown} of labels, ${kind}`, r);
    }
  }
  await context.close();
}

// Another colouring of all objects of the field.
{
  const { page, app, until, context } = await opened(1280, 720);
  await until("s.app.objects.size > 0 || s.app.list.layers.length === 0");
  if ((await app("s.app.objects.size")) > 0) {
    const recolour = `(async () => {
      const s = window.stainfree;
      const { counts } = window;
      const own = [], drawn = [], bytes = [];
      const gl = s.renderer.gl;
      const pixel = new Uint8Array(4);
      for (let i = 0; i < 40; i++) {
        counts.bytes = 0;
        const begun = performance.now();
        s.actions.colouring();
        const told = performance.now() - begun;
        const drawing = performance.now();
        s.renderer.draw();
        own.push(told + performance.now() - drawing);
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
        drawn.push(performance.now() - begun);
        bytes.push(counts.bytes);
        await new Promise((done) => requestAnimationFrame(done));
      }
      return { own, drawn, bytes };
    })()`;
    const r = await page.evaluate(recolour);
    const kb = (r.bytes.reduce((a, b) => a + b, 0) / r.bytes.length / 1024).toFixed(0);
    console.log(`${await app("s.app.objects.size")} objects in another colour: own ${spread(r.own)} ms, drawn ${spread(r.drawn)} ms, ${kb} KB uploaded`);
  }
  await context.close();
}
await browser.close();
