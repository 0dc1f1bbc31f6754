/** The one item of the status bar. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import { nameOf, statusText } from "./rows";
import { isActive } from "./state";

const DONE_SHOWN_MS = 30_000;

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
    const sum = this.repositories.totals;
    if (sum.running || sum.queued) {
      this.quiet = false;
      clearTimeout(this.timer);
      this.timer = undefined;
    } else if (!this.quiet && !this.timer) {
      this.timer = setTimeout(() => {
        this.quiet = true;
        this.show();
      }, DONE_SHOWN_MS);
    }
    const text = statusText(sum, this.quiet);
    if (!text) {
      this.item.hide();
      return;
    }
    this.item.text = text.text;
    this.item.accessibilityInformation = { label: text.aria };
    this.item.backgroundColor = text.warn ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
    this.item.tooltip = this.tooltip();
    this.item.show();
  }

  private tooltip(): vscode.MarkdownString {
    const links = "[Spawn Worker](command:codexSidecar.spawn) · [Cancel All](command:codexSidecar.cancelAll)";
    const text = new vscode.MarkdownString();
    text.isTrusted = { enabledCommands: ["codexSidecar.spawn", "codexSidecar.cancelAll"] };
    for (const job of this.repositories.jobs.filter(({ job }) => isActive(job)).map(({ job }) => job)) {
      text.appendText(`${nameOf(job)}: ${job.activity ?? job.status}`).appendMarkdown("\n\n");
    }
    return text.appendMarkdown(links);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.item.dispose();
  }
}
