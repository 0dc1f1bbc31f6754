/** Which program the language server and the MCP server are, and the Python that runs it. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";

const run = promisify(execFile);
const OLDEST: readonly [number, number] = [3, 10];

export interface Program {
  command: string;
  args: string[];
  /** A directory that holds no Python module: `python -m` would take modules from the repository first. */
  cwd: string;
}

/** Why there is no server: `noPython`, or `noServer` where Python lacks the package. */
export class NoProgram extends Error {
  constructor(
    readonly state: "noPython" | "noServer",
    message: string,
  ) {
    super(message);
  }
}

interface PythonApi {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
  };
}

/** Finds the program of a repository.
 *  @throws NoProgram */
export async function findProgram(
  context: vscode.ExtensionContext,
  top: string,
  bundled: (python: string) => Promise<string>,
): Promise<Program> {
  const settings = vscode.workspace.getConfiguration("codexSidecar", vscode.Uri.file(top));
  const cwd = context.extensionPath;
  const path = settings.get<string>("server.path", "").trim();
  if (path) {
    return { command: path, args: [], cwd };
  }
  const python = await findPython(settings.get<string>("python.path", "").trim(), vscode.Uri.file(top));
  const fromEnvironment = settings.get<string>("server.importStrategy") === "fromEnvironment";
  const command = fromEnvironment ? python : await bundled(python);
  await probe(
    command,
    ["-c", "import sidecar.entry"],
    cwd,
    new NoProgram("noServer", `${command} has no package codex-sidecar.`),
  );
  return { command, args: ["-m", "sidecar"], cwd };
}

async function findPython(chosen: string, resource: vscode.Uri): Promise<string> {
  const python = chosen || (await activePython(resource)) || "python3";
  const version = OLDEST.join(".");
  const check = `import sys; sys.exit(sys.version_info < (${OLDEST.join(", ")}))`;
  await probe(
    python,
    ["-I", "-c", check],
    "/",
    new NoProgram("noPython", `${python} is no Python ${version} or newer.`),
  );
  return python;
}

async function activePython(resource: vscode.Uri): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonApi | undefined>("ms-python.python");
  if (!extension) {
    return undefined;
  }
  const environments = (await extension.activate())?.environments;
  const found = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath(resource));
  return found?.executable.uri?.fsPath;
}

async function probe(command: string, args: string[], cwd: string, failure: NoProgram): Promise<void> {
  try {
    await run(command, args, { cwd, timeout: 60_000 });
  } catch (error) {
    failure.cause = error;
    throw failure;
  }
}

/** The top level of the work tree that a folder belongs to; undefined where it is in none. */
export async function topLevel(folder: string): Promise<string | undefined> {
  try {
    const { stdout } = await run("git", ["-C", folder, "rev-parse", "--show-toplevel"]);
    return stdout.replace(/\n$/, "");
  } catch {
    return undefined; // git says so by failing, and without git nothing here can work either.
  }
}
