/** One repository of the window: its language client, what the server draws of it, and what the person does to it. */

import { basename } from "node:path";
import * as vscode from "vscode";
import { CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import type { Row, StateMessage, Ui, UiRequest } from "./protocol";
import { sentence, type Host } from "./repositories";
import { MERGE_SCHEME } from "./merges";
import type { Program } from "./server";
import { EVERYTHING, View } from "./view";

const DOCUMENT = "workspace/textDocumentContent";
const RESTARTS_MAX = 3;
const STABLE_MS = 60_000;
const SHOWN: Ui = { state: true, ownsProgress: true, dialogs: true, mergeEditor: true, virtualDocs: true };

/** Shows no notifications of its own: that the server is gone is said by the view. And no documents: see `Documents`. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  override registerFeature(feature: Parameters<LanguageClient["registerFeature"]>[0]): void {
    if (!("registrationType" in feature) || feature.registrationType.method !== DOCUMENT) {
      super.registerFeature(feature);
    }
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
        documentSelector: [{ scheme: "file", pattern: `${top.replace(/[[{*?]/g, "[$&]")}/**` }, { scheme: MERGE_SCHEME }],
        workspaceFolder: { uri: vscode.Uri.file(top), name: this.name, index: 0 },
        initializationOptions: () => ({
          ...(JSON.parse(JSON.stringify(vscode.workspace.getConfiguration().get("codexSidecar") ?? {})) as object),
          ui: SHOWN,
          editor: { accessibilitySupport: vscode.workspace.getConfiguration("editor").get("accessibilitySupport") },
        }),
        outputChannel: log,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationFailedHandler: () => false,
        errorHandler: {
          error: () => ({ action: ErrorAction.Continue, handled: true }),
          closed: () => ({ action: this.again() ? CloseAction.Restart : CloseAction.DoNotRestart, handled: true }),
        },
      },
    );
    this.client.onNotification("codexSidecar/state", (message: StateMessage) => void this.take(message));
    this.client.onRequest("codexSidecar/ui", (request: UiRequest) => host.ui(this, request));
    this.client.onRequest(`${DOCUMENT}/refresh`, ({ uri }: { uri: string }) => host.renewed(vscode.Uri.parse(uri)));
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
  async act(action: string, target: object = {}, more: object = {}): Promise<boolean> {
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

  dispose(): void {
    void this.client.dispose().catch(() => undefined); // It is stopped already, or never started.
  }
}

/** Where the person is; the whole text only where it is the task. Lines count from 0. */
const editorNow = (action: string, editor = vscode.window.activeTextEditor): object | undefined =>
  editor && {
    uri: editor.document.uri.toString(),
    line: editor.selection.start.line,
    endLine: editor.selection.end.line,
    selection: editor.document.getText(editor.selection),
    languageId: editor.document.languageId,
    text: action === "spawnFromFile" ? editor.document.getText() : undefined,
  };
