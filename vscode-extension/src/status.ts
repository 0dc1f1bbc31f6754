/** The one item of the status bar. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import { trusted } from "./tree";
import { statusOf } from "./view";

export function statusItem(repositories: Repositories): vscode.Disposable {
  const item = vscode.window.createStatusBarItem("codexSidecar.status", vscode.StatusBarAlignment.Left);
  item.name = "Codex Sidecar";
  item.command = "codexSidecar.workers.focus";
  repositories.onDidChange(() => {
    const status = statusOf(repositories.all);
    if (!status) {
      item.hide();
      return;
    }
    item.text = `$(${status.icon}) ${status.text}`;
    item.accessibilityInformation = { label: status.text };
    item.backgroundColor = status.warns ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
    item.tooltip = trusted(repositories.all.map((one) => one.view.summary.menu).join("\n\n"));
    item.show();
  });
  return vscode.Disposable.from(item);
}
