/** Documents: the server's transcripts and stored versions, reports, differences, and the three-way merge. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import { ToolError, type Repository } from "./repository";
import { nameOf } from "./rows";
import type { Job } from "./state";

export const SCHEME = "codex-sidecar";
const MERGE_SCHEME = "codex-merge";

export function versionUri(repository: Repository, path: string, side: string): vscode.Uri {
  const run = repository.model.run?.runId ?? "";
  // The same path on both sides of a difference: otherwise the editor shows a renamed file.
  return vscode.Uri.from({ scheme: SCHEME, path: `/${path}`, query: `run=${run}&side=${side}` });
}

function jobUri(job: Job, view: "" | "result"): vscode.Uri {
  const title = job.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  const query = view ? `job=${job.jobId}&view=${view}` : `job=${job.jobId}`;
  return vscode.Uri.from({ scheme: SCHEME, path: `/${job.label}-${view || title}.md`, query });
}

/** Serves `codex-sidecar:` documents and keeps an open transcript at its end while the person looks at the end. */
export class Documents implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly parts: vscode.Disposable[];
  private readonly atEnd = new WeakMap<vscode.TextEditor, boolean>();
  readonly onDidChange = this.changed.event;

  constructor(private readonly repositories: Repositories) {
    this.parts = [
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      repositories.onDidRenew((uri) => {
        this.changed.fire(uri);
      }),
      vscode.window.onDidChangeTextEditorVisibleRanges(({ textEditor, visibleRanges }) => {
        const last = visibleRanges[visibleRanges.length - 1]?.end.line ?? 0;
        this.atEnd.set(textEditor, last >= textEditor.document.lineCount - 2);
      }),
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        this.follow(document);
      }),
    ];
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const asked = new URLSearchParams(uri.query);
    const id = asked.get("job");
    const repository: Repository | undefined =
      this.repositories.all.find((one) => (id ? one.model.job(id) : one.model.run?.runId === asked.get("run"))) ??
      this.repositories.at(asked.get("top") ?? "") ??
      this.repositories.all[0];
    if (!repository) {
      return vscode.l10n.t("The Codex Sidecar server is not running.");
    }
    try {
      switch (asked.get("view")) {
        case "result":
          return await resultPage(repository, id ?? "");
        case "setup":
          return await setupPage(repository);
        default:
          return await repository.document(uri);
      }
    } catch (error) {
      return error instanceof ToolError ? error.sentence : String(error);
    }
  }

  private follow(document: vscode.TextDocument): void {
    const wanted = vscode.workspace.getConfiguration("codexSidecar").get<boolean>("transcript.follow", true);
    if (document.uri.scheme !== SCHEME || !document.uri.query.startsWith("job=") || !wanted) {
      return;
    }
    for (const editor of vscode.window.visibleTextEditors) {
      if (editor.document === document && this.atEnd.get(editor) !== false) {
        revealEnd(editor);
      }
    }
  }

  async openTranscript(job: Job): Promise<void> {
    const document = await vscode.workspace.openTextDocument(jobUri(job, ""));
    revealEnd(await vscode.window.showTextDocument(document, { preview: true }));
  }

  async openResult(job: Job): Promise<void> {
    const uri = jobUri(job, "result");
    this.changed.fire(uri);
    await vscode.window.showTextDocument(uri, { preview: true });
  }

  async openSetup(repository: Repository): Promise<void> {
    const query = `top=${encodeURIComponent(repository.top)}&view=setup`;
    const uri = vscode.Uri.from({ scheme: SCHEME, path: "/Codex Sidecar Setup.md", query });
    this.changed.fire(uri);
    await vscode.window.showTextDocument(uri, { preview: true });
  }

  dispose(): void {
    vscode.Disposable.from(...this.parts, this.changed).dispose();
  }
}

function revealEnd(editor: vscode.TextEditor): void {
  const last = editor.document.lineCount - 1;
  editor.revealRange(new vscode.Range(last, 0, last, 0), vscode.TextEditorRevealType.Default);
}

async function resultPage(repository: Repository, jobId: string): Promise<string> {
  interface Result {
    label: string;
    title: string;
    status: string;
    finalMessage: string | null;
    modifiedFiles: string[] | null;
    usage: { inputTokens: number; outputTokens: number } | null;
    error: { message: string; hint: string } | null;
  }
  const found = await repository.call<Result>("codex_result", { jobId });
  const files = found.modifiedFiles?.map((path) => `- \`${path}\``).join("\n");
  const tokens = found.usage && `${found.usage.inputTokens} tokens in, ${found.usage.outputTokens} out`;
  return [
    `# ${nameOf(found)}`,
    [found.status, tokens].filter(Boolean).join(" · "),
    found.error && `${found.error.message} ${found.error.hint}`,
    found.finalMessage,
    `## ${vscode.l10n.t("Files it reports")}`,
    files ?? vscode.l10n.t("No report."),
  ]
    .filter(Boolean)
    .join("\n\n");
}

async function setupPage(repository: Repository): Promise<string> {
  interface Check {
    name: string;
    ok: boolean;
    required: boolean;
    message: string;
    hint: string;
  }
  const found = await repository.call<{ version: string; checks: Check[] }>("codex_doctor");
  const lines = found.checks.map(({ name, ok, message, hint }) => `- ${ok ? "✓" : "✗"} **${name}**: ${message} ${hint}`);
  return `# Codex Sidecar ${found.version}\n\n${repository.top}\n\n${lines.join("\n")}\n`;
}

