/** The one item of the status bar. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import { merged, statusText } from "./view";

const DONE_SHOWN_MS = 30_000;
const LINKS = ["spawn", "nextAttention", "cancelAll", "showServerLog", "openTranscript"].map((name) => `codexSidecar.${name}`);

export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("codexSidecar.status", vscode.StatusBarAlignment.Left);
  private quiet = true;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly repositories: Repositories) {
    this.item.name = "Codex Sidecar";
    this.item.command = "codexSidecar.workers.focus";
    repositories.onDidChange(() => {
      this.show();
    });
  }

  private show(): void {
    const { counts, menu } = merged(this.repositories.all.map((one) => one.view.summary));
    if (counts.running || counts.queued) {
      this.quiet = false;
      clearTimeout(this.timer);
      this.timer = undefined;
    } else if (!this.quiet && !this.timer) {
      this.timer = setTimeout(() => {
        this.quiet = true;
        this.show();
      }, DONE_SHOWN_MS);
    }
    const shown = statusText(counts, this.quiet);
    if (!shown) {
      this.item.hide();
      return;
    }
    this.item.text = shown.text;
    this.item.accessibilityInformation = { label: shown.text.replace(/^\S+ /, "") };
    this.item.backgroundColor = shown.warn ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
    const tooltip = new vscode.MarkdownString(menu, true);
    tooltip.isTrusted = { enabledCommands: LINKS };
    this.item.tooltip = tooltip;
    this.item.show();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.item.dispose();
  }
}
