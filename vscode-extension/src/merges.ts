/** The three-way merge. Its result is a file in memory: the work tree is written only when the merge is finished. */

import * as vscode from "vscode";
import type { Documents } from "./documents";
import type { MergeRequest } from "./protocol";
import type { Repository } from "./repository";

export const MERGE_SCHEME = "codex-merge";

interface Merging {
  content: Uint8Array;
  mtime: number;
  repository: Repository;
  request: MergeRequest;
}

export class Merges implements vscode.FileSystemProvider, vscode.Disposable {
  private readonly merging = new Map<string, Merging>();
  private readonly changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly onDidChangeFile = this.changed.event;
  private readonly tabs: vscode.Disposable;

  constructor(private readonly documents: Documents) {
    this.tabs = vscode.window.tabGroups.onDidChangeTabs(() => {
      const open = vscode.window.tabGroups.all.some(({ tabs }) => tabs.some((tab) => resultOf(tab)?.scheme === MERGE_SCHEME));
      void vscode.commands.executeCommand("setContext", "codexSidecar.merging", open);
    });
  }

  async open(repository: Repository, request: MergeRequest): Promise<void> {
    const output = vscode.Uri.parse(request.output, true);
    const content = Buffer.from(request.marked);
    this.merging.set(output.toString(), { content, mtime: Date.now(), repository, request });
    this.changed.fire([{ type: vscode.FileChangeType.Changed, uri: output }]);
    const base = this.documents.own(request.base, repository);
    const [input1, input2] = request.inputs.map((one) => ({ ...one, uri: this.documents.own(one.uri, repository) }));
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
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    const uri = resultOf(tab) ?? vscode.window.activeTextEditor?.document.uri;
    const key = uri?.scheme === MERGE_SCHEME ? uri.toString() : [...this.merging.keys()].pop();
    const merging = this.merging.get(key ?? "");
    if (key === undefined || !merging) {
      return;
    }
    if (tab?.input instanceof vscode.TabInputText) {
      await vscode.window.activeTextEditor?.document.save();
    } else {
      const accepted = await vscode.commands.executeCommand<{ successful?: boolean }>("mergeEditor.acceptMerge");
      if (accepted.successful === false) {
        return;
      }
    }
    const { repository, request } = merging;
    const { conflictId, jobIds, expectedHash } = request;
    const text = Buffer.from(merging.content).toString();
    const done = await repository.act("finishMerge", { conflictId, jobIds }, { text, expectedHash });
    if (!done) {
      // The merge editor has closed, and its text must not go with it.
      await vscode.window.showTextDocument(vscode.Uri.parse(key));
    } else if (this.merging.get(key) === merging) {
      this.merging.delete(key); // Unless the server has opened the merge again meanwhile.
    }
  }

  stat(uri: vscode.Uri): vscode.FileStat {
    const { content, mtime } = this.file(uri);
    return { type: vscode.FileType.File, ctime: 0, mtime, size: content.byteLength };
  }

  readFile = (uri: vscode.Uri): Uint8Array => this.file(uri).content;

  writeFile(uri: vscode.Uri, content: Uint8Array): void {
    Object.assign(this.file(uri), { content, mtime: Date.now() });
    this.changed.fire([{ type: vscode.FileChangeType.Changed, uri }]);
  }

  delete(uri: vscode.Uri): void {
    this.merging.delete(uri.toString());
  }

  watch = (): vscode.Disposable => new vscode.Disposable(() => undefined);
  readDirectory = refuse;
  createDirectory = refuse;
  rename = refuse;

  /** Behind the members above: VS Code looks for them at once. */
  private readonly registration = vscode.workspace.registerFileSystemProvider(MERGE_SCHEME, this);

  private file(uri: vscode.Uri): Merging {
    const file = this.merging.get(uri.toString());
    if (!file) {
      throw vscode.FileSystemError.FileNotFound(uri);
    }
    return file;
  }

  dispose(): void {
    vscode.Disposable.from(this.registration, this.changed, this.tabs).dispose();
  }
}

/** What a tab edits: a file, or the result of a merge, which has no type in the public interface. */
function resultOf(tab: vscode.Tab | undefined): vscode.Uri | undefined {
  const input = tab?.input as { result?: vscode.Uri; uri?: vscode.Uri } | undefined;
  return input?.result ?? input?.uri;
}

/** There are no folders, and a file keeps its name. */
function refuse(uri: vscode.Uri): never {
  throw vscode.FileSystemError.NoPermissions(uri);
}
