/** All repositories of the window, and what the whole window shows of them. */

import * as vscode from "vscode";
import type { Repository } from "./repository";
import { totals, type Totals } from "./rows";
import { isActive, type Conflict, type Job } from "./state";

const CLEARED = "clearedJobs";
const CLEARED_MAX = 1000;

export class Repositories implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly renewed = new vscode.EventEmitter<vscode.Uri>();
  private readonly byTop = new Map<string, Repository>();
  readonly onDidChange = this.changed.event;
  readonly onDidRenew = this.renewed.event;
  /** Ended jobs that the person has cleared from the view. */
  cleared: Set<string>;

  constructor(private readonly memory: vscode.Memento) {
    this.cleared = new Set(memory.get<string[]>(CLEARED, []));
  }

  get all(): Repository[] {
    return [...this.byTop.values()];
  }

  get jobs(): { job: Job; repository: Repository }[] {
    return this.all.flatMap((repository) => repository.model.jobs.map((job) => ({ job, repository })));
  }

  get conflicts(): { conflict: Conflict; repository: Repository }[] {
    return this.all.flatMap((repository) => repository.model.conflicts.map((conflict) => ({ conflict, repository })));
  }

  get totals(): Totals {
    const models = this.all.map((one) => one.model);
    return totals(models, this.cleared);
  }

  add(repository: Repository): void {
    this.byTop.set(repository.top, repository);
    repository.onDidChange(() => {
      this.changed.fire();
    });
    repository.onDidRenew((uri) => {
      this.renewed.fire(uri);
    });
    this.changed.fire();
  }

  remove(top: string): void {
    this.byTop.get(top)?.dispose();
    this.byTop.delete(top);
    this.changed.fire();
  }

  at(top: string | undefined): Repository | undefined {
    return top === undefined ? undefined : this.byTop.get(top);
  }

  /** The innermost repository that a file lies in. */
  of(uri: vscode.Uri): Repository | undefined {
    return this.all
      .filter((one) => one.relative(uri) !== undefined)
      .sort((a, b) => b.top.length - a.top.length)[0];
  }

  async clear(ids: string[]): Promise<void> {
    ids.forEach((id) => this.cleared.add(id));
    this.cleared = new Set([...this.cleared].slice(-CLEARED_MAX));
    await this.memory.update(CLEARED, [...this.cleared]);
    this.changed.fire();
  }

  async clearEnded(): Promise<void> {
    await this.clear(this.jobs.filter(({ job }) => !isActive(job)).map(({ job }) => job.jobId));
  }

  dispose(): void {
    this.all.forEach((one) => {
      one.dispose();
    });
    this.changed.dispose();
    this.renewed.dispose();
  }
}
