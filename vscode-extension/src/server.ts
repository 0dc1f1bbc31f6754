/** Which program the language server and the MCP server are, and the Python that runs it. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { firstPython, hasServer, NoProgram, type Python } from "./managed";

export { NoProgram } from "./managed";

const run = promisify(execFile);

export interface Program {
  command: string;
  args: string[];
  /** A directory that holds no Python module: `python -m` would take modules from the repository first. */
  cwd: string;
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
  bundled: (python: Python) => Promise<string>,
): Promise<Program> {
  const resource = vscode.Uri.file(top);
  const settings = vscode.workspace.getConfiguration("codexSidecar", resource);
  const cwd = context.extensionPath;
  const path = settings.get<string>("server.path", "").trim();
  if (path) {
    return { command: path, args: [], cwd };
  }
  const chosen = settings.get<string>("python.path", "").trim();
  const python = await firstPython(chosen ? [chosen] : [...(await activePython(resource)), "python3", "python"]);
  if (settings.get<string>("server.importStrategy") !== "fromEnvironment") {
    return { command: await bundled(python), args: ["-m", "sidecar"], cwd };
  }
  if (!(await hasServer(python.command))) {
    throw new NoProgram("noServer", `${python.command}, Python ${python.version}, has no package codex-sidecar.`);
  }
  return { command: python.command, args: ["-m", "sidecar"], cwd };
}

/** What the Python extension has chosen for a folder, where there is that extension. */
async function activePython(resource: vscode.Uri): Promise<string[]> {
  const extension = vscode.extensions.getExtension<PythonApi | undefined>("ms-python.python");
  const environments = extension && (await extension.activate())?.environments;
  const found = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath(resource));
  return found?.executable.uri ? [found.executable.uri.fsPath] : [];
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
