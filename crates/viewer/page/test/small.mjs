// Pictures of the page as small PNGs: 64 colours, chosen by median cut (Heckbert 1982).

import { writeFile } from "node:fs/promises";
import { crc32, deflateSync } from "node:zlib";

const COLOURS = 64;

/** Writes what a page shows within `clip` to `path`; `page` is any page that may draw. */
export async function picture(browser, page, clip, path) {
  const shot = await page.screenshot({ clip });
  const blank = await browser.newPage();
  const [width, height, pixels] = await blank.evaluate(async (base64) => {
    const image = new Image();
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let text = "";
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return [image.width, image.height, btoa(text)];
  }, shot.toString("base64"));
  await blank.close();
  const png = encode(width, height, Buffer.from(pixels, "base64"));
  await writeFile(path, png);
  return png.length;
}

/** Boxes of colours, split in the middle of the widest until there are enough. */
function palette(counts) {
  let boxes = [[...counts].map(([rgb, count]) => ({ rgb: [rgb >> 16, (rgb >> 8) & 255, rgb & 255], count }))];
  const spread = (box, c) => {
    let [low, high] = [255, 0];
    for (const { rgb } of box) [low, high] = [Math.min(low, rgb[c]), Math.max(high, rgb[c])];
    return high - low;
  };
  const weight = (box) => box.reduce((sum, { count }) => sum + count, 0);
  while (boxes.length < COLOURS) {
    // The widest, pixels counting little: an outline has few and is what is looked for.
    const worth = boxes.map((box) =>
      box.length < 2 ? -1 : Math.max(...[0, 1, 2].map((c) => spread(box, c))) * weight(box) ** 0.25,
    );
    const at = worth.indexOf(Math.max(...worth));
    if (worth[at] <= 0) break;
    const box = boxes[at];
    const widths = [0, 1, 2].map((c) => spread(box, c));
    const c = widths.indexOf(Math.max(...widths));
    box.sort((a, b) => a.rgb[c] - b.rgb[c]);
    const [low, high] = [box[0].rgb[c], box[box.length - 1].rgb[c]];
    const cut = box.findIndex(({ rgb }) => rgb[c] > (low + high) / 2);
    boxes.splice(at, 1, box.slice(0, cut), box.slice(cut));
  }
  return boxes.map((box) => {
    const all = weight(box);
    return [0, 1, 2].map((c) => Math.round(box.reduce((sum, { rgb, count }) => sum + rgb[c] * count, 0) / all));
  });
}

function encode(width, height, rgba) {
  const counts = new Map();
  const key = (i) => (rgba[i] << 16) | (rgba[i + 1] << 8) | rgba[i + 2];
  for (let i = 0; i < rgba.length; i += 4) counts.set(key(i), (counts.get(key(i)) ?? 0) + 1);
  const colours = palette(counts);
  const nearest = new Map();
  for (const rgb of counts.keys()) {
    const far = ([r, g, b]) => (r - (rgb >> 16)) ** 2 + (g - ((rgb >> 8) & 255)) ** 2 + (b - (rgb & 255)) ** 2;
    nearest.set(rgb, colours.reduce((best, colour, i) => (far(colour) < far(colours[best]) ? i : best), 0));
  }
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = nearest.get(key(4 * (y * width + x)));
  }
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  // Eight bits, colours of a palette.
  head.set([8, 3, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk("IHDR", head),
    chunk("PLTE", Buffer.from(colours.flat())),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
