// Bundles the page into dist/, which is committed: `cargo build` needs no Node. Another folder may
// be named, to see whether what is committed is what the sources give.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

const out = process.argv[2] ?? "dist";
await mkdir(out, { recursive: true });
await build({
  entryPoints: { app: "src/main.ts" },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  outdir: out,
});
await build({ entryPoints: { app: "src/app.css" }, bundle: true, minify: true, outdir: out });
for (const file of ["index.html", "icon.svg"]) {
  await copyFile(`src/${file}`, `${out}/${file}`);
}
