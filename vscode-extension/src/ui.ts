/** What the server has the editor do: questions, messages and documents. The words are the server's. */

import * as vscode from "vscode";
import { NOTHING, revealEnd, type Documents } from "./documents";
import type { MergeRequest, Merges } from "./merges";
import type { Repository } from "./repository";

interface Choice {
  id: string;
  label: string;
}

interface Pick extends Choice {
  description?: string;
  detail?: string;
  picked?: boolean;
}

interface Requests {
  pick: { title: string; placeholder?: string; items: Pick[]; many?: boolean };
  input: {
    title: string;
    placeholder?: string;
    prompt?: string;
    value?: string;
    button?: { id: string; icon: string; tooltip: string };
  };
  modal: { message: string; detail?: string; buttons: Choice[] };
  toast: { severity: "info" | "warning" | "error"; message: string; buttons?: Choice[]; unlessFocused?: boolean };
  open: { uri: string; line?: number; preview?: boolean; end?: boolean };
  diff: { left: string | null; right: string | null; title: string };
  changes: { title: string; files: [string, string | null, string | null][] };
  untitled: { languageId: string; content: string };
  clipboard: { text: string };
  terminal: { name: string; program: string; args: string[]; cwd?: string };
  merge: MergeRequest;
  view: { name: string; query?: string };
}

type Primitives = { [Kind in keyof Requests]: (asked: Requests[Kind], repository: Repository) => Promise<object | null> };

const VIEWS: Record<string, (query: string) => [string, ...unknown[]]> = {
  scm: () => ["workbench.view.scm"],
  walkthrough: () => ["workbench.action.openWalkthrough", "codex-sidecar.codex-sidecar#start"],
  settings: (query) => ["workbench.action.openSettings", query || "@ext:codex-sidecar.codex-sidecar"],
  workers: () => ["codexSidecar.workers.focus"],
  log: () => ["codexSidecar.showServerLog"],
  newWindowFolder: (query) => ["vscode.openFolder", vscode.Uri.file(query), { forceNewWindow: true }],
};

export async function show(name: string, query = ""): Promise<void> {
  const [command, ...args] = VIEWS[name]?.(query) ?? [];
  if (!command) {
    throw new Error(`no view ${name}`);
  }
  await vscode.commands.executeCommand(command, ...args);
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
      const one = await vscode.window.showQuickPick(items, options);
      return one ? { id: one.id } : null;
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
    open: async ({ uri: text, line, preview = true, end }, repository) => {
      const uri = documents.own(text, repository);
      const selection = line === undefined ? undefined : new vscode.Range(line, 0, line, 0);
      await vscode.commands.executeCommand("vscode.open", uri, { preview, selection });
      const editor = vscode.window.activeTextEditor;
      if (end && editor?.document.uri.toString() === uri.toString()) {
        revealEnd(editor);
      }
      return {};
    },
    diff: async ({ left, right, title }, repository) => {
      const sides = [left, right].map((side) => (side === null ? NOTHING : documents.own(side, repository)));
      await vscode.commands.executeCommand("vscode.diff", ...sides, title, { preview: true });
      return {};
    },
    changes: async ({ title, files }, repository) => {
      // A side that is not there is undefined: with a document for it the editor would show a file that was changed.
      const sides = files.map((file) => file.map((side) => (side === null ? undefined : documents.own(side, repository))));
      await vscode.commands.executeCommand("vscode.changes", title, sides);
      return {};
    },
    untitled: async ({ languageId, content }) => {
      const document = await vscode.workspace.openTextDocument({ language: languageId, content });
      tasks.push(document.uri);
      // Before the editor is there: its key binding and its button hang on it.
      await vscode.commands.executeCommand("setContext", "codexSidecar.taskFiles", tasks);
      await vscode.window.showTextDocument(document);
      return {};
    },
    clipboard: async ({ text }) => {
      await vscode.env.clipboard.writeText(text);
      return {};
    },
    terminal: ({ name, program, args, cwd }) => {
      vscode.window.createTerminal({ name, shellPath: program, shellArgs: args, cwd }).show();
      return Promise.resolve({});
    },
    merge: async (request, repository) => {
      await merges.open(repository, request);
      return {};
    },
    view: async ({ name, query }) => {
      await show(name, query);
      return {};
    },
  };
  return (repository: Repository, asked: { kind: string }): Promise<object | null> => {
    if (!Object.hasOwn(own, asked.kind)) {
      throw new Error(`no primitive ${asked.kind}`);
    }
    return (own[asked.kind as keyof Requests] as (one: object, of: Repository) => Promise<object | null>)(asked, repository);
  };
}

const titled = ({ id, label }: Choice): vscode.MessageItem & { id: string } => ({ title: label, id });

const chosen = (one: { id: string } | undefined): { id: string } | null => (one ? { id: one.id } : null);

function input({ title, placeholder, prompt, value = "", button }: Requests["input"]): Promise<object | null> {
  const box = vscode.window.createInputBox();
  Object.assign(box, { title, placeholder, prompt, value, ignoreFocusOut: true });
  if (button) {
    box.buttons = [{ iconPath: new vscode.ThemeIcon(button.icon), tooltip: button.tooltip }];
  }
  return new Promise((resolve) => {
    const answer = (given: object | null): void => {
      resolve(given);
      box.dispose();
    };
    box.onDidAccept(() => {
      answer({ value: box.value });
    });
    box.onDidTriggerButton(() => {
      answer({ button: button?.id });
    });
    box.onDidHide(() => {
      answer(null);
    });
    box.show();
  });
}
