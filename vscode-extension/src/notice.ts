/** The one notification that is not the answer to a command. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import { conflictText } from "./rows";
import { openConflict } from "./steps";

/** One warning for each run with conflicts that somebody has to decide; the badge and the status bar say the rest. */
export function warnOnce(repositories: Repositories): vscode.Disposable {
  const told = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const warn = async (): Promise<void> => {
    timer = undefined;
    const off = vscode.workspace.getConfiguration("codexSidecar").get("notifications") === "off";
    const found = repositories.conflicts.filter(
      ({ conflict, repository }) =>
        conflict.confirmed && conflict.severity !== "information" && !told.has(repository.model.run?.runId ?? ""),
    );
    const [first] = found;
    if (!first || off) {
      return;
    }
    found.forEach(({ repository }) => told.add(repository.model.run?.runId ?? ""));
    const review = vscode.l10n.t("Review");
    const text =
      found.length === 1
        ? `${first.conflict.path}: ${conflictText(first.conflict)}.`
        : vscode.l10n.t("{0} files were changed by more than one worker.", found.length);
    if ((await vscode.window.showWarningMessage(text, review, vscode.l10n.t("Later"))) === review) {
      await openConflict(first);
    }
  };
  const listening = repositories.onDidChange(() => {
    timer ??= setTimeout(() => void warn(), 1_000);
  });
  return vscode.Disposable.from(listening, { dispose: () => { clearTimeout(timer); } });
}