/** What one worker changed, file by file: the baseline on the left, the worker's stored version on the right. */
export async function openChanges(repository: Repository, job: Job): Promise<void> {
  const files = job.touchedFiles.map(({ path, change }) => [
    repository.uri(path),
    change === "added" ? undefined : versionUri(repository, path, "base"),
    change === "deleted" ? undefined : versionUri(repository, path, job.label),
  ]);
  await vscode.commands.executeCommand("vscode.changes", nameOf(job), files);
}

export async function openFileChange(repository: Repository, job: Job, path: string): Promise<void> {
  const sides = ["base", job.label].map((side) => versionUri(repository, path, side));
  await vscode.commands.executeCommand("vscode.diff", ...sides, `${path} (${job.label})`, { preview: true });
}

/** What all workers of the run changed: the baseline on the left, the file as it is now on the right. */
export async function openAllChanges(repository: Repository): Promise<void> {
  const run = repository.model.run?.runId;
  const touched = repository.model.jobs.filter((job) => job.runId === run).flatMap((job) => job.touchedFiles);
  const added = new Set(touched.filter((file) => file.change === "added").map((file) => file.path));
  const files = [...new Set(touched.map((file) => file.path))].map((path) => [
    repository.uri(path),
    added.has(path) ? undefined : versionUri(repository, path, "base"),
    repository.uri(path),
  ]);
  await vscode.commands.executeCommand("vscode.changes", vscode.l10n.t("Changes since the baseline"), files);
}

interface MergeInputs {
  path: string;
  versions: { jobId: string; label: string; title: string; text: string | null }[];
  marked: string;
  diskHash: string;
}

interface Merging {
  repository: Repository;
  conflictId: string;
  jobIds: string[];
  expectedHash: string;
}

/** The merge editor's result is a file in memory: the work tree is written only when the merge is finished. */
export class Merges implements vscode.FileSystemProvider, vscode.Disposable {
  private readonly files = new Map<string, { content: Uint8Array; mtime: number }>();
  private readonly merging = new Map<string, Merging>();
  private readonly changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly onDidChangeFile = this.changed.event;
  private readonly registration = vscode.workspace.registerFileSystemProvider(MERGE_SCHEME, this);

  async open(repository: Repository, conflictId: string, jobIds: string[]): Promise<void> {
    const asked = { conflictId, jobIds };
    const inputs = await repository.call<MergeInputs>("codex_merge_inputs", asked);
    const query = `top=${encodeURIComponent(repository.top)}`;
    const output = vscode.Uri.from({ scheme: MERGE_SCHEME, path: `/${inputs.path}`, query });
    this.merging.set(output.toString(), { repository, ...asked, expectedHash: inputs.diskHash });
    this.writeFile(output, Buffer.from(inputs.marked));
    const [input1, input2] = inputs.versions.map((one) => ({
      uri: versionUri(repository, inputs.path, one.label),
      title: `${one.label} ${one.title}`,
      description: vscode.l10n.t("worker {0}", one.label),
      detail: "",
    }));
    const base = versionUri(repository, inputs.path, "base");
    try {
      await vscode.commands.executeCommand("_open.mergeEditor", { base, input1, input2, output });
    } catch (error) {
      // The command is not public: without it the person edits the text with its markers.
      console.warn("no merge editor", error);
      await vscode.window.showTextDocument(output);
    }
  }

  /** Takes the text of the active merge over into the work tree. */
  async finish(): Promise<void> {
    const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input as
      | { result?: vscode.Uri; uri?: vscode.Uri }
      | undefined;
    const uri = input?.result ?? input?.uri ?? vscode.window.activeTextEditor?.document.uri;
    const key = uri?.scheme === MERGE_SCHEME ? uri.toString() : [...this.merging.keys()].pop();
    const merging = key === undefined ? undefined : this.merging.get(key);
    if (key === undefined || !merging) {
      return;
    }
    if (input?.uri) {
      await vscode.window.activeTextEditor?.document.save();
    } else {
      const accepted = await vscode.commands.executeCommand<{ successful?: boolean }>("mergeEditor.acceptMerge");
      if (accepted.successful === false) {
        return;
      }
    }
    const { repository, conflictId, jobIds, expectedHash } = merging;
    const text = Buffer.from(this.readFile(vscode.Uri.parse(key))).toString();
    try {
      await repository.call("codex_apply_merge", { conflictId, text, expectedHash });
      this.merging.delete(key);
    } catch (error) {
      const again = vscode.l10n.t("Merge Again");
      const said = error instanceof ToolError ? error.sentence : String(error);
      if ((await vscode.window.showWarningMessage(said, again)) === again) {
        await this.open(repository, conflictId, jobIds);
      }
    }
  }

  stat(uri: vscode.Uri): vscode.FileStat {
    const file = this.file(uri);
    return { type: vscode.FileType.File, ctime: 0, mtime: file.mtime, size: file.content.byteLength };
  }

  readFile(uri: vscode.Uri): Uint8Array {
    return this.file(uri).content;
  }

  writeFile(uri: vscode.Uri, content: Uint8Array): void {
    this.files.set(uri.toString(), { content, mtime: Date.now() });
    this.changed.fire([{ type: vscode.FileChangeType.Changed, uri }]);
  }

  delete(uri: vscode.Uri): void {
    this.files.delete(uri.toString());
  }

  watch(): vscode.Disposable {
    return new vscode.Disposable(() => undefined);
  }

  readDirectory(): [string, vscode.FileType][] {
    return [];
  }

  createDirectory(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  private file(uri: vscode.Uri): { content: Uint8Array; mtime: number } {
    const file = this.files.get(uri.toString());
    if (!file) {
      throw vscode.FileSystemError.FileNotFound(uri);
    }
    return file;
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
