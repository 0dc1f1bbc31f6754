import assert from "node:assert/strict";
import { test } from "node:test";
import { conflictText, duration, lines, rows, statusText, totals } from "../src/rows";
import { Model, type Conflict, type Full, type Job } from "../src/state";

const NOW = Date.parse("2026-01-01T12:01:03Z");

function job(label: string, changes: Partial<Job> = {}): Job {
  return {
    jobId: `id-${label}`,
    label,
    title: `task ${label}`,
    runId: "run",
    status: "running",
    sandbox: "workspace-write",
    access: "write",
    exitCode: null,
    startedAt: "2026-01-01T12:00:00Z",
    finishedAt: null,
    activity: "editing a.py",
    stalled: false,
    queuePosition: null,
    usage: null,
    error: null,
    modifiedFiles: null,
    touchedFiles: [],
    ...changes,
  };
}

function clash(changes: Partial<Conflict> = {}): Conflict {
  const one = { attribution: "seen" as const, role: "changed" as const, ranges: [{ start: 3, end: 5 }] };
  return {
    conflictId: "c1",
    path: "src/app.py",
    kind: "overlapping-edit",
    severity: "warning",
    confirmed: true,
    live: false,
    mergeable: false,
    jobs: [
      { jobId: "id-w1", label: "w1", title: "task w1", ...one },
      { jobId: "id-w2", label: "w2", title: "task w2", ...one },
    ],
    ...changes,
  };
}

function model(jobs: Job[], conflicts: Conflict[] = []): Model {
  const slot = { limit: 2, running: 2, queued: 0 };
  const full: Full = { jobs, run: null, limits: { read: slot, write: slot }, conflicts };
  const made = new Model();
  made.take({ seq: 1, full });
  return made;
}

const shown = (made: Model, cleared: string[] = []): [string, string[]][] =>
  rows(made, new Set(cleared), NOW).map((group) => [group.label, (group.children ?? []).map((row) => row.label)]);

test("groups are ordered, counted and left out when empty", () => {
  const made = model([
    job("w1", { status: "done", finishedAt: "2026-01-01T12:00:30Z" }),
    job("w2", { status: "queued" }),
    job("w3"),
    job("w4", { status: "failed", exitCode: 1 }),
  ]);
  assert.deepEqual(shown(made), [
    ["Needs attention (1)", ["w4 · task w4"]],
    ["Running (1)", ["w3 · task w3"]],
    ["Queued (1)", ["w2 · task w2"]],
    ["Done (1)", ["w1 · task w1"]],
  ]);
  assert.deepEqual(shown(model([])), []);
});

test("a cleared job is hidden once it has ended, and only then", () => {
  const made = model([job("w1", { status: "done" }), job("w2")]);
  assert.deepEqual(shown(made, ["id-w1", "id-w2"]), [["Running (1)", ["w2 · task w2"]]]);
});

test("a queued worker says which slot it waits for", () => {
  const [group] = rows(model([job("w3", { status: "queued" })]), new Set(), NOW);
  assert.equal(group?.children?.[0]?.description, "waiting for a write slot (2 of 2 in use)");
});

test("a cancelled worker that left changes needs attention", () => {
  const touchedFiles = [{ path: "a.py", change: "modified", attribution: "seen" } as const];
  const made = model([job("w1", { status: "cancelled", touchedFiles }), job("w2", { status: "cancelled" })]);
  assert.deepEqual(shown(made), [
    ["Needs attention (1)", ["w1 · task w1"]],
    ["Done (1)", ["w2 · task w2"]],
  ]);
});

test("a conflict stands first, with its workers' lines", () => {
  const [group] = rows(model([], [clash()]), new Set(), NOW);
  const row = group?.children?.[0];
  assert.equal(row?.description, "w1 and w2 changed the same lines");
  assert.equal(row.context, "conflict.overlapping-edit.versions");
  assert.deepEqual(row.children?.map((one) => one.description), ["lines 3-5", "lines 3-5"]);
});

test("every row tells a screen reader its name and its state", () => {
  const [group] = rows(model([job("w1", { stalled: true })]), new Set(), NOW);
  assert.match(group?.children?.[0]?.aria ?? "", /^w1, task w1, stalled, /);
});

test("who overwrote whom", () => {
  const jobs = clash().jobs.map((one, i) => ({ ...one, role: i ? ("overwrote" as const) : ("lost" as const) }));
  assert.equal(conflictText(clash({ kind: "lost-update", jobs })), "w2 overwrote lines of w1");
});

test("deltas change, add and remove; a gap is noticed", () => {
  const made = model([job("w1"), job("w2")], [clash()]);
  const done = { ...job("w1", { status: "done" }), kind: "job", id: "id-w1" };
  const added = { ...clash({ conflictId: "c2", severity: "error" }), kind: "conflict", id: "c2", conflictKind: "lost-update" };
  assert.ok(made.take({ seq: 2, changed: [done, added], removed: [{ kind: "job", id: "id-w2" }] }));
  assert.deepEqual(made.jobs.map((one) => [one.label, one.status]), [["w1", "done"]]);
  assert.deepEqual(made.conflicts.map((one) => [one.conflictId, one.kind]), [["c2", "lost-update"], ["c1", "overlapping-edit"]]);
  assert.equal(made.take({ seq: 4, changed: [] }), false);
});

test("the status bar says what runs and what needs somebody", () => {
  const none = new Set<string>();
  const text = (made: Model, quiet = false): string | undefined => statusText(totals([made], none), quiet)?.text;
  assert.equal(text(model([job("w1"), job("w2"), job("w3", { status: "queued" })])), "$(sync~spin) Codex: 2 running, 1 queued");
  assert.equal(text(model([], [clash()])), "$(warning) Codex: 1 conflict");
  assert.equal(text(model([], [clash({ severity: "information" })])), undefined);
  assert.equal(text(model([job("w1", { status: "done" })])), "$(check) Codex: 1 done");
  assert.equal(text(model([job("w1", { status: "done" })]), true), undefined);
});

test("times and lines in words", () => {
  assert.equal(duration("2026-01-01T12:00:00Z", null, NOW), "1m 00s");
  assert.equal(duration("2026-01-01T12:00:00Z", "2026-01-01T12:00:08Z", NOW), "8s");
  assert.equal(duration("2026-01-01T12:00:00Z", "2026-01-01T13:05:00Z", NOW), "1h 05m");
  assert.equal(duration(null, null, NOW), "");
  assert.equal(lines([{ start: 4, end: 4 }]), "line 4");
  assert.equal(lines([{ start: 3, end: 5 }, { start: 9, end: 9 }]), "lines 3-5, 9");
  assert.equal(lines([]), "");
});
