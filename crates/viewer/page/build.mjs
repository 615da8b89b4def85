// Bundles the page into dist/, which is committed: `cargo build` needs no Node.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

await mkdir("dist", { recursive: true });
await build({
  entryPoints: { app: "src/main.ts" },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  outdir: "dist",
});
await build({ entryPoints: { app: "src/app.css" }, bundle: true, minify: true, outdir: "dist" });
for (const file of ["index.html", "icon.svg"]) {
  await copyFile(`src/${file}`, `dist/${file}`);
}
