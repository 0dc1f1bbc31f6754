/** What the server has the editor do: questions, messages and documents. The words are the server's. */

import * as vscode from "vscode";
import { NOTHING, revealEnd, type Documents } from "./documents";
import type { Merges } from "./merges";
import type { Button, InputRequest, UiRequest, ViewRequest } from "./protocol";
import type { Repository } from "./repository";

type Asked<Kind> = Extract<UiRequest, { kind: Kind }>;
/** Undefined: there is nothing to answer; null: the person dismissed it. */
type Primitives = { [Kind in UiRequest["kind"]]: (asked: Asked<Kind>, repository: Repository) => unknown };

const VIEWS: Record<ViewRequest["name"], (query: string) => [string, ...unknown[]]> = {
  scm: () => ["workbench.view.scm"],
  walkthrough: () => ["workbench.action.openWalkthrough", "codex-sidecar.codex-sidecar#start"],
  settings: (query) => ["workbench.action.openSettings", query || "@ext:codex-sidecar.codex-sidecar"],
  workers: () => ["codexSidecar.workers.focus"],
  log: () => ["codexSidecar.showServerLog"],
  newWindowFolder: (query) => ["vscode.openFolder", vscode.Uri.file(query), { forceNewWindow: true }],
};

export async function show(name: ViewRequest["name"], query = ""): Promise<void> {
  await vscode.commands.executeCommand(...VIEWS[name](query));
}

/** The handler of `codexSidecar/ui`. A request that cannot be served is answered with an error. */
export function primitives(documents: Documents, merges: Merges) {
  const tasks: vscode.Uri[] = [];
  const own: Primitives = {
    pick: async ({ title, placeholder, items, many }) => {
      const options = { title, placeHolder: placeholder, matchOnDescription: true };
      if (many) {
        const all = await vscode.window.showQuickPick(items, { ...options, canPickMany: true });
        return all ? { ids: all.map(({ id }) => id) } : null;
      }
      return chosen(await vscode.window.showQuickPick(items, options));
    },
    input,
    modal: async ({ message, detail, buttons }) =>
      chosen(await vscode.window.showWarningMessage(message, { modal: true, detail }, ...buttons.map(titled))),
    toast: async ({ severity, message, buttons = [], unlessFocused }) => {
      if (unlessFocused && vscode.window.state.focused) {
        return null;
      }
      const { showInformationMessage, showWarningMessage, showErrorMessage } = vscode.window;
      const tell = { info: showInformationMessage, warning: showWarningMessage, error: showErrorMessage }[severity];
      return chosen(await tell(message, ...buttons.map(titled)));
    },
    open: async ({ uri: text, line, preview, end }, repository) => {
      const uri = documents.own(text, repository);
      const selection = line === undefined ? undefined : new vscode.Range(line, 0, line, 0);
      await vscode.commands.executeCommand("vscode.open", uri, { preview, selection });
      const editor = vscode.window.activeTextEditor;
      if (end && editor?.document.uri.toString() === uri.toString()) {
        revealEnd(editor);
      }
    },
    diff: async ({ left, right, title }, repository) => {
      const sides = [left, right].map((side) => (side === null ? NOTHING : documents.own(side, repository)));
      await vscode.commands.executeCommand("vscode.diff", ...sides, title, { preview: true });
    },
    changes: async ({ title, files }, repository) => {
      // A side that is not there is undefined: with a document for it the editor would show a file that was changed.
      const sides = files.map((file) => file.map((side) => (side === null ? undefined : documents.own(side, repository))));
      await vscode.commands.executeCommand("vscode.changes", title, sides);
    },
    untitled: async ({ languageId, content }) => {
      const document = await vscode.workspace.openTextDocument({ language: languageId, content });
      tasks.push(document.uri);
      // Before the editor is there: its key binding and its button hang on it.
      await vscode.commands.executeCommand("setContext", "codexSidecar.taskFiles", tasks);
      await vscode.window.showTextDocument(document);
    },
    clipboard: ({ text }) => vscode.env.clipboard.writeText(text),
    terminal: ({ name, program, args, cwd }) => {
      vscode.window.createTerminal({ name, shellPath: program, shellArgs: args, cwd }).show();
    },
    merge: (request, repository) => merges.open(repository, request),
    setting: async ({ name, value, target }) => {
      if (!name.startsWith("codexSidecar.")) {
        throw new Error(`${name} is no setting of Codex Sidecar`);
      }
      await vscode.workspace.getConfiguration().update(name, value, target === "user");
    },
    view: ({ name, query }) => show(name, query),
  };
  return async (repository: Repository, asked: UiRequest): Promise<unknown> => {
    const answer = await (own[asked.kind] as (one: UiRequest, of: Repository) => unknown)(asked, repository);
    return answer === undefined ? {} : answer;
  };
}

const titled = ({ id, label }: Button): vscode.MessageItem & { id: string } => ({ title: label, id });

const chosen = (one: { id: string } | undefined): { id: string } | null => (one ? { id: one.id } : null);

function input({ title, placeholder, prompt, value = "", button }: InputRequest): Promise<object | null> {
  const box = vscode.window.createInputBox();
  const buttons = button ? [{ iconPath: new vscode.ThemeIcon(button.icon), tooltip: button.tooltip }] : [];
  Object.assign(box, { title, placeholder, prompt, value, buttons, ignoreFocusOut: true });
  return new Promise<object | null>((resolve) => {
    box.onDidAccept(() => resolve({ value: box.value }));
    box.onDidTriggerButton(() => resolve({ button: button?.id }));
    box.onDidHide(() => resolve(null));
    box.show();
  }).finally(() => box.dispose());
}
