/** Who wrote the line of the cursor, behind it. As hints behind all lines the language client shows it. */

import * as vscode from "vscode";
import type { Owned } from "./protocol";
import type { Repositories } from "./repositories";

const SETTLED_MS = 150;

/** Tells it as the setting says, once the cursor rests. */
export function attribution(repositories: Repositories): vscode.Disposable {
  const style = vscode.window.createTextEditorDecorationType({
    after: { margin: "0 0 0 3em", color: new vscode.ThemeColor("editorCodeLens.foreground") },
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedOpen,
  });
  let timer: NodeJS.Timeout | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void show(repositories, style), SETTLED_MS);
  };
  return vscode.Disposable.from(
    style,
    vscode.window.onDidChangeTextEditorSelection(later),
    vscode.window.onDidChangeActiveTextEditor(later),
    vscode.workspace.onDidSaveTextDocument(later),
    vscode.workspace.onDidChangeConfiguration(later),
    repositories.onDidChange(later),
    new vscode.Disposable(() => clearTimeout(timer)),
  );
}

export async function toggleAttribution(): Promise<void> {
  const value = wanted() === "off" ? "currentLine" : "off";
  await vscode.workspace.getConfiguration("codexSidecar").update("attribution", value, vscode.ConfigurationTarget.Global);
}

async function show(repositories: Repositories, style: vscode.TextEditorDecorationType): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return;
  }
  const { uri } = editor.document;
  const repository = wanted() === "currentLine" ? repositories.of(uri) : undefined;
  const answer = repository?.running
    ? await repository.request<{ owners: Owned[] }>("codexSidecar/owners", { uri: uri.toString() })
    : undefined;
  const { line } = editor.selection.active;
  const contentText = answer?.owners.find(({ start, end }) => start <= line && line <= end)?.text;
  const range = editor.document.lineAt(line).range;
  editor.setDecorations(style, contentText ? [{ range, renderOptions: { after: { contentText } } }] : []);
}

const wanted = (): string => vscode.workspace.getConfiguration("codexSidecar").get("attribution", "off");
