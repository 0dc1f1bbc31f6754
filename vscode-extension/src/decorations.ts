/** Marks in the Explorer: files in conflict, and, if wanted, files that workers touched. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import { conflictText, needsPerson } from "./rows";

export class Decorations implements vscode.FileDecorationProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeFileDecorations = this.changed.event;
  private readonly registration = vscode.window.registerFileDecorationProvider(this);

  constructor(private readonly repositories: Repositories) {
    let shown = "";
    repositories.onDidChange(() => {
      const now = JSON.stringify(
        repositories.all.map(({ model }) => [model.conflicts, model.jobs.map((job) => [job.runId, job.touchedFiles])]),
      );
      if (now !== shown) {
        shown = now;
        this.changed.fire(undefined);
      }
    });
  }

  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    const wanted = vscode.workspace.getConfiguration("codexSidecar").get<string>("decorations.files", "conflicts");
    const repository = uri.scheme === "file" ? this.repositories.of(uri) : undefined;
    const path = repository?.relative(uri);
    if (wanted === "off" || !repository || !path) {
      return undefined;
    }
    const conflict = repository.model.conflicts.find((one) => one.path === path && needsPerson(one));
    if (conflict) {
      const color = new vscode.ThemeColor("list.warningForeground");
      const mark = new vscode.FileDecoration("w!", vscode.l10n.t("Conflict: {0}", conflictText(conflict)), color);
      mark.propagate = true;
      return mark;
    }
    const labels = repository.model.jobs
      .filter((job) => job.runId === repository.model.run?.runId && job.touchedFiles.some((one) => one.path === path))
      .map((job) => job.label);
    const [first] = labels;
    if (wanted !== "touched" || !first) {
      return undefined;
    }
    // A badge of more than two characters is not shown at all.
    const badge = labels.length === 1 && first.length <= 2 ? first : "w+";
    return new vscode.FileDecoration(badge, vscode.l10n.t("Changed by {0}", labels.join(", ")));
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
