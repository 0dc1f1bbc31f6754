/** Pythons, and the virtual environments that the extension keeps in its storage. Nothing here needs VS Code. */

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);
const OLDEST = [3, 10] as const;
/** Python takes modules from the working directory first, and pyenv its version: it must be nobody's. */
const NOWHERE = "/";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Written last; its time is that of the last use. */
const MARK = "ready";

export type Missing = "noPython" | "oldPython" | "noVenv" | "offline" | "noServer" | "failed";

/** Why there is no server. The message is one line for people; `state` decides what the view offers. */
export class NoProgram extends Error {
  constructor(
    readonly state: Missing,
    message: string,
  ) {
    super(message);
  }
}

export interface Python {
  command: string;
  /** As in "3.11.7". */
  version: string;
}

/** The first of these that is new enough.
 *  @throws NoProgram */
export async function firstPython(commands: string[]): Promise<Python> {
  let old: Python | undefined;
  for (const command of commands) {
    const version = await versionOf(command);
    const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
    if (version && (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]))) {
      return { command, version };
    }
    old ??= version ? { command, version } : undefined;
  }
  throw old
    ? new NoProgram("oldPython", `${old.command} is Python ${old.version}.`)
    : new NoProgram("noPython", `No Python: could not run ${commands.join(", ")}.`);
}

async function versionOf(command: string): Promise<string | undefined> {
  // Python 2 shall say its version, too; it has no -I.
  const code = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
  try {
    const { stdout } = await execute(command, ["-E", "-s", "-c", code], { cwd: NOWHERE, timeout: MINUTE });
    return /^\d+\.\d+\.\d+$/m.exec(stdout)?.[0];
  } catch {
    return undefined; // What cannot be run is no Python, for whatever reason.
  }
}

/** Whether a Python can start the server. */
export async function hasServer(python: string): Promise<boolean> {
  return succeeds(python, "import sidecar.entry");
}

async function succeeds(python: string, code: string): Promise<boolean> {
  try {
    await execute(python, ["-c", code], { cwd: NOWHERE, timeout: MINUTE });
    return true;
  } catch {
    return false;
  }
}

/** What an environment is made of, where, and by which Python. */
export interface Plan {
  /** The directory of all environments. */
  home: string;
  /** The directory of the wheel and of requirements.txt. */
  carried: string;
  /** Of the extension. */
  version: string;
  python: Python;
  log: (line: string) => void;
}

/** The program of a virtual environment. */
export function pythonIn(environment: string, platform: string = process.platform): string {
  return platform === "win32" ? join(environment, "Scripts", "python.exe") : join(environment, "bin", "python");
}

/** The name of what is made from a plan: another one for everything that goes into it.
 *  @throws NoProgram where the extension was built without a server. */
export async function keyOf({ carried, version, python }: Plan): Promise<string> {
  const hash = createHash("sha256").update(python.version.split(".").slice(0, 2).join("."));
  for (const name of [await wheelIn(carried), "requirements.txt"]) {
    hash.update(`\0${name}\0`).update(await readFile(join(carried, name)));
  }
  return `server-${version}-${hash.digest("hex").slice(0, 16)}`;
}

async function wheelIn(carried: string): Promise<string> {
  const name = existsSync(carried) ? (await readdir(carried)).find((one) => one.endsWith(".whl")) : undefined;
  if (!name) {
    throw new NoProgram("noServer", "This build of the extension carries no server.");
  }
  return name;
}

/** The finished environment of a plan, if there is one that works. */
export async function existing(plan: Plan): Promise<string | undefined> {
  const key = await keyOf(plan);
  const names = existsSync(plan.home) ? await readdir(plan.home) : [];
  // The first one, so that all windows take the same if there should be two.
  for (const name of names.filter((one) => one.startsWith(`${key}.`)).sort()) {
    const environment = join(plan.home, name);
    const mark = join(environment, MARK);
    if (!existsSync(mark)) {
      continue;
    }
    if (await hasServer(pythonIn(environment))) {
      await utimes(mark, new Date(), new Date());
      return environment;
    }
    plan.log(`${environment} does not work any more; its Python may have been removed.`);
    await rm(mark, { force: true });
  }
  return undefined;
}

/** Makes the environment of a plan, or waits for another window that does.
 *  @throws NoProgram */
export async function make(plan: Plan): Promise<string> {
  const key = await keyOf(plan);
  const lock = join(plan.home, `${key}.lock`);
  await mkdir(plan.home, { recursive: true });
  for (let waiting = false; !(await take(lock)); waiting = true) {
    if (!waiting) {
      plan.log("Another window is installing the server.");
    }
    await sleep(500);
  }
  const alive = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), 5_000);
  try {
    // The other window may have done it.
    return (await existing(plan)) ?? (await build(plan, `${key}.${process.pid}-${Date.now().toString(36)}`));
  } finally {
    clearInterval(alive);
    await rm(lock, { force: true });
  }
}

