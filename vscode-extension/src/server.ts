/** Which program the language server and the MCP server are, and the Python that runs it. */

import { execFile } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import * as vscode from "vscode";

const run = promisify(execFile);

/** How long a Python may take to say its first word. */
const SILENT_MS = 60_000;
/** How long after a start with the program of last time the environment is looked at again. */
const RENEWAL_MS = 15_000;

export interface Program {
  command: string;
  args: string[];
  /** A directory that holds no Python module: `python -m` would take modules from the repository first. */
  cwd: string;
  /** It is the one of last time, which nobody has looked at now. */
  remembered?: boolean;
}

/** Why there is no program: a state of the view, and a sentence. */
export class NoProgram extends Error {
  constructor(
    readonly state: string,
    message: string,
  ) {
    super(message);
  }
}

interface PythonApi {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

/** What the script `environment` answers. */
interface Answer {
  python?: string;
  problem?: { state: string; message: string };
}

export class Programs {
  private renewal: NodeJS.Timeout | undefined;
  private listens = false;

  /** `chosen` is called when the person has chosen another Python. */
  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    private readonly chosen: () => void,
  ) {}

  /** Finds the program of a repository; `anew`: not the one of last time.
   *  @throws NoProgram */
  async find(top: string, anew: boolean): Promise<Program> {
    const { extensionPath: cwd, globalState } = this.context;
    const resource = vscode.Uri.file(top);
    const settings = vscode.workspace.getConfiguration("codexSidecar", resource);
    const path = settings.get<string>("server.path", "").trim();
    if (path) {
      return { command: path, args: [], cwd };
    }
    const args = ["-m", "sidecar"];
    const chosen = settings.get<string>("python.path", "").trim();
    const pythons = async (): Promise<string[]> =>
      chosen ? [chosen] : [...(await this.active(resource)), "python3", "python"];
    if (settings.get<string>("server.importStrategy") === "fromEnvironment") {
      return { command: await this.first(await pythons(), ["--installed"]), args, cwd };
    }
    const carried = join(cwd, "bundled", "requirements.txt");
    const key = [chosen, carried, existsSync(carried) && statSync(carried).mtimeMs].join("\n");
    const look = async (): Promise<string> => {
      const command = await this.first(await pythons(), []);
      await globalState.update("found", { key, command });
      return command;
    };
    const found = globalState.get<{ key: string; command: string }>("found");
    if (anew || found?.key !== key || !existsSync(found.command)) {
      return { command: await look(), args, cwd };
    }
    this.renewal ??= setTimeout(() => {
      look().catch((error: unknown) => this.log.warn(String(error)));
    }, RENEWAL_MS);
    return { command: found.command, args, cwd, remembered: true };
  }

  /** What the Python extension has chosen for a folder, where there is that extension. */
  private async active(resource: vscode.Uri): Promise<string[]> {
    const environments = (await pythonExtension()?.activate())?.environments;
    if (environments && !this.listens) {
      this.listens = true;
      this.context.subscriptions.push(environments.onDidChangeActiveEnvironmentPath(this.chosen));
    }
    const found = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath(resource));
    return found?.executable.uri ? [found.executable.uri.fsPath] : [];
  }

  /** The Python to use, of the first of these that is new enough. */
  private async first(pythons: string[], options: string[]): Promise<string> {
    let reason: NoProgram | undefined;
    for (const one of pythons) {
      const { python, problem } = await this.ask(one, options);
      if (python) {
        return python;
      }
      if (problem && problem.state !== "oldPython") {
        throw new NoProgram(problem.state, problem.message);
      }
      reason ??= problem && new NoProgram(problem.state, problem.message);
    }
    throw reason ?? new NoProgram("noPython", `No Python: could not run ${pythons.join(", ")}.`);
  }

  /** What the script of the environment says; its log is ours. */
  private async ask(python: string, options: string[]): Promise<Answer> {
    const { extensionPath, globalStorageUri } = this.context;
    const args = ["-E", "-s", "-B", join(extensionPath, "environment"), python, globalStorageUri.fsPath, ...options];
    const asked = run(python, args, { cwd: "/", maxBuffer: Infinity });
    const { stdout, stderr } = asked.child;
    const silent = setTimeout(() => asked.child.kill("SIGKILL"), SILENT_MS);
    const installing = (value: boolean): Thenable<void> => vscode.commands.executeCommand("setContext", "codexSidecar.installing", value);
    if (stdout && stderr) {
      createInterface(stdout).on("line", (line) => void installing(line.includes('"installing"')));
      createInterface(stderr).on("line", (line) => {
        clearTimeout(silent);
        this.log.info(line);
      });
    }
    try {
      return JSON.parse((await asked).stdout.trim().split("\n").at(-1) ?? "") as Answer;
    } catch (error) {
      this.log.info(String(error));
      return {};
    } finally {
      clearTimeout(silent);
      void installing(false);
    }
  }
}

export const pythonExtension = (): vscode.Extension<PythonApi | undefined> | undefined =>
  vscode.extensions.getExtension("ms-python.python");

/** The top level of the work tree that a folder belongs to; undefined where it is in none. */
export async function topLevel(folder: string): Promise<string | undefined> {
  try {
    const { stdout } = await run("git", ["-C", folder, "rev-parse", "--show-toplevel"]);
    return stdout.replace(/\n$/, "");
  } catch {
    return undefined; // git says so by failing, and without git nothing here can work either.
  }
}
