// Bundles the extension into one file; with --test, the unit tests, each for itself.
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const testing = process.argv.includes("--test");
const outdir = testing ? "dist/test" : "dist";
if (testing) rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: testing ? readdirSync("test").filter((name) => name.endsWith(".ts")).map((name) => `test/${name}`) : ["src/extension.ts"],
  outdir,
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode"],
  minify: !testing,
  logLevel: "warning",
});