/** Spares a second download and nothing else: each window builds in a directory of its own, so two at once do no harm. */
async function take(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      throw error;
    }
  }
  try {
    const owner = Number(await readFile(lock, "utf8"));
    if (isGone(owner) || Date.now() - (await stat(lock)).mtimeMs > MINUTE) {
      await rm(lock, { force: true });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw error;
    }
  }
  return false;
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

async function build(plan: Plan, name: string): Promise<string> {
  const { python, log } = plan;
  // Never moved afterwards: the paths of its programs are in it.
  const environment = join(plan.home, name);
  try {
    log(`Making ${environment} with ${python.command}, Python ${python.version}`);
    const venv = await run(python.command, ["-I", "-m", "venv", environment], NOWHERE, log);
    if (!venv.ok) {
      throw (await succeeds(python.command, "import venv, ensurepip"))
        ? new NoProgram("failed", `${python.command} made no virtual environment: ${venv.last}`)
        : new NoProgram("noVenv", `${python.command} needs the package ${packageOf(python)} (Debian, Ubuntu).`);
    }
    const inside = pythonIn(environment);
    // --no-user: somebody's pip.conf may have `user = true`, which is an error in a virtual environment.
    const options = ["--no-input", "--no-user", "--no-deps", "--progress-bar", "off", "--disable-pip-version-check"];
    const install = [...options, "--require-hashes", "-r", "requirements.txt"];
    const pip = await run(inside, ["-I", "-m", "pip", "install", ...install], plan.carried, log);
    if (!pip.ok) {
      throw new NoProgram(isOffline(pip.output) ? "offline" : "failed", `pip: ${pip.last}`);
    }
    if (!(await hasServer(inside))) {
      throw new NoProgram("failed", `The server in ${environment} does not start.`);
    }
    await writeFile(join(environment, MARK), "");
    return environment;
  } catch (error) {
    await rm(environment, { recursive: true, force: true });
    throw error;
  }
}

function packageOf({ version }: Python): string {
  return `python${version.split(".").slice(0, 2).join(".")}-venv`;
}

/** Whether pip failed because it reached no index. It has one exit code for everything. */
export function isOffline(output: string): boolean {
  if (/DO NOT MATCH THE HASHES|subprocess-exited-with-error/.test(output)) {
    return false;
  }
  return /after connection broken by|Max retries exceeded|Failed to (?:connect|establish)|ReadTimeout|ConnectTimeout|timed out|ProxyError|SSLError|name resolution|Network is unreachable|HTTP error 5\d\d/i.test(
    output,
  );
}

interface Ended {
  ok: boolean;
  output: string;
  /** The last line that says something, where it failed. */
  last: string;
}

async function run(command: string, args: string[], cwd: string, log: (line: string) => void): Promise<Ended> {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], timeout: 30 * MINUTE });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      log(line);
    });
  }
  const ok = await new Promise<boolean>((resolve) => {
    child.once("error", (error) => {
      lines.push(error.message);
      resolve(false);
    });
    child.once("close", (code) => {
      resolve(code === 0);
    });
  });
  return { ok, output: lines.join("\n"), last: lines.filter((line) => line.trim()).at(-1) ?? "" };
}

/** Writes `codex-sidecar`, a program that starts the one in an environment. Environments come and go with the versions of
 *  the extension; this stays where it is, so that the configuration of another program can name it. */
export async function writeLauncher(home: string, environment: string): Promise<void> {
  if (process.platform === "win32") {
    return;
  }
  const path = join(home, "codex-sidecar");
  const program = join(environment, "bin", "codex-sidecar").replaceAll("'", "'\\''");
  const text = `#!/bin/sh\nexec '${program}' "$@"\n`;
  if (!existsSync(path) || (await readFile(path, "utf8")) !== text) {
    const next = `${path}.${process.pid}`;
    await writeFile(next, text, { mode: 0o755 });
    await rename(next, path);
  }
}

/** Removes what is old and in nobody's use: environments a day after their last use, unfinished ones after an hour. */
export async function clean(home: string, keep: string, log: (line: string) => void): Promise<void> {
  const running = await commandLines();
  for (const name of await readdir(home)) {
    const path = join(home, name);
    if (!/^(server|removed)-/.test(name) || path === keep || running.includes(path)) {
      continue;
    }
    const mark = join(path, MARK);
    const finished = existsSync(mark);
    const age = Date.now() - (await stat(finished ? mark : path)).mtimeMs;
    if (age > (finished ? 24 * HOUR : HOUR)) {
      log(`Removing ${path}`);
      // At once out of everybody's sight; Windows refuses it while a program in it runs.
      const gone = join(home, `removed-${name}`);
      await rename(path, gone);
      await rm(gone, { recursive: true, force: true });
    }
  }
}

/** Of all processes. A server outlives its window, and goes on loading modules from its environment. */
async function commandLines(): Promise<string> {
  if (process.platform === "win32") {
    return "";
  }
  if (process.platform !== "linux") {
    return (await execute("ps", ["-axww", "-o", "args="], { maxBuffer: 1 << 26 })).stdout;
  }
  // Small containers have no ps.
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  // A process may end meanwhile.
  return (await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")))).join("\n");
}
