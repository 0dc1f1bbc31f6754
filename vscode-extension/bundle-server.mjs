// Puts the server's wheel and the hashes of what it needs into bundled/, from which the extension installs them.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";

const python = process.env.PYTHON ?? "../.venv/bin/python";
rmSync("bundled", { recursive: true, force: true });
mkdirSync("bundled");
execFileSync(python, ["-m", "pip", "wheel", "-q", "--no-deps", "--no-input", "-w", "bundled", ".."], { stdio: "inherit" });
copyFileSync("../requirements/runtime.txt", "bundled/requirements.txt");
