/** Starts one language client for each repository of the window and keeps the context keys. */

import * as vscode from "vscode";
import { Commands } from "./commands";
import { Decorations } from "./decorations";
import { Documents, Merges } from "./documents";
import { bundledPython } from "./environment";
import { warnOnce } from "./notice";
import { Repositories } from "./repositories";
import { Repository } from "./repository";
import { isActive } from "./state";
import { findProgram, NoProgram, topLevel, type Program } from "./server";
import { StatusItem } from "./status";
import { Tree } from "./tree";

const PROGRAM_SETTINGS = ["server.path", "server.importStrategy", "python.path"].map((name) => `codexSidecar.${name}`);

/** What other extensions and tests can ask. */
export interface Api {
  readonly state: string;
  readonly repositories: Repositories;
}

class Window implements Api {
  state = "starting";
  private readonly programs = new Map<string, Program>();
  private readonly log = vscode.window.createOutputChannel("Codex Sidecar", { log: true });
  private readonly programsChanged = new vscode.EventEmitter<void>();
  private opening: Promise<void> = Promise.resolve();
  readonly repositories: Repositories;

  constructor(private readonly context: vscode.ExtensionContext) {
    this.repositories = new Repositories(context.workspaceState);
    const documents = new Documents(this.repositories);
    const merges = new Merges();
    const commands = new Commands(this.repositories, documents, merges);
    context.subscriptions.push(
      this.repositories,
      this.log,
      documents,
      merges,
      new StatusItem(this.repositories),
      new Tree(this.repositories),
      new Decorations(this.repositories),
      warnOnce(this.repositories),
      ...commands.register(),
      this.repositories.onDidChange(() => {
        this.publish();
      }),
      vscode.commands.registerCommand("codexSidecar.restartServer", () => this.open(true)),
      vscode.commands.registerCommand("codexSidecar.showServerLog", () => {
        this.log.show();
      }),
      vscode.commands.registerCommand("codexSidecar.openSettings", () =>
        vscode.commands.executeCommand("workbench.action.openSettings", "@ext:codex-sidecar.codex-sidecar"),
      ),
      vscode.commands.registerCommand("codexSidecar.openWalkthrough", () =>
        vscode.commands.executeCommand("workbench.action.openWalkthrough", "codex-sidecar.codex-sidecar#start"),
      ),
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
            const all = [...args, "mcp", "--repo", top];
            const label = this.programs.size > 1 ? `Codex workers (${top})` : "Codex workers";
            const server = new vscode.McpStdioServerDefinition(label, command, all);
            server.cwd = vscode.Uri.file(cwd);
            return server;
          }),
      }),
    );
  }

  /** Opens what is not open yet, one time after the other; `again`: with servers that are started anew. */
  open(again: boolean): Promise<void> {
    this.opening = this.opening.then(() => this.openAll(again));
    return this.opening;
  }

  private async openAll(again: boolean): Promise<void> {
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
    for (const top of [...tops].filter((one) => !this.repositories.at(one))) {
      problem = (await this.openOne(top)) ?? problem;
    }
    this.programsChanged.fire();
    this.setState(this.repositories.all.length ? "ready" : problem);
  }

  /** Returns what stands in the way, if anything. */
  private async openOne(top: string): Promise<string | undefined> {
    try {
      const program = await findProgram(this.context, top, (python) => bundledPython(this.context, python, this.log));
      const repository = new Repository(top, program, this.log);
      try {
        await repository.start();
      } catch (error) {
        repository.dispose();
        throw error;
      }
      this.programs.set(top, program);
      this.repositories.add(repository);
      return undefined;
    } catch (error) {
      this.log.error(`${top}: ${error instanceof Error ? error.message : String(error)}`);
      return error instanceof NoProgram ? error.state : "failed";
    }
  }

  private setState(state: string): void {
    this.state = state;
    this.publish();
  }

  private publish(): void {
    const { all, jobs, conflicts, totals } = this.repositories;
    const stopped = this.state === "ready" && !all.some((one) => one.running);
    const keys: Record<string, unknown> = {
      state: stopped ? "failed" : this.state,
      active: jobs.filter(({ job }) => isActive(job)).length,
      ended: jobs.filter(({ job }) => !isActive(job)).length,
      attention: totals.attention,
      conflicts: conflicts.length,
      baseline: all.some((one) => one.model.run),
      changedFiles: jobs.filter(({ job }) => job.touchedFiles.length).length,
    };
    for (const [name, value] of Object.entries(keys)) {
      void vscode.commands.executeCommand("setContext", `codexSidecar.${name}`, value);
    }
  }
}

export function activate(context: vscode.ExtensionContext): Api {
  const window = new Window(context);
  // Not awaited: a server that does not start must not keep the commands away.
  void window.open(false);
  return window;
}
