/** What the commands do once it is known to which worker, conflict or repository. */

import * as vscode from "vscode";
import { openAllChanges, versionUri } from "./documents";
import { ToolError, type Repository } from "./repository";
import { nameOf } from "./rows";
import type { Conflict, Job } from "./state";

interface Preview {
  preview: { text: string };
  token: string;
}

export interface Worker {
  job: Job;
  repository: Repository;
}

export interface Clash {
  conflict: Conflict;
  repository: Repository;
}

export const ROLL_BACK = "Save Snapshot and Roll Back";
export const RERUN = "Roll Back and Re-run One by One";
export const RESTORE = "Save Snapshot and Restore";
export const CANCEL_AND_ROLL_BACK = "Cancel and Roll Back Its Files...";

export const hasFiles = (job: Job): boolean => job.touchedFiles.length > 0;

/** Failures of tools are told in the server's words. */
export function guarded(run: (...args: unknown[]) => unknown): (...args: unknown[]) => Promise<unknown> {
  return async (...args) => {
    try {
      return await run(...args);
    } catch (error) {
      if (!(error instanceof ToolError)) {
        throw error;
      }
      void vscode.window.showErrorMessage(error.sentence);
      return undefined;
    }
  };
}

/** A tool that can undo work: the server's preview is the question, and its token carries it out. */
export async function twoSteps(
  repository: Repository,
  tool: string,
  args: object,
  button: string,
  review = false,
): Promise<void> {
  let answer = await repository.call<Partial<Preview>>(tool, args);
  while (answer.preview && answer.token) {
    const [message = "", ...detail] = answer.preview.text.split("\n");
    const look = vscode.l10n.t("Review Changes First");
    const options = { modal: true, detail: detail.join("\n").trim() };
    const chosen = await vscode.window.showWarningMessage(message, options, button, ...(review ? [look] : []));
    if (chosen === look) {
      await openAllChanges(repository);
    }
    if (chosen !== button) {
      return;
    }
    try {
      await repository.call(tool, { ...args, token: answer.token });
      return;
    } catch (error) {
      // Something has moved while the question was open: it is put again as it is now.
      if (!(error instanceof ToolError) || error.kind !== "stale-token" || !("preview" in error.details)) {
        throw error;
      }
      answer = error.details;
    }
  }
}

export async function pickSandbox(repository: Repository): Promise<string | undefined> {
  const wanted = vscode.workspace.getConfiguration("codexSidecar").get<string>("spawn.defaultMode", "ask");
  if (wanted !== "ask") {
    return wanted;
  }
  const free = (kind: "read" | "write"): string => {
    const slot = repository.model.limits?.[kind];
    if (!slot) {
      return "";
    }
    const left = Math.max(0, slot.limit - slot.running);
    return left
      ? vscode.l10n.t("{0} of {1} {2} slots free", left, slot.limit, kind)
      : vscode.l10n.t("will wait in the queue (position {0})", slot.queued + 1);
  };
  const items = [
    { label: `$(edit) ${vscode.l10n.t("Can edit files")}`, description: "workspace-write", detail: free("write") },
    { label: `$(eye) ${vscode.l10n.t("Read only")}`, description: "read-only", detail: free("read") },
  ];
  return (await vscode.window.showQuickPick(items, { title: vscode.l10n.t("Spawn Worker (2/2)") }))?.description;
}

export async function spawnOn(repository: Repository, args: object): Promise<void> {
  try {
    await repository.call("codex_spawn", args);
  } catch (error) {
    if (!(error instanceof ToolError) || error.kind !== "dirty-tree") {
      throw error;
    }
    const snapshot = { label: vscode.l10n.t("Use them as the baseline (snapshot)"), onDirty: "snapshot" };
    const show = { label: vscode.l10n.t("Show changes"), onDirty: "" };
    const detail = vscode.l10n.t("They stay as they are; roll back returns to this state");
    const title = vscode.l10n.t("{0} files have uncommitted changes", String(error.details["count"]));
    const chosen = await vscode.window.showQuickPick([{ ...snapshot, detail }, show], { title });
    if (chosen?.onDirty) {
      await repository.call("codex_spawn", { ...args, onDirty: chosen.onDirty });
    } else if (chosen) {
      await vscode.commands.executeCommand("workbench.view.scm");
    }
  }
}

export async function forceCancel({ job, repository }: Worker): Promise<void> {
  await repository.call("codex_cancel", { jobId: job.jobId, force: true });
}

export async function rollBackWorker({ job, repository }: Worker): Promise<void> {
  await twoSteps(repository, "codex_rollback", { jobIds: [job.jobId] }, ROLL_BACK, true);
}

export async function ended(repository: Repository, jobId: string): Promise<void> {
  let answer: { timedOut: boolean };
  do {
    answer = await repository.call("codex_wait_any", { jobIds: [jobId] });
  } while (answer.timedOut);
}

export async function resume({ job, repository }: Worker): Promise<void> {
  const title = vscode.l10n.t("Continue {0}", nameOf(job));
  const prompt = await vscode.window.showInputBox({ title, placeHolder: vscode.l10n.t("What to do next") });
  if (prompt?.trim()) {
    await repository.call("codex_resume", { jobId: job.jobId, prompt });
  }
}

export async function restoreSnapshot(repository: Repository): Promise<void> {
  interface Snapshot {
    snapshotId: string;
    createdAt: string;
    reason: string;
    files: number;
  }
  const { snapshots } = await repository.call<{ snapshots: Snapshot[] }>("codex_snapshots");
  const items = snapshots.map(({ snapshotId, createdAt, reason, files }) => ({
    label: new Date(createdAt).toLocaleString(),
    description: reason,
    detail: vscode.l10n.t("{0} files, {1}", files, snapshotId),
    snapshotId,
  }));
  const title = items.length ? vscode.l10n.t("Which snapshot?") : vscode.l10n.t("There is no snapshot yet");
  const chosen = await vscode.window.showQuickPick(items, { title });
  if (chosen) {
    await twoSteps(repository, "codex_restore", { snapshotId: chosen.snapshotId }, RESTORE);
  }
}

export async function openConflict({ conflict, repository }: Clash): Promise<void> {
  const line = Math.max(0, (conflict.jobs.flatMap((job) => job.ranges)[0]?.start ?? 1) - 1);
  const selection = new vscode.Range(line, 0, line, 0);
  await vscode.window.showTextDocument(repository.uri(conflict.path), { preview: true, selection });
}

export async function compare(repository: Repository, conflict: Conflict, jobIds: string[]): Promise<void> {
  const labels = conflict.jobs.filter((job) => jobIds.includes(job.jobId)).map((job) => job.label);
  const sides = labels.map((label) => versionUri(repository, conflict.path, label));
  await vscode.commands.executeCommand("vscode.diff", ...sides.slice(0, 2), `${conflict.path} (${labels.join(" ↔ ")})`);
}
