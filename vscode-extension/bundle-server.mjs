// Puts the server's wheel and the hashes of it and of all it needs into bundled/, from which the extension installs them.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const python = process.env.PYTHON ?? "../.venv/bin/python";
rmSync("bundled", { recursive: true, force: true });
mkdirSync("bundled");
// A Python that has the build backend, as the repository's has, needs no index here.
const has = spawnSync(python, ["-c", "import hatchling"], { stdio: "ignore" }).status === 0;
const options = ["-q", "--no-deps", "--no-input", "--disable-pip-version-check", ...(has ? ["--no-build-isolation"] : []), "-w", "bundled"];
execFileSync(python, ["-m", "pip", "wheel", ...options, ".."], { stdio: "inherit" });
const [wheel] = readdirSync("bundled");
const hash = createHash("sha256").update(readFileSync(`bundled/${wheel}`)).digest("hex");
const needed = readFileSync("../requirements/runtime.txt", "utf8");
// The pictures lie outside of the extension, and their addresses would lead nowhere in it.
const page = readFileSync("README.md", "utf8");
writeFileSync("bundled/README.md", page.replace(/^!\[.*\n\n/gm, ""));
writeFileSync("bundled/requirements.txt", `${needed}./${wheel} --hash=sha256:${hash}\n`);
