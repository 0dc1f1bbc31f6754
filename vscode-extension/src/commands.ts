/** The palette's commands. They ask; what happens is the server's. */

import * as vscode from "vscode";
import { openAllChanges, openChanges, openFileChange, type Documents, type Merges } from "./documents";
import type { Repositories } from "./repositories";
import type { Repository } from "./repository";
import { conflictText, failedOrStalled, jobText, nameOf, stored } from "./rows";
import { isActive, type Job } from "./state";
import {
  CANCEL_AND_ROLL_BACK,
  RERUN,
  RESTORE,
  ROLL_BACK,
  compare,
  ended,
  forceCancel,
  guarded,
  hasFiles,
  openConflict,
  pickSandbox,
  restoreSnapshot,
  resume,
  rollBackWorker,
  spawnOn,
  twoSteps,
  type Clash,
  type Worker,
} from "./steps";
import type { Node } from "./tree";

export class Commands {
  constructor(
    private readonly repositories: Repositories,
    private readonly documents: Documents,
    private readonly merges: Merges,
  ) {}

  register(): vscode.Disposable[] {
    const all: Record<string, (...args: never[]) => unknown> = {
      spawn: () => this.spawn(),
      spawnFromSelection: () => this.spawnFromSelection(),
      cancel: (node?: Node) => this.cancel(node),
      forceCancel: (node?: Node) => this.withJob(node, (job) => job.status === "stopping", forceCancel),
      cancelAll: () => this.cancelAll(),
      openTranscript: (node?: Node) => this.withJob(node, () => true, ({ job }) => this.documents.openTranscript(job)),
      openResult: (node?: Node) => this.withJob(node, () => true, ({ job }) => this.documents.openResult(job)),
      openChanges: (node?: Node) =>
        this.withJob(node, hasFiles, ({ job, repository }) => openChanges(repository, job)),
      openFileChange: (node: Node) => {
        const job = node.repository.model.job(node.row.jobId ?? "");
        return job && openFileChange(node.repository, job, node.row.path ?? "");
      },
      openFile: (node: Node) => vscode.window.showTextDocument(node.repository.uri(node.row.path ?? "")),
      openAllChanges: () => this.withRepository(openAllChanges),
      openConflict: (node?: Node) => this.withConflict(node, openConflict),
      nextAttention: () => this.nextAttention(),
      showStatus: () => this.withJob(undefined, () => true, ({ job }) => this.documents.openTranscript(job)),
      waitAny: () => this.waitAny(),
      resolveConflict: (node?: Node) => this.withConflict(node, (clash) => this.resolve(clash)),
      merge: (node?: Node) => this.withConflict(node, (clash) => this.merge(clash)),
      finishMerge: () => this.merges.finish(),
      keepVersion: (node: Node) =>
        this.withConflict(node, (clash) => this.resolveBy(clash, "keep", node.row.label, node.row.jobId)),
      dismissConflict: (node?: Node) => this.withConflict(node, (clash) => this.resolveBy(clash, "dismiss", "")),
      rollback: () =>
        this.withRepository((repository) => twoSteps(repository, "codex_rollback", {}, ROLL_BACK, true)),
      rollbackWorker: (node?: Node) => this.withJob(node, hasFiles, rollBackWorker),
      rerunSequential: () => this.withRepository((repository) => twoSteps(repository, "codex_rerun", {}, RERUN, true)),
      restoreSnapshot: () => this.withRepository(restoreSnapshot),
      resume: (node?: Node) => this.withJob(node, (job) => !isActive(job), resume),
      copyJobId: (node: Node) => vscode.env.clipboard.writeText(node.row.jobId ?? ""),
      clearDone: () => this.repositories.clearEnded(),
      clearWorker: (node: Node) => this.repositories.clear([node.row.jobId ?? ""]),
      checkSetup: () => this.withRepository((repository) => this.documents.openSetup(repository)),
    };
    const tools = ["codex_resolve", "codex_rollback", "codex_rerun", "codex_restore"];
    const plain = ["codex_merge_inputs", "codex_conflicts", "codex_status", "codex_spawn", "codex_cancel"];
    return [
      ...Object.entries(all).map(([name, run]) =>
        vscode.commands.registerCommand(`codexSidecar.${name}`, guarded(run as (...args: unknown[]) => unknown)),
      ),
      ...tools.map((tool) =>
        vscode.commands.registerCommand(
          tool,
          guarded((args, top) => this.runAction(tool, args as Record<string, string>, top as string | undefined)),
        ),
      ),
      ...plain.map((tool) =>
        vscode.commands.registerCommand(
          tool,
          guarded((args, top) => this.runTool(tool, (args ?? {}) as Record<string, unknown>, top as string | undefined)),
        ),
      ),
    ];
  }

  // -- what the server's code actions and lenses call ----------------------------------------------------------------

