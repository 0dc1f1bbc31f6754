/** Starts one language client for each repository of the window, keeps the context keys and registers the commands. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import * as vscode from "vscode";
import { attribution, toggleAttribution } from "./attribution";
import { decorations } from "./decorations";
import { Documents } from "./documents";
import { Merges } from "./merges";
import type { Counts } from "./protocol";
import { Repositories, sentence, type Host } from "./repositories";
import type { Repository } from "./repository";
import { NoProgram, Programs, pythonExtension, topLevel, type Program } from "./server";
import { statusItem } from "./status";
import { Tree, type Node } from "./tree";
import { primitives, show } from "./ui";
import { merged } from "./view";

const PROGRAM_SETTINGS = ["server.path", "server.importStrategy", "python.path"].map((name) => `codexSidecar.${name}`);
/** How often a folder that is in no repository is looked at. */
const GIT_LOOK_MS = 1_000;
/** Tools that a code action or a lens carries: the server asks before it acts. */
const FLOWS = ["codex_resolve", "codex_rollback", "codex_rerun", "codex_restore", "codex_merge_inputs"];
/** Tools for key bindings and other extensions: no questions, and the caller gets the answer. */
const TOOLS = ["codex_spawn", "codex_status", "codex_result", "codex_wait_any", "codex_cancel", "codex_conflicts"];
/** Where an action is about one of these, repositories that have none are not offered. */
const ABOUT: Partial<Record<string, keyof Counts>> = { nextAttention: "attention", resolveConflict: "conflicts" };

class Window {
  private state = "starting";
  private readonly programs = new Map<string, Program>();
  private readonly log = vscode.window.createOutputChannel("Codex Sidecar", { log: true });
  private readonly finder: Programs;
  private readonly programsChanged = new vscode.EventEmitter<void>();
  private readonly repositories = new Repositories();
  private readonly documents = new Documents(this.repositories);
  private readonly merges = new Merges(this.documents);
  private readonly host: Host = {
    ui: primitives(this.documents, this.merges),
    renewed: (uri) => this.documents.renew(uri),
    changed: (repository, change) => this.repositories.changed.fire({ repository, change }),
  };
  private readonly tree = new Tree(this.repositories);
  private opening: Promise<unknown> = Promise.resolve();
  private awaited: NodeJS.Timeout | undefined;

