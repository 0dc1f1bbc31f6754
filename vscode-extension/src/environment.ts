/** The server that comes along: shows while it is installed, once, and says in the log what pip does. */

import { join } from "node:path";
import * as vscode from "vscode";
import { clean, existing, make, pythonIn, writeLauncher, type Plan, type Python } from "./managed";

/** The Python of the extension's own environment; it is made where it is missing.
 *  @throws NoProgram */
export async function bundledPython(
  context: vscode.ExtensionContext,
  python: Python,
  log: vscode.LogOutputChannel,
): Promise<string> {
  const plan: Plan = {
    home: context.globalStorageUri.fsPath,
    carried: join(context.extensionPath, "bundled"),
    version: (context.extension.packageJSON as { version: string }).version,
    python,
    log: (line) => {
      log.info(line);
    },
  };
  const environment = (await existing(plan)) ?? (await install(plan));
  await writeLauncher(plan.home, environment);
  // Nobody waits for it, and what cannot be removed now can be later.
  clean(plan.home, environment, plan.log).catch((error: unknown) => {
    log.warn(`Old environments: ${String(error)}`);
  });
  return pythonIn(environment);
}

/** While it goes on the view says so; whoever opens repositories shows progress there. */
async function install(plan: Plan): Promise<string> {
  const show = (installing: boolean): Thenable<unknown> =>
    vscode.commands.executeCommand("setContext", "codexSidecar.installing", installing);
  await show(true);
  try {
    return await make(plan);
  } finally {
    await show(false);
  }
}