  private async runAction(tool: string, args: Record<string, string> = {}, top?: string): Promise<unknown> {
    const repository = this.repositories.at(top) ?? (await this.pickRepository());
    if (!repository || "token" in args) {
      return repository?.call(tool, args);
    }
    const { conflictId, strategy, jobId } = args;
    const conflict = repository.model.conflict(conflictId ?? "");
    if (tool === "codex_resolve" && conflict && strategy) {
      const label = conflict.jobs.find((job) => job.jobId === jobId)?.label;
      return this.resolveBy({ conflict, repository }, strategy, label ?? "", jobId);
    }
    const buttons: Record<string, string> = { codex_rollback: ROLL_BACK, codex_rerun: RERUN, codex_restore: RESTORE };
    return twoSteps(repository, tool, args, buttons[tool] ?? ROLL_BACK);
  }

  private async runTool(tool: string, args: Record<string, unknown>, top?: string): Promise<unknown> {
    const repository = this.repositories.at(top) ?? (await this.pickRepository());
    const conflict = repository?.model.conflict(String(args["conflictId"]));
    if (tool === "codex_merge_inputs" && repository && conflict && args["show"] === "merge") {
      return this.merge({ conflict, repository });
    }
    if (tool === "codex_merge_inputs" && repository && conflict && args["show"] === "compare") {
      return compare(repository, conflict, args["jobIds"] as string[]);
    }
    return repository?.call(tool, args);
  }

  // -- workers -------------------------------------------------------------------------------------------------------

  private async spawn(value = ""): Promise<void> {
    const repository = await this.pickRepository();
    const prompt =
      repository &&
      (await vscode.window.showInputBox({
        title: vscode.l10n.t("Spawn Worker (1/2)"),
        placeHolder: vscode.l10n.t("Task for the worker"),
        value,
        ignoreFocusOut: true,
      }));
    if (!repository || !prompt?.trim()) {
      return;
    }
    const sandbox = await pickSandbox(repository);
    if (sandbox) {
      await spawnOn(repository, { prompt, sandbox });
    }
  }

  private async spawnFromSelection(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const selection = editor?.selection;
    if (editor && selection) {
      const path = vscode.workspace.asRelativePath(editor.document.uri, false);
      const place = `${path}:${selection.start.line + 1}-${selection.end.line + 1}`;
      await this.spawn(` (${place}: ${editor.document.getText(selection).replace(/\s+/g, " ").slice(0, 2000)})`);
    }
  }

  private async cancel(node?: Node): Promise<void> {
    await this.withJob(node, isActive, async ({ job, repository }) => {
      let rollBack = false;
      if (job.touchedFiles.length) {
        const cancel = vscode.l10n.t("Cancel Worker");
        const chosen = await vscode.window.showWarningMessage(
          vscode.l10n.t("Cancel {0}?", nameOf(job)),
          {
            modal: true,
            detail: vscode.l10n.t(
              "It has changed files: {0}. They stay as they are; roll back afterwards if you do not want them.",
              job.touchedFiles.map((file) => file.path).join(", "),
            ),
          },
          cancel,
          CANCEL_AND_ROLL_BACK,
        );
        if (!chosen) {
          return;
        }
        rollBack = chosen === CANCEL_AND_ROLL_BACK;
      }
      await repository.call("codex_cancel", { jobId: job.jobId });
      if (rollBack) {
        await ended(repository, job.jobId);
        await rollBackWorker({ job, repository });
      }
    });
  }

  private async cancelAll(): Promise<void> {
    const active = this.repositories.jobs.filter(({ job }) => isActive(job));
    const cancel = vscode.l10n.t("Cancel All Workers");
    const question = vscode.l10n.t("Cancel all workers ({0})?", active.length);
    const detail = active.map(({ job }) => nameOf(job)).join("\n");
    if (active.length && (await vscode.window.showWarningMessage(question, { modal: true, detail }, cancel))) {
      await Promise.all(active.map(({ job, repository }) => repository.call("codex_cancel", { jobId: job.jobId })));
    }
  }

  private async waitAny(): Promise<void> {
    const repository = await this.pickRepository();
    const jobIds = repository?.model.jobs.filter(isActive).map((job) => job.jobId) ?? [];
    while (repository && jobIds.length) {
      const answer = await repository.call<{ completedJobId: string | null; label: string; status: string }>(
        "codex_wait_any",
        { jobIds },
      );
      if (answer.completedJobId) {
        const open = vscode.l10n.t("Open Result");
        const text = vscode.l10n.t("{0} has ended: {1}.", answer.label, answer.status);
        const job = repository.model.job(answer.completedJobId);
        if ((await vscode.window.showInformationMessage(text, open)) && job) {
          await this.documents.openResult(job);
        }
        return;
      }
    }
  }

