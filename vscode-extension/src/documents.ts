/** Serves the server's `codex-sidecar:` documents, and keeps a transcript at its end while the person looks at the end. */

import * as vscode from "vscode";
import { sentence, type Repositories } from "./repositories";
import type { Repository } from "./repository";

const SCHEME = "codex-sidecar";
/** The other side of a difference whose file is not there. */
export const NOTHING = vscode.Uri.from({ scheme: SCHEME, path: "/nothing", query: "nothing" });

export class Documents implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly atEnd = new WeakMap<vscode.TextEditor, boolean>();
  private readonly owners = new Map<string, Repository>();
  private readonly parts: vscode.Disposable;

  constructor(private readonly repositories: Repositories) {
    this.parts = vscode.Disposable.from(
      this.changed,
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.window.onDidChangeTextEditorVisibleRanges(({ textEditor, visibleRanges }) => {
        const last = visibleRanges[visibleRanges.length - 1]?.end.line ?? 0;
        this.atEnd.set(textEditor, last >= textEditor.document.lineCount - 2);
      }),
      vscode.workspace.onDidOpenTextDocument(({ uri }) => {
        // VS Code drops what it hears of a document that is still being opened.
        if (uri.scheme === SCHEME) {
          this.renew(uri);
        }
      }),
      vscode.workspace.onDidChangeTextDocument(({ document }) => this.follow(document)),
    );
  }

  renew(uri: vscode.Uri): void {
    this.changed.fire(uri);
  }

  /** A document that a repository's server has named. */
  own(text: string, repository: Repository): vscode.Uri {
    const uri = vscode.Uri.parse(text, true);
    if (uri.scheme === SCHEME) {
      this.owners.set(uri.toString(), repository);
    }
    return uri;
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    if (uri.toString() === NOTHING.toString()) {
      return "";
    }
    const owner = this.owners.get(uri.toString());
    let problem = vscode.l10n.t("The Codex Sidecar server is not running.");
    // Of a document that an earlier window had open nobody knows whose it is.
    for (const repository of owner && this.repositories.all.includes(owner) ? [owner] : this.repositories.all) {
      try {
        const params = { uri: uri.toString() };
        return (await repository.request<{ text: string }>("workspace/textDocumentContent", params)).text;
      } catch (error) {
        problem = sentence(error);
      }
    }
    return problem;
  }

  private follow(document: vscode.TextDocument): void {
    const wanted = vscode.workspace.getConfiguration("codexSidecar").get<boolean>("transcript.follow", true);
    if (document.uri.scheme !== SCHEME || !/^job=[^&]*$/.test(document.uri.query) || !wanted) {
      return;
    }
    vscode.window.visibleTextEditors
      .filter((editor) => editor.document === document && this.atEnd.get(editor) !== false)
      .forEach(revealEnd);
  }

  dispose(): void {
    this.parts.dispose();
  }
}

export function revealEnd(editor: vscode.TextEditor): void {
  const last = editor.document.lineCount - 1;
  editor.revealRange(new vscode.Range(last, 0, last, 0), vscode.TextEditorRevealType.Default);
}
