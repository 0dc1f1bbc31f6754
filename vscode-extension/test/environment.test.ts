/** Real Pythons, real pip, real processes; no index is asked, the wheel of these tests needs nothing. */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { clean, existing, firstPython, hasServer, isOffline, keyOf, make, NoProgram, pythonIn, writeLauncher, type Plan, type Python } from "../src/managed";

const PYTHON = resolve(process.env["PYTHON"] ?? "../.venv/bin/python");
const DAY = 86_400_000;
const WHEEL = "codex_sidecar-1.0-py3-none-any.whl";

/** Another process that makes an environment as soon as the file `go` is there. */
async function asChild(given: string): Promise<void> {
  const { go, ...plan } = JSON.parse(given) as Omit<Plan, "log"> & { go: string };
  while (!fs.existsSync(go)) {
    await sleep(5);
  }
  const log = (line: string): void => {
    console.log(line);
  };
  log(`= ${await make({ ...plan, log })}`);
}

if (process.env["PLAN"]) {
  void asChild(process.env["PLAN"]);
} else {
  tests();
}

function tests(): void {
  const root = fs.mkdtempSync(join(tmpdir(), "codex-sidecar-environment-"));
  process.env["PIP_CONFIG_FILE"] = "/dev/null";
  process.env["PIP_NO_INDEX"] = "1";
  delete process.env["PIP_FIND_LINKS"];
  const children = new Set<ChildProcess>();
  after(() => {
    for (const child of children) {
      child.kill("SIGKILL");
    }
    // What a killed window had begun may still write.
    fs.rmSync(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 });
  });

  let count = 0;
  const place = (): string => {
    const path = join(root, String(++count));
    fs.mkdirSync(path);
    return path;
  };

  const script = (text: string): string => {
    const path = join(place(), "python");
    fs.writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return path;
  };

  /** The Python of the tests with another version. */
  const reporting = (version: string): string =>
    script(
      `exec '${PYTHON}' -c 'import sys; sys.version_info = (${version}, "final", 0); exec(sys.argv[1])' ` +
        `"$(while [ "$1" != -c ]; do shift; done; printf %s "$2")"`,
    );

  /** A directory as the extension carries it, with a package that starts or does not. */
  const carry = (starts = true): string => {
    const path = place();
    const name = starts ? "sidecar/entry.py" : "sidecar/other.py";
    const zip = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in {
        "sidecar/__init__.py": "", sys.argv[2]: "",
        "codex_sidecar-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: codex-sidecar\\nVersion: 1.0\\n",
        "codex_sidecar-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "codex_sidecar-1.0.dist-info/RECORD": "",
    }.items():
        wheel.writestr(zipfile.ZipInfo(name), text)`;
    execFileSync(PYTHON, ["-c", zip, join(path, WHEEL), name]);
    const hash = createHash("sha256").update(fs.readFileSync(join(path, WHEEL))).digest("hex");
    fs.writeFileSync(join(path, "requirements.txt"), `./${WHEEL} --hash=sha256:${hash}\n`);
    return path;
  };

  const carried = carry();
  const { version } = JSON.parse(
    execFileSync(PYTHON, ["-c", "import platform; print('{\"version\": \"%s\"}' % platform.python_version())"], { encoding: "utf8" }),
  ) as { version: string };
  const python: Python = { command: PYTHON, version };
  const minor = version.split(".").slice(0, 2).join(".");
  /** One home for the tests that need a finished environment, because making one takes seconds. */
  const shared = place();
  const logged: string[] = [];
  const log = (line: string): void => {
    logged.push(line);
  };
  const planned = (changes: Partial<Plan> = {}): Plan => ({
    home: shared,
    carried,
    version: "1.2.3",
    python,
    log,
    ...changes,
  });

  /** What is made by `work`, in words of the log. */
  const builds = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
    logged.length = 0;
    const value = await work();
    return [value, logged.filter((line) => line.startsWith("Making ")).length];
  };

  const fails = async (state: NoProgram["state"], says: RegExp, work: () => Promise<unknown>): Promise<void> => {
    await assert.rejects(work, (error) => {
      assert(error instanceof NoProgram, String(error));
      assert.equal(error.state, state, `${error.message}\n${logged.join("\n")}`);
      assert.match(error.message, says);
      return true;
    });
  };

  const environments = (home: string): string[] => fs.readdirSync(home).filter((name) => name.startsWith("server-"));

  const child = (plan: Plan, go: string): { process: ChildProcess; said: Promise<string[]> } => {
    const env = { ...process.env, PLAN: JSON.stringify({ ...plan, go }) };
    const made = spawn(process.execPath, [__filename], { env, stdio: ["ignore", "pipe", "inherit"] });
    children.add(made);
    const said = new Promise<string[]>((done) => {
      let text = "";
      made.stdout.on("data", (data: Buffer) => {
        text += data.toString();
      });
      made.once("close", () => {
        done(text.split("\n"));
      });
    });
    return { process: made, said };
  };

  const until = async (true_: () => boolean, what: string): Promise<void> => {
    const end = Date.now() + 120_000;
    while (!true_()) {
      assert(Date.now() < end, `it did not come true: ${what}`);
      await sleep(20);
    }
  };

  test("the key changes with everything that goes into an environment, and with nothing else", async () => {
    const first = await keyOf(planned());
    assert.match(first, /^server-1\.2\.3-[0-9a-f]{16}$/);
    assert.equal(await keyOf(planned({ home: root, python: { command: "elsewhere", version: `${minor}.99` } })), first);
    const others = [
      planned({ version: "1.2.4" }),
      planned({ python: { command: PYTHON, version: "3.99.0" } }),
      planned({ carried: carry(false) }),
    ];
    const keys = await Promise.all(others.map(keyOf));
    const more = place();
    fs.cpSync(carried, more, { recursive: true });
    fs.appendFileSync(join(more, "requirements.txt"), "# and more\n");
    keys.push(await keyOf(planned({ carried: more })));
    assert.equal(new Set([first, ...keys]).size, 5);
  });

  test("an extension without a server says so", async () => {
    await fails("noServer", /carries no server/, () => existing(planned({ carried: place() })));
    await fails("noServer", /carries no server/, () => existing(planned({ carried: join(root, "nowhere") })));
  });

  test("the first Python that is new enough is taken", async () => {
    const missing = join(root, "nowhere");
    const old = reporting("3, 8, 18");
    assert.deepEqual(await firstPython([missing, old, PYTHON, missing]), python);
    await fails("oldPython", /is Python 3\.8\.18\./, () => firstPython([missing, old, reporting("3, 9, 1")]));
    await fails("oldPython", /is Python 2\.7\.18\./, () => firstPython([reporting("2, 7, 18")]));
    assert.equal((await firstPython([reporting("3, 10, 0")])).version, "3.10.0");
    assert.equal((await firstPython([reporting("4, 0, 0")])).version, "4.0.0");
  });

  test("what cannot be run, or does not answer as Python does, is no Python", async () => {
    const missing = join(root, "nowhere");
    await fails("noPython", new RegExp(missing), () => firstPython([missing]));
    await fails("noPython", /No Python/, () => firstPython([script("echo Python was not found; exit 9"), script("echo hello")]));
    await fails("noPython", /No Python/, () => firstPython([]));
  });

  test("an environment is made once, with pip's words in the log", async () => {
    const [, none] = await builds(() => existing(planned()));
    assert.equal(none, 0);
    const [made, times] = await builds(() => make(planned()));
    assert.equal(times, 1);
    assert.match(logged.join("\n"), /Successfully installed codex-sidecar-1\.0/);
    assert.equal(dirname(made), shared);
    assert.equal(await hasServer(pythonIn(made)), true);
    assert.deepEqual(environments(shared), [basename(made)], "the lock is gone");
    assert.deepEqual(await builds(() => existing(planned())), [made, 0]);
    assert.deepEqual(await builds(() => make(planned())), [made, 0]);
    // Not moved after it was made: its programs name their Python by its path.
    assert.match(execFileSync(join(made, "bin", "pip"), ["--version"], { encoding: "utf8" }), /^pip /);
  });

  test("a use is remembered", async () => {
    const made = (await existing(planned())) ?? "";
    const mark = join(made, "ready");
    fs.utimesSync(mark, 1, 1);
    await existing(planned());
    assert(fs.statSync(mark).mtimeMs > Date.now() - DAY);
  });

  test("a lock is not waited for when its owner has ended, or has stopped to touch it", { timeout: 120_000 }, async () => {
    const lock = join(shared, `${await keyOf(planned())}.lock`);
    const ended = spawn("true");
    await new Promise((done) => ended.once("exit", done));
    const [dead, alive] = [String(ended.pid), String(process.pid)];
    for (const [owner, touched] of [[dead, new Date(Date.now() + DAY)], [alive, new Date(Date.now() - 120_000)]] as const) {
      fs.writeFileSync(lock, owner);
      fs.utimesSync(lock, touched, touched);
      const [, times] = await builds(() => make(planned()));
      assert.equal(times, 0);
      assert.equal(fs.existsSync(lock), false);
    }
  });

  test("what is not finished, or does not work any more, is made again", async () => {
    const home = place();
    const half = join(home, `${await keyOf(planned())}.1-half`);
    // As far as it can be without the mark.
    fs.cpSync((await existing(planned())) ?? "", half, { recursive: true, verbatimSymlinks: true });
    fs.rmSync(join(half, "ready"));
    const plan = planned({ home });
    assert.equal(await existing(plan), undefined);
    const broken = join(home, `${await keyOf(planned())}.0-broken`);
    fs.mkdirSync(join(broken, "bin"), { recursive: true });
    fs.symlinkSync(join(root, "removed", "python"), pythonIn(broken));
    fs.writeFileSync(join(broken, "ready"), "");
    const [made, times] = await builds(() => make(plan));
    assert.equal(times, 1);
    assert.equal([half, broken].includes(made), false);
    assert.match(logged.join("\n"), /0-broken does not work any more/);
    assert.deepEqual(await builds(() => existing(plan)), [made, 0]);
  });

  test("two windows that start at once make one environment", async () => {
    const home = place();
    const go = join(home, "go");
    const both = [child(planned({ home }), go), child(planned({ home }), go)];
    fs.writeFileSync(go, "");
    const said = await Promise.all(both.map((one) => one.said));
    const results = said.map((lines) => lines.find((line) => line.startsWith("= ")));
    assert(results[0]);
    assert.equal(results[0], results[1]);
    assert.equal(said.flat().filter((line) => line.startsWith("Making ")).length, 1, said.flat().join("\n"));
    assert.deepEqual(environments(home), [basename(results[0])]);
  });

  test("a window that is killed while it installs holds up nobody", async () => {
    const home = place();
    const go = join(home, "go");
    fs.writeFileSync(go, "");
    const one = child(planned({ home }), go);
    await until(() => environments(home).some((name) => fs.existsSync(pythonIn(join(home, name)))), "it has begun");
    one.process.kill("SIGKILL");
    await one.said;
    const [left] = environments(home).filter((name) => !name.endsWith(".lock"));
    const [made, times] = await builds(() => make(planned({ home })));
    assert.equal(times, 1);
    assert.notEqual(basename(made), left);
    assert.equal(await existing(planned({ home })), made);
  });

  test("another wheel of the same version gets an environment of its own", async () => {
    const before = (await existing(planned())) ?? "";
    const other = carry();
    fs.appendFileSync(join(other, "requirements.txt"), "# changed\n");
    const plan = planned({ carried: other });
    assert.equal(await existing(plan), undefined);
    const [made, times] = await builds(() => make(plan));
    assert.equal(times, 1);
    assert.notEqual(made, before);
    assert.equal(await existing(planned()), before, "the old one is left to its users");
  });

  test("old environments are removed, but none that is in use, young, or not ours", async () => {
    const home = place();
    const old = new Date(Date.now() - 2 * DAY);
    const add = (name: string, mark: boolean, time?: Date): string => {
      const path = join(home, name);
      fs.mkdirSync(join(path, "bin"), { recursive: true });
      fs.copyFileSync("/bin/sleep", pythonIn(path));
      if (mark) {
        fs.writeFileSync(join(path, "ready"), "");
      }
      for (const one of time ? [path, ...(mark ? [join(path, "ready")] : [])] : []) {
        fs.utimesSync(one, time as Date, time as Date);
      }
      return path;
    };
    const current = add("server-2-b.1", true, old);
    add("server-1-a.1", true, old);
    const used = add("server-1-a.2", true, old);
    add("server-1-a.3", true);
    add("server-1-a.4", false, old);
    add("server-1-a.5", false);
    add("removed-server-0-a.1", true, old);
    add("others", true, old);
    fs.writeFileSync(join(home, "server-1-a.lock"), "1");
    fs.utimesSync(join(home, "server-1-a.lock"), old, old);
    // As a sidecar that has outlived its window.
    const running = spawn(pythonIn(used), ["600"], { detached: true, stdio: "ignore" });
    children.add(running);
    await until(() => fs.readFileSync(`/proc/${String(running.pid)}/cmdline`, "utf8").startsWith(used), "it runs");
    await clean(home, current, log);
    assert.deepEqual(fs.readdirSync(home).sort(), ["others", "server-1-a.2", "server-1-a.3", "server-1-a.5", "server-2-b.1"]);
    const gone = new Promise((done) => running.once("exit", done));
    running.kill("SIGKILL");
    await gone;
    await clean(home, current, log);
    assert.equal(fs.existsSync(used), false);
  });

  test("a Python without venv's parts names the package that brings them", async () => {
    const facts = "import os, sys, sysconfig; print(os.path.realpath(sys.executable)); print(sysconfig.get_path('stdlib'))";
    const [program = "", library = ""] = execFileSync(PYTHON, ["-c", facts], { encoding: "utf8" }).split("\n");
    for (const module of ["ensurepip", "venv"]) {
      // The same Python with all of its library but this module.
      const prefix = place();
      const lib = join(prefix, basename(dirname(library)), basename(library));
      fs.mkdirSync(lib, { recursive: true });
      fs.mkdirSync(join(prefix, "bin"));
      const command = join(prefix, "bin", "python3");
      fs.copyFileSync(program, command);
      for (const name of fs.readdirSync(dirname(library)).filter((one) => one.startsWith("libpython"))) {
        fs.symlinkSync(join(dirname(library), name), join(dirname(lib), name));
      }
      for (const name of fs.readdirSync(library).filter((one) => one !== module)) {
        fs.symlinkSync(join(library, name), join(lib, name));
      }
      const home = place();
      const without = await firstPython([command]);
      assert.equal(without.version, version);
      await fails("noVenv", new RegExp(`needs the package python${minor}-venv`), () => make(planned({ home, python: without })));
      assert.deepEqual(environments(home), [], "nothing is left behind");
    }
  });

  test("an index that cannot be reached is told from what else can fail", async () => {
    const home = place();
    const away = carry();
    fs.appendFileSync(join(away, "requirements.txt"), `nothing-at-all==1.0 --hash=sha256:${"0".repeat(64)}\n`);
    const closed = { PIP_NO_INDEX: "0", PIP_INDEX_URL: "http://127.0.0.1:9/simple", PIP_RETRIES: "1" };
    Object.assign(process.env, closed);
    await fails("offline", /nothing-at-all/, () => make(planned({ home, carried: away })));
    process.env["PIP_NO_INDEX"] = "1";
    assert.match(logged.join("\n"), /127\.0\.0\.1/, "pip's words are in the log");
    // The same with an index that is there and has no such package.
    await fails("failed", /nothing-at-all/, () => make(planned({ home, carried: away })));

    const changed = carry();
    fs.writeFileSync(join(changed, "requirements.txt"), `./${WHEEL} --hash=sha256:${"0".repeat(64)}\n`);
    await fails("failed", /Got\s+[0-9a-f]{64}/, () => make(planned({ home, carried: changed })));
    await fails("failed", /does not start/, () => make(planned({ home, carried: carry(false) })));
    assert.deepEqual(environments(home), [], "nothing is left behind");
  });

  test("pip's ways to say that it is offline", () => {
    const broken = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by ";
    for (const words of [
      `${broken}'NewConnectionError('<...>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')'`,
      `${broken}'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 403 Forbidden'))'`,
      `${broken}'ReadTimeoutError("HTTPSConnectionPool(host='example.org', port=443): Read timed out. (read timeout=15)")'`,
      "Could not fetch URL https://example.org/simple/: There was a problem confirming the ssl certificate: SSLError(...)",
      "ERROR: HTTP error 503 while getting https://example.org/a.whl",
    ]) {
      assert.equal(isOffline(`Looking in indexes\n${words}\nERROR: No matching distribution found for a==1`), true, words);
      assert.equal(isOffline(`${words}\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES`), false);
    }
    assert.equal(isOffline("ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)"), false);
  });

  test("a Python without the server is told from one with it", async () => {
    assert.equal(await hasServer(PYTHON), true);
    assert.equal(await hasServer(script(`exec '${PYTHON}' -S "$@"`)), false);
    assert.equal(await hasServer(join(root, "nowhere")), false);
  });

  test("the program for others stays where it is", async () => {
    const home = join(place(), "it's a home");
    for (const name of ["one", "two", "two"]) {
      fs.mkdirSync(join(home, name, "bin"), { recursive: true });
      fs.writeFileSync(join(home, name, "bin", "codex-sidecar"), `#!/bin/sh\necho ${name} "$@"\n`, { mode: 0o755 });
      await writeLauncher(home, join(home, name));
      assert.equal(execFileSync(join(home, "codex-sidecar"), ["mcp", "a b"], { encoding: "utf8" }), `${name} mcp a b\n`);
    }
    assert.deepEqual(fs.readdirSync(home).sort(), ["codex-sidecar", "one", "two"]);
  });

  test("on Windows the program lies elsewhere", () => {
    assert.equal(pythonIn("e", "win32"), join("e", "Scripts", "python.exe"));
    assert.equal(pythonIn("e", "darwin"), join("e", "bin", "python"));
  });
}
