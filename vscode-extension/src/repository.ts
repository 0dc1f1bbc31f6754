/** One repository of the window: its language client, what the server draws of it, and what the person does to it. */

import { basename } from "node:path";
import * as vscode from "vscode";
import { CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, State, type Middleware } from "vscode-languageclient/node";
import { sentence, type Host } from "./repositories";
import type { Program } from "./server";
import { EVERYTHING, View, type Row, type StateMessage, type Target } from "./view";

const RESTARTS_MAX = 3;
const STABLE_MS = 60_000;

/** Shows no notifications of its own: that the server is gone is said by the view. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export class Repository implements vscode.Disposable {
  readonly view = new View();
  readonly name: string;
  private readonly client: LanguageClient;
  private wasUp = false;
  private restarts: number[] = [];

  constructor(
    readonly top: string,
    { command, args, cwd }: Program,
    log: vscode.LogOutputChannel,
    private readonly host: Host,
  ) {
    this.name = basename(top);
    this.client = new QuietClient(
      "codexSidecar",
      "Codex Sidecar",
      { command, args: [...args, "lsp", "--repo", top], options: { cwd } },
      {
        documentSelector: [{ scheme: "file", pattern: `${top.replace(/[[{*?]/g, "[$&]")}/**` }],
        workspaceFolder: { uri: vscode.Uri.file(top), name: this.name, index: 0 },
        initializationOptions: () => ({
          ...(JSON.parse(JSON.stringify(vscode.workspace.getConfiguration().get("codexSidecar") ?? {})) as object),
          ui: { state: true, ownsProgress: true, dialogs: true, mergeEditor: true, virtualDocs: true },
        }),
        outputChannel: log,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationFailedHandler: () => false,
        errorHandler: {
          error: () => ({ action: ErrorAction.Continue, handled: true }),
          closed: () => ({ action: this.again() ? CloseAction.Restart : CloseAction.DoNotRestart, handled: true }),
        },
        middleware: this.middleware(),
      },
    );
    this.client.onNotification("codexSidecar/state", (message: StateMessage) => void this.take(message));
    this.client.onRequest("codexSidecar/ui", (request: { kind: string }) => host.ui(this, request));
    // As the last feature, whenever the server has started: the client's own handler of the request, which it sets
    // as late, knows only providers that it has registered itself.
    this.client.registerFeature({
      fillClientCapabilities: () => undefined,
      initialize: () => {
        this.client.onRequest("workspace/textDocumentContent/refresh", ({ uri }: { uri: string }) => {
          host.renewed(vscode.Uri.parse(uri));
          return null;
        });
      },
      getState: () => ({ kind: "static" }),
      clear: () => undefined,
    });
    this.client.onDidChangeState(({ newState }) => {
      this.wasUp ||= newState === State.Running;
      host.changed(this, newState === State.Stopped ? this.view.clear() : EVERYTHING);
    });
  }

  get running(): boolean {
    return this.client.state === State.Running;
  }

  uri(path: string): vscode.Uri {
    return vscode.Uri.joinPath(vscode.Uri.file(this.top), path);
  }

  relative(uri: vscode.Uri): string | undefined {
    const path = uri.scheme === "file" ? uri.fsPath : "";
    return path.startsWith(`${this.top}/`) ? path.slice(this.top.length + 1) : undefined;
  }

  start(): Promise<void> {
    return this.client.start();
  }

  /** Sends a request of our own. What it throws is for `sentence`. */
  request<T>(method: string, params?: object): Promise<T> {
    return this.client.sendRequest<T>(method, params);
  }

  /** Has the server do something; it asks what it must know. False: it failed, which the person has been told. */
  async act(action: string, target: Target = {}, more: object = {}): Promise<boolean> {
    try {
      await this.request("codexSidecar/act", { action, target, editor: editorNow(action), ...more });
      return true;
    } catch (error) {
      void vscode.window.showErrorMessage(sentence(error));
      return false;
    }
  }

  async rows(id: string): Promise<Row[]> {
    return (await this.request<{ rows: Row[] }>("codexSidecar/rows", { id })).rows;
  }

  /** Whether a server that has ended is started again: not one that never came up, and none for ever. */
  private again(): boolean {
    this.restarts = [...this.restarts.filter((time) => Date.now() - time < STABLE_MS), Date.now()];
    return this.wasUp && this.restarts.length <= RESTARTS_MAX;
  }

  private async take(message: StateMessage): Promise<void> {
    const change = this.view.take(message) ?? this.view.take(await this.request<StateMessage>("codexSidecar/getState"));
    this.host.changed(this, change ?? this.view.clear());
  }

  /** Commands of actions and lenses are told which repository they belong to. */
  private middleware(): Middleware {
    const mark = (command: vscode.Command | undefined): void => {
      if (command?.command.startsWith("codex_")) {
        command.arguments = [command.arguments?.[0] ?? {}, this.top];
      }
    };
    return {
      provideCodeActions: async (document, range, context, token, next) => {
        const found = await next(document, range, context, token);
        found?.forEach((one) => {
          mark(typeof one.command === "string" ? (one as vscode.Command) : (one as vscode.CodeAction).command);
        });
        return found;
      },
      provideCodeLenses: async (document, token, next) => {
        const found = await next(document, token);
        found?.forEach((lens) => {
          mark(lens.command);
        });
        return found;
      },
    };
  }

  dispose(): void {
    void this.client.dispose().catch(() => undefined); // It is stopped already, or never started.
  }
}

/** Where the person is; the whole text only where it is the task. Lines count from 0. */
function editorNow(action: string): object | undefined {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return undefined;
  }
  const { document, selection } = editor;
  return {
    uri: document.uri.toString(),
    line: selection.start.line,
    endLine: selection.end.line,
    selection: document.getText(selection),
    languageId: document.languageId,
    ...(action === "spawnFromFile" ? { text: document.getText() } : {}),
  };
}
