// Bundles the extension into one file; with --test, the unit tests.
import { build } from "esbuild";

const testing = process.argv.includes("--test");
await build({
  entryPoints: testing ? ["test/rows.test.ts"] : ["src/extension.ts"],
  outdir: testing ? "dist/test" : "dist",
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode"],
  minify: !testing,
  logLevel: "warning",
});
