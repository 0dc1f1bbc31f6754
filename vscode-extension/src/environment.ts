/** The virtual environment that the extension keeps for itself, made from the wheel that it carries. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { NoProgram } from "./server";

const run = promisify(execFile);

/** The Python of the environment for this version of the extension; it is made where it is missing.
 *  @throws NoProgram */
export async function bundledPython(
  context: vscode.ExtensionContext,
  python: string,
  log: vscode.LogOutputChannel,
): Promise<string> {
  const carried = context.asAbsolutePath("bundled");
  const name = (await readdir(carried).catch(() => [])).find((one) => one.endsWith(".whl"));
  if (!name) {
    throw new NoProgram("noServer", "This build of the extension carries no server.");
  }
  const version = (context.extension.packageJSON as { version: string }).version;
  const home = join(context.globalStorageUri.fsPath, `server-${version}`);
  const inside = join(home, "bin", "python");
  if (existsSync(join(home, "ready"))) {
    return inside;
  }
  const title = vscode.l10n.t("Installing the Codex Sidecar server");
  const options = { location: { viewId: "codexSidecar.workers" }, title };
  await vscode.window.withProgress(options, async () => {
    log.info(`Making ${home} with ${python}`);
    await rm(home, { recursive: true, force: true });
    await run(python, ["-m", "venv", home], { cwd: "/" });
    const pip = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check"];
    const requirements = join(carried, "requirements.txt");
    await run(inside, [...pip, "--require-hashes", "-r", requirements], { cwd: "/", maxBuffer: 1 << 26 });
    await run(inside, [...pip, "--no-deps", join(carried, name)], { cwd: "/", maxBuffer: 1 << 26 });
    // Last: a directory without this mark was not finished.
    await vscode.workspace.fs.writeFile(vscode.Uri.file(join(home, "making")), new Uint8Array());
    await rename(join(home, "making"), join(home, "ready"));
  });
  return inside;
}
