/** One repository of the window: its language client, what the server told of it, and calls of the tools. */

import { basename } from "node:path";
import * as vscode from "vscode";
import { LanguageClient, State, type Middleware } from "vscode-languageclient/node";
import type { Program } from "./server";
import { Model, type StateMessage } from "./state";

interface Failure {
  kind: string;
  message: string;
  hint: string;
  details: Record<string, unknown>;
}

/** A tool's failure as the server words it. */
export class ToolError extends Error {
  constructor(
    readonly kind: string,
    message: string,
    readonly hint: string,
    readonly details: Record<string, unknown>,
  ) {
    super(message);
  }

  get sentence(): string {
    return [this.message, this.hint].filter(Boolean).join(" ");
  }

  static from(error: unknown): unknown {
    const data = (error as { data?: { kind?: unknown } } | undefined)?.data;
    if (typeof data?.kind !== "string") {
      return error;
    }
    const { kind, message, hint, details } = data as Failure;
    return new ToolError(kind, message, hint, details);
  }
}

export class Repository implements vscode.Disposable {
  readonly model = new Model();
  readonly name: string;
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly renewed = new vscode.EventEmitter<vscode.Uri>();
  private readonly client: LanguageClient;
  /** After every change of the state, and when the server starts or stops. */
  readonly onDidChange = this.changed.event;
  /** A document of the server has new content. */
  readonly onDidRenew = this.renewed.event;

  constructor(
    readonly top: string,
    program: Program,
    log: vscode.LogOutputChannel,
  ) {
    this.name = basename(top);
    const { command, cwd } = program;
    const args = [...program.args, "lsp", "--repo", top];
    this.client = new LanguageClient(
      "codexSidecar",
      "Codex Sidecar",
      { command, args, options: { cwd } },
      {
        documentSelector: [{ scheme: "file", pattern: `${escapeGlob(top)}/**` }],
        workspaceFolder: { uri: vscode.Uri.file(top), name: this.name, index: 0 },
        initializationOptions: () => ({
          ...settings(),
          ui: { state: true, ownsProgress: true, dialogs: true, mergeEditor: true, virtualDocs: true },
        }),
        outputChannel: log,
        middleware: this.middleware(),
      },
    );
    this.client.onNotification("codexSidecar/state", (message: StateMessage) => void this.take(message));
    this.client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        // After the client's own handler, which knows only providers that it has registered itself.
        this.client.onRequest("workspace/textDocumentContent/refresh", ({ uri }: { uri: string }) => {
          this.renewed.fire(this.client.protocol2CodeConverter.asUri(uri));
          return null;
        });
      }
      this.changed.fire();
    });
  }

  get running(): boolean {
    return this.client.state === State.Running;
  }

  uri(path: string): vscode.Uri {
    return vscode.Uri.joinPath(vscode.Uri.file(this.top), path);
  }

  relative(uri: vscode.Uri): string | undefined {
    const path = uri.fsPath;
    return path.startsWith(`${this.top}/`) ? path.slice(this.top.length + 1) : undefined;
  }

  async start(): Promise<void> {
    await this.client.start();
  }

  /** Runs a tool.
   *  @throws ToolError */
  async call<T>(tool: string, args: object = {}): Promise<T> {
    try {
      const params = { command: tool, arguments: [args] };
      return await this.client.sendRequest<T>("workspace/executeCommand", params);
    } catch (error) {
      throw ToolError.from(error);
    }
  }

  /** The text of a `codex-sidecar:` document.
   *  @throws ToolError */
  async document(uri: vscode.Uri): Promise<string> {
    try {
      const params = { uri: this.client.code2ProtocolConverter.asUri(uri) };
      return (await this.client.sendRequest<{ text: string }>("workspace/textDocumentContent", params)).text;
    } catch (error) {
      throw ToolError.from(error);
    }
  }

  private async take(message: StateMessage): Promise<void> {
    if (!this.model.take(message)) {
      const answer = await this.client.sendRequest<StateMessage>("codexSidecar/getState");
      this.model.take(answer);
    }
    this.changed.fire();
  }

  /** Commands of actions and lenses are tools; they are told which repository they belong to. */
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
    this.changed.dispose();
    this.renewed.dispose();
  }
}

function settings(): object {
  const section = vscode.workspace.getConfiguration().get<object>("codexSidecar");
  return section ? (JSON.parse(JSON.stringify(section)) as object) : {};
}

const escapeGlob = (path: string): string => path.replace(/[[{*?]/g, "[$&]");