  constructor(private readonly context: vscode.ExtensionContext) {
    this.finder = new Programs(context, this.log, () => this.repositories.all.length === 0 && void this.open(true));
    context.subscriptions.push(
      this.repositories,
      this.log,
      this.documents,
      this.merges,
      this.tree,
      attribution(this.repositories),
      statusItem(this.repositories),
      decorations(this.repositories),
      this.repositories.onDidChange(() => this.publish()),
      new vscode.Disposable(() => this.awaitGit([])),
      ...this.commands({
        finishMerge: () => this.merges.finish(),
        toggleAttribution,
        restartServer: () => this.open(true),
        showServerLog: () => this.log.show(),
        openSettings: () => show("settings"),
        openWalkthrough: () => show("walkthrough"),
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.open(false)),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (PROGRAM_SETTINGS.some((name) => event.affectsConfiguration(name))) {
          void this.open(true);
        }
      }),
      vscode.lm.registerMcpServerDefinitionProvider("codexSidecar.mcp", {
        onDidChangeMcpServerDefinitions: this.programsChanged.event,
        provideMcpServerDefinitions: () =>
          [...this.programs].map(([top, { command, args, cwd }]) => {
            const label = this.programs.size > 1 ? `Codex workers (${top})` : "Codex workers";
            const server = new vscode.McpStdioServerDefinition(label, command, [...args, "mcp", "--repo", top]);
            server.cwd = vscode.Uri.file(cwd);
            return server;
          }),
      }),
    );
  }

  /** Every command of the manifest is an action of the server, but for the window's `own`. */
  private commands(own: Record<string, () => unknown>): vscode.Disposable[] {
    const manifest = this.context.extension.packageJSON as { contributes: { commands: { command: string }[] } };
    const register = vscode.commands.registerCommand;
    return [
      ...manifest.contributes.commands.map(({ command }) => {
        const action = command.slice("codexSidecar.".length);
        return register(command, own[action] ?? ((given: unknown, top: unknown) => this.act(action, given, top)));
      }),
      ...FLOWS.map((tool) =>
        register(tool, ({ top, ...args }: { top?: unknown } = {}) =>
          "token" in args ? this.call(tool, args, top) : this.act(tool, args, top),
        ),
      ),
      ...TOOLS.map((tool) => register(tool, (args: object = {}, top?: unknown) => this.call(tool, args, top))),
    ];
  }

  /** `given` is a row of the view, "selection" for the selected one, the target itself, or the document of a menu. */
  private async act(action: string, given: unknown, top: unknown): Promise<void> {
    const node = given === "selection" ? this.tree.selected : (given as Node | undefined);
    const about = ABOUT[action];
    const fits = about && ((one: Repository): boolean => one.view.summary.counts[about] > 0);
    const editor = action.startsWith("spawnFrom") ? vscode.window.activeTextEditor : undefined;
    const repository =
      node?.repository ??
      this.repositories.at(top) ??
      (editor && this.repositories.of(editor.document.uri)) ??
      (await this.repositories.pick(fits));
    if (this.repositories.all.length === 0) {
      await show("workers"); // It says what is missing.
      return;
    }
    const isTarget = typeof given === "object" && given !== null && !(given instanceof vscode.Uri);
    await repository?.act(action, node?.row ? node.row.target : isTarget ? given : {});
    // VS Code ticks a step of the walkthrough when its condition becomes true, not where it is true already.
    for (const done of [action, undefined]) {
      await vscode.commands.executeCommand("setContext", "codexSidecar.did", done);
    }
  }

  private async call(tool: string, args: object, top: unknown): Promise<unknown> {
    const repository = this.repositories.at(top) ?? (await this.repositories.pick());
    return repository?.request("workspace/executeCommand", { command: tool, arguments: [args] });
  }

  /** Opens what is not open yet, one time after the other; `again`: with servers that are started anew. */
  open(again: boolean): Promise<unknown> {
    const location = { viewId: "codexSidecar.workers" };
    this.opening = this.opening.then(() => vscode.window.withProgress({ location }, () => this.openAll(again)));
    return this.opening;
  }

  private async openAll(again: boolean): Promise<void> {
    this.tree.problem = undefined;
    this.setState("starting");
    const folders = vscode.workspace.workspaceFolders?.filter(({ uri }) => uri.scheme === "file") ?? [];
    const enabled = folders.filter(({ uri }) =>
      vscode.workspace.getConfiguration("codexSidecar", uri).get<boolean>("enable", true),
    );
    const tops = new Set((await Promise.all(enabled.map(({ uri }) => topLevel(uri.fsPath)))).filter((top) => top !== undefined));
    for (const { top } of this.repositories.all.filter((one) => again || !tops.has(one.top))) {
      this.repositories.remove(top);
      this.programs.delete(top);
    }
    let problem = folders.length === 0 ? "noFolder" : "notGit";
    const missing = [...tops].filter((one) => !this.repositories.at(one));
    for (const found of await Promise.all(missing.map((top) => this.openOne(top, again)))) {
      problem = found ?? problem;
    }
    this.programsChanged.fire();
    this.awaitGit(problem === "notGit" ? folders : []);
    this.setState(this.repositories.all.length ? "ready" : problem);
  }

  /** A folder that becomes a repository is opened by itself. It is looked at: watches miss what is made in new directories. */
  private awaitGit(folders: readonly vscode.WorkspaceFolder[]): void {
    clearInterval(this.awaited);
    const look = async (): Promise<void> => {
      const begun = folders.map(({ uri }) => uri.fsPath).filter((folder) => existsSync(join(folder, ".git")));
      if ((await Promise.all(begun.map(topLevel))).some((top) => top !== undefined)) {
        await this.open(false);
      }
    };
    this.awaited = folders.length > 0 ? setInterval(() => void look(), GIT_LOOK_MS) : undefined;
  }

  /** Returns what stands in the way, if anything. */
  private async openOne(top: string, again: boolean): Promise<string | undefined> {
    try {
      const program = await this.finder.find(top, again);
      this.log.info(`${top}: starting ${[program.command, ...program.args].join(" ")}`);
      // Loaded now: the language client would make up most of the activation.
      const { Repository } = await import("./repository.js");
      const repository = new Repository(top, program, this.log, this.host);
      try {
        await repository.start();
      } catch (error) {
        repository.dispose();
        if (program.remembered) {
          return await this.openOne(top, true);
        }
        throw error;
      }
      this.log.info(`${top}: started`);
      this.programs.set(top, program);
      this.repositories.add(repository);
      return undefined;
    } catch (error) {
      this.log.error(`${top}: ${sentence(error)}`);
      if (!(error instanceof NoProgram)) {
        return "failed";
      }
      this.tree.problem = error.message;
      return error.state;
    }
  }

  private setState(state: string): void {
    this.state = state;
    this.publish();
  }

  private publish(): void {
    const { all } = this.repositories;
    const { counts, baseline, setup } = merged(all.map((one) => one.view.summary));
    const stopped = this.state === "ready" && !all.some((one) => one.running);
    const state = stopped ? "failed" : this.state === "ready" ? (setup ?? "ready") : this.state;
    const keys = { ...counts, active: counts.running + counts.queued, baseline, state, pythonExtension: pythonExtension() !== undefined };
    for (const [name, value] of Object.entries(keys)) {
      void vscode.commands.executeCommand("setContext", `codexSidecar.${name}`, value);
    }
  }
}

export function activate(context: vscode.ExtensionContext): void {
  // Not awaited: a server that does not start must not keep the commands away.
  void new Window(context).open(false);
}
