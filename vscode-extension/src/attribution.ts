/** Who wrote the line: behind the line of the cursor, or as hints behind all of them. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";

interface Owned {
  start: number;
  end: number;
  text: string;
}

const SETTLED_MS = 150;

export class Attribution implements vscode.InlayHintsProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeInlayHints = this.changed.event;
  private readonly style = vscode.window.createTextEditorDecorationType({
    after: { margin: "0 0 0 3em", color: new vscode.ThemeColor("editorCodeLens.foreground") },
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedOpen,
  });
  private timer: NodeJS.Timeout | undefined;
  private readonly parts: vscode.Disposable[];

  constructor(private readonly repositories: Repositories) {
    const later = (): void => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.show(), SETTLED_MS);
    };
    const anew = (): void => {
      this.changed.fire();
      later();
    };
    this.parts = [
      vscode.languages.registerInlayHintsProvider({ scheme: "file" }, this),
      vscode.window.onDidChangeTextEditorSelection(later),
      vscode.window.onDidChangeActiveTextEditor(later),
      vscode.workspace.onDidSaveTextDocument(anew),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("codexSidecar.attribution")) {
          anew();
        }
      }),
      repositories.onDidChange(({ change }) => {
        if (change.marks) {
          anew();
        }
      }),
    ];
  }

  async toggle(): Promise<void> {
    const value = wanted() === "off" ? "currentLine" : "off";
    await vscode.workspace.getConfiguration("codexSidecar").update("attribution", value, vscode.ConfigurationTarget.Global);
  }

  async provideInlayHints(document: vscode.TextDocument, range: vscode.Range): Promise<vscode.InlayHint[]> {
    const owned = wanted() === "inlayHints" ? await this.owners(document) : [];
    return owned
      .filter(({ start }) => start >= range.start.line && start <= range.end.line && start < document.lineCount)
      .map(({ start, text }) => {
        const hint = new vscode.InlayHint(document.lineAt(start).range.end, text);
        hint.paddingLeft = true;
        return hint;
      });
  }

  private async show(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) {
      return;
    }
    const owned = wanted() === "currentLine" ? await this.owners(editor.document) : [];
    const { line } = editor.selection.active;
    const contentText = owned.find(({ start, end }) => start <= line && line <= end)?.text;
    const range = editor.document.lineAt(line).range;
    editor.setDecorations(this.style, contentText ? [{ range, renderOptions: { after: { contentText } } }] : []);
  }

  private async owners({ uri }: vscode.TextDocument): Promise<Owned[]> {
    const repository = this.repositories.of(uri);
    if (!repository?.running) {
      return [];
    }
    return (await repository.request<{ owners: Owned[] }>("codexSidecar/owners", { uri: uri.toString() })).owners;
  }

  dispose(): void {
    clearTimeout(this.timer);
    vscode.Disposable.from(...this.parts, this.style, this.changed).dispose();
  }
}

const wanted = (): string => vscode.workspace.getConfiguration("codexSidecar").get("attribution", "off");
