import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, type Counts, type Mark, type Row, type StateItem, type Status, type Summary } from "../src/protocol";
import { View, merged, statusOf, type Change } from "../src/view";

const row = (id: string, changes: Partial<Row> = {}): Row => ({
  ...{ id, label: id, description: "", context: "x", aria: id, target: {} },
  ...changes,
});

const mark = (id: string): Mark => ({ id, badge: "w1", tooltip: "", conflict: false });

const sum = (changes: Partial<Summary> = {}, counts: Partial<Counts> = {}): Summary => ({
  ...EMPTY,
  ...changes,
  counts: { ...EMPTY.counts, ...counts },
});

function view(rows: Row[], summary = sum({ roots: ["group:running"] })): View {
  const made = new View();
  assert.ok(made.take({ seq: 1, full: { rows, marks: [mark("a.py")], summary } }));
  return made;
}

test("a full state replaces everything", () => {
  const made = view([row("group:running", { children: ["job:1"] }), row("job:1")]);
  const full = { rows: [], marks: [], summary: EMPTY };
  assert.deepEqual(made.take({ seq: 9, full }), { structure: true, rows: [], marks: true });
  assert.deepEqual([made.rows.size, made.marks.size, made.summary], [0, 0, EMPTY]);
  assert.ok(made.take({ seq: 10, changed: [] }), "it goes on from the seq of the full state");
});

test("a row that only looks different is no change of structure", () => {
  const made = view([row("group:running", { children: ["job:1"] }), row("job:1")]);
  const change = made.take({ seq: 2, changed: [{ kind: "row", ...row("job:1", { description: "editing" }) }] });
  assert.deepEqual(change, { structure: false, rows: ["job:1"], marks: false });
  assert.equal(made.rows.get("job:1")?.description, "editing");
});

test("rows that move are, rows that come or go are a matter of the row above them", () => {
  const rows = [row("group:running", { children: ["job:1"] }), row("job:1"), row("group:done", { children: ["job:3"] }), row("job:3")];
  const item = (id: string, children?: string[]): StateItem => ({ kind: "row", ...row(id, { children }) });
  const change = (...changed: StateItem[]): Change | undefined => view(rows).take({ seq: 2, changed });
  const comes = [item("job:2"), item("group:running", ["job:1", "job:2"])];
  assert.deepEqual(change(...comes), { structure: false, rows: ["job:2", "group:running"], marks: false });
  assert.deepEqual(change(...comes.reverse())?.structure, false, "the order of items means nothing");
  assert.equal(change(item("group:running", []), item("group:done", ["job:1", "job:3"]))?.structure, true);
  assert.equal(change({ kind: "summary", ...sum({ roots: [] }) })?.structure, true);
  assert.equal(change({ kind: "summary", ...sum({ roots: ["group:running"] }, { running: 2 }) })?.structure, false);
  const made = view(rows);
  const goes = made.take({ seq: 2, changed: [item("group:done", [])], removed: [{ kind: "row", id: "job:3" }, { kind: "job", id: "3" }] });
  assert.deepEqual(goes, { structure: false, rows: ["group:done"], marks: false });
  assert.equal(made.rows.has("job:3"), false);
});

test("marks are told apart from rows", () => {
  const made = view([]);
  const change = made.take({ seq: 2, changed: [{ kind: "mark", ...mark("b.py") }], removed: [{ kind: "mark", id: "a.py" }] });
  assert.deepEqual(change, { structure: false, rows: [], marks: true });
  assert.deepEqual([...made.marks.keys()], ["b.py"]);
});

test("a message that was missed is noticed, and nothing is taken", () => {
  const made = view([row("job:1")]);
  assert.equal(made.take({ seq: 3, removed: [{ kind: "row", id: "job:1" }] }), undefined);
  assert.equal(made.rows.size, 1);
  assert.ok(made.take({ seq: 2 }));
});

test("children come in their order, unknown ones are left out", () => {
  const made = view([row("b"), row("a")]);
  assert.deepEqual(made.children(["a", "gone", "b"]).map(({ id }) => id), ["a", "b"]);
});

test("several repositories are one sum", () => {
  const one = sum({ baseline: true }, { running: 1 });
  const two = sum({ setup: "noCodex" }, { running: 2, queued: 1 });
  const all = merged([one, two]);
  assert.deepEqual([all.counts.running, all.counts.queued, all.baseline, all.setup], [3, 1, true, "noCodex"]);
  assert.deepEqual(merged([]), { counts: EMPTY.counts, baseline: false, setup: null });
});

test("one item of the status bar speaks for all repositories", () => {
  const saying = (name: string, status: Status | null, running = true): { name: string; running: boolean; view: View } => ({
    ...{ name, running, view: view([], sum({ status })) },
  });
  const done = saying("lib", { text: "1 done", icon: "check", level: 0 });
  const works = saying("app", { text: "2 running", icon: "sync~spin", level: 1 });
  const warns = saying("web", { text: "1 conflict", icon: "warning", level: 2 });
  const quiet = saying("old", null);
  assert.equal(statusOf([]), undefined);
  assert.equal(statusOf([quiet]), undefined);
  assert.deepEqual(statusOf([works]), { icon: "sync~spin", text: "Codex: 2 running", warns: false });
  assert.deepEqual(statusOf([quiet, works]), { icon: "sync~spin", text: "Codex: app: 2 running", warns: false });
  const ended = saying("end", null, false);
  assert.deepEqual(statusOf([ended]), { icon: "stop-circle", text: "Codex: stopped", warns: false });
  assert.deepEqual(statusOf([done, ended]), { icon: "stop-circle", text: "Codex: lib: 1 done; end: stopped", warns: false });
  assert.deepEqual(statusOf([done, works, warns]), {
    icon: "warning",
    text: "Codex: lib: 1 done; app: 2 running; web: 1 conflict",
    warns: true,
  });
});
