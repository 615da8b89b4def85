// A tablet: fingers that tap, drag, pinch and draw, on a page of its own.

import assert from "node:assert/strict";
import { handsOn } from "./hands.mjs";

/** Opens the page on a tablet of 820 x 1180 and touches it; ends with a sentence of what was done. */
export async function fingers(browser, url, shot) {
  const context = await browser.newContext({
    viewport: { width: 820, height: 1180 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
  });
  const page = await context.newPage();
  const { app, until, settled, loaded, screen } = handsOn(page);
  await page.goto(url);
  await loaded();
  await settled();
  const session = await context.newCDPSession(page);
  const touch = (type, points) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  const box = await page.locator(".stage").boundingBox();
  const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2];

  // Two fingers apart: nearer, and nothing is selected or drawn by it.
  const before = await app("({ ...s.app.camera })");
  await touch("touchStart", [[cx - 40, cy], [cx + 40, cy]]);
  for (let i = 1; i <= 8; i++) await touch("touchMove", [[cx - 40 - 10 * i, cy], [cx + 40 + 10 * i, cy]]);
  await touch("touchEnd", []);
  await settled();
  const near = await app("({ ...s.app.camera })");
  assert(near.scale > 2 * before.scale, `pinched from ${before.scale} to ${near.scale}`);
  assert.equal(await app("s.app.selection"), null);
  // One finger: the image moves with it.
  await touch("touchStart", [[cx, cy]]);
  for (let i = 1; i <= 6; i++) await touch("touchMove", [[cx - 10 * i, cy]]);
  await touch("touchEnd", []);
  await settled();
  const moved = await app("({ ...s.app.camera })");
  assert(Math.abs((moved.x - near.x) * near.scale - 60) < 12, `moved by ${(moved.x - near.x) * near.scale}`);
  // A tap selects.
  const inner =
    "[...s.app.objects.values()].filter(t => t.box[0] > 60 && t.box[1] > 60 && t.box[2] < s.app.shown.size[0] - 60 && t.box[3] < s.app.shown.size[1] - 60).sort((a, b) => b.area - a.area)[0]";
  const large = await app(inner);
  await app("(s.view.show(v))", large.label);
  await settled();
  await touch("touchStart", [await screen(large.y + 0.5, large.x + 0.5)]);
  await touch("touchEnd", []);
  await until("s.app.selection === v", large.label);
  // A finger paints; a second one ends the stroke unsent, and both pinch.
  await page.getByRole("button", { name: "Paint" }).tap();
  const edits = await app("s.app.decided.edits");
  const draw = [[large.y, large.box[3] - 2], [large.y, large.box[3] + 4], [large.y, large.box[3] + 9]];
  const places = await Promise.all(draw.map(([y, x]) => screen(y, x)));
  await touch("touchStart", [places[0]]);
  await touch("touchMove", [places[1]]);
  await touch("touchMove", [places[1], [cx, cy + 90]].slice(0, 1));
  await touch("touchMove", [places[2]]);
  await touch("touchEnd", []);
  await until("s.app.decided.edits > v", edits);
  await settled();
  assert((await app("s.app.objects.get(v).area", large.label)) > large.area);
  await shot(page, "fingers");
  await page.getByRole("button", { name: "undo" }).tap();
  await until("s.app.decided.edits === v", edits);
  await settled();
  await touch("touchStart", [places[0]]);
  await touch("touchMove", [places[1]]);
  await touch("touchStart", [places[1], [cx, cy + 90]]);
  await touch("touchMove", [places[1], [cx, cy + 120]]);
  await touch("touchEnd", []);
  await settled();
  assert.equal(await app("s.app.decided.edits"), edits, "a pinch painted");
  await page.getByRole("button", { name: "Fit" }).tap();
  await page.getByRole("button", { name: "larger brush" }).tap();
  await context.close();
  return `fingers pinch, move, tap and paint (from ${before.scale.toFixed(2)} to ${near.scale.toFixed(2)})`;
}