  private async nextAttention(): Promise<void> {
    const clash = this.repositories.conflicts[0];
    const worker = this.repositories.jobs.find(({ job }) => failedOrStalled(job));
    if (clash) {
      await openConflict(clash);
    } else if (worker) {
      await this.documents.openTranscript(worker.job);
    }
  }

  // -- conflicts -----------------------------------------------------------------------------------------------------

  private async resolve(clash: Clash): Promise<void> {
    const { conflict, repository } = clash;
    const uri = repository.uri(conflict.path);
    const line = Math.max(0, (conflict.jobs.flatMap((job) => job.ranges)[0]?.start ?? 1) - 1);
    await vscode.workspace.openTextDocument(uri).then(undefined, () => undefined); // A removed file has no text.
    // The server's own code actions are the ways on, in its order and words.
    const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>(
      "vscode.executeCodeActionProvider",
      uri,
      new vscode.Range(line, 0, line, 1000),
      vscode.CodeActionKind.QuickFix.value,
    );
    const ours = actions.filter((one) => {
      const given = one.command?.arguments?.[0] as { conflictId?: string } | undefined;
      return given?.conflictId === conflict.conflictId;
    });
    const title = vscode.l10n.t("How do you want to resolve {0}?", conflict.path);
    const items = ours.map((action) => ({ label: action.title, command: action.command }));
    const chosen = await vscode.window.showQuickPick(items, { title });
    if (chosen?.command) {
      await vscode.commands.executeCommand(chosen.command.command, ...(chosen.command.arguments as unknown[]));
    }
  }

  private async resolveBy({ conflict, repository }: Clash, strategy: string, who: string, jobId?: string): Promise<void> {
    const args = { conflictId: conflict.conflictId, strategy, ...(jobId ? { jobId } : {}) };
    const buttons: Record<string, string> = {
      merge: vscode.l10n.t("Save Snapshot and Merge"),
      keep: vscode.l10n.t("Keep {0}", who.replaceAll("&", "and")),
      reconcile: vscode.l10n.t("Start a Worker That Reconciles"),
      rerun: RERUN,
      dismiss: vscode.l10n.t("Mark as Resolved"),
    };
    await twoSteps(repository, "codex_resolve", args, buttons[strategy] ?? strategy);
  }

  private async merge({ conflict, repository }: Clash): Promise<void> {
    let jobs = conflict.jobs.filter(stored);
    if (jobs.length > 2) {
      const items = jobs.map((job) => ({ label: nameOf(job), job }));
      const title = vscode.l10n.t("Which two versions?");
      jobs = (await vscode.window.showQuickPick(items, { canPickMany: true, title }))?.map(({ job }) => job) ?? [];
    }
    const ids = jobs.map((job) => job.jobId);
    if (ids.length === 2) {
      await this.merges.open(repository, conflict.conflictId, ids);
    }
  }

  // -- choosing ------------------------------------------------------------------------------------------------------

  private async pickRepository(): Promise<Repository | undefined> {
    const items = this.repositories.all.map((repository) => ({ label: repository.name, repository }));
    return items.length < 2
      ? items[0]?.repository
      : (await vscode.window.showQuickPick(items, { title: vscode.l10n.t("Which repository?") }))?.repository;
  }

  private async withRepository(act: (repository: Repository) => Promise<void>): Promise<void> {
    const repository = await this.pickRepository();
    if (repository) {
      await act(repository);
    }
  }

  private async withJob(
    node: Node | undefined,
    wanted: (job: Job) => boolean,
    act: (worker: Worker) => Promise<void>,
  ): Promise<void> {
    const given = node?.repository.model.job(node.row.jobId ?? "");
    if (node && given) {
      await act({ job: given, repository: node.repository });
      return;
    }
    const items = this.repositories.jobs
      .filter(({ job }) => wanted(job))
      .reverse()
      .map((worker) => ({
        label: nameOf(worker.job),
        description: `${worker.job.status}, ${jobText(worker.job, worker.repository.model, Date.now())}`,
        worker,
      }));
    const chosen = await vscode.window.showQuickPick(items, { title: vscode.l10n.t("Which worker?") });
    if (chosen) {
      await act(chosen.worker);
    }
  }

  private async withConflict(node: Node | undefined, act: (clash: Clash) => Promise<void>): Promise<void> {
    const given = node?.repository.model.conflict(node.row.conflictId ?? "");
    if (node && given) {
      await act({ conflict: given, repository: node.repository });
      return;
    }
    const items = this.repositories.conflicts.map((clash) => ({
      label: clash.conflict.path,
      description: conflictText(clash.conflict),
      clash,
    }));
    const chosen = await vscode.window.showQuickPick(items, { title: vscode.l10n.t("Which file?") });
    if (chosen) {
      await act(chosen.clash);
    }
  }
}
