import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, View, elapsed, merged, statusText, timed, type Row, type Summary } from "../src/view";

const NOW = Date.parse("2026-01-01T12:01:03Z");

const row = (id: string, changes: Partial<Row> = {}): Row => ({ id, label: id, context: "x", aria: id, ...changes });

const sum = (changes: Partial<Summary> = {}, counts: Partial<Summary["counts"]> = {}): Summary => ({
  ...EMPTY,
  ...changes,
  counts: { ...EMPTY.counts, ...counts },
});

const item = <T extends object>(kind: string, one: T): T & { kind: string; id: string } => ({ id: "summary", ...one, kind });

function view(rows: Row[], summary = sum({ roots: ["group:running"] })): View {
  const made = new View();
  assert.ok(made.take({ seq: 1, full: { rows, marks: [{ id: "a.py", badge: "w1", tooltip: "" }], summary } }));
  return made;
}

test("a full state replaces everything", () => {
  const made = view([row("group:running", { children: ["job:1"] }), row("job:1")]);
  assert.deepEqual(made.take({ seq: 9, full: {} }), { structure: true, rows: [], marks: true });
  assert.deepEqual([made.rows.size, made.marks.size, made.summary], [0, 0, EMPTY]);
  assert.ok(made.take({ seq: 10, changed: [] }), "it goes on from the seq of the full state");
});

test("a row that only looks different is no change of structure", () => {
  const made = view([row("group:running", { children: ["job:1"] }), row("job:1")]);
  const change = made.take({ seq: 2, changed: [item("row", row("job:1", { description: "editing" }))] });
  assert.deepEqual(change, { structure: false, rows: ["job:1"], marks: false });
  assert.equal(made.rows.get("job:1")?.description, "editing");
});

test("rows that come, go or move are", () => {
  const rows = [row("group:running", { children: ["job:1"] }), row("job:1")];
  const structure = (...changed: (Row | Summary)[]): boolean | undefined =>
    view(rows).take({ seq: 2, changed: changed.map((one) => item("label" in one ? "row" : "summary", one)) })?.structure;
  assert.equal(structure(row("job:2")), true);
  assert.equal(structure(row("group:running", { children: ["job:1", "job:2"] })), true);
  assert.equal(structure(row("group:running", { children: ["job:1"] })), false);
  assert.equal(structure(sum({ roots: [] })), true);
  assert.equal(structure(sum({ roots: ["group:running"] }, { running: 2 })), false);
  assert.equal(view(rows).take({ seq: 2, removed: [{ kind: "row", id: "job:1" }] })?.structure, true);
  assert.equal(view(rows).take({ seq: 2, removed: [{ kind: "job", id: "1" }] })?.structure, false);
});

test("marks are told apart from rows", () => {
  const made = view([]);
  const mark = item("mark", { id: "b.py", badge: "w!", tooltip: "", conflict: true });
  const change = made.take({ seq: 2, changed: [mark], removed: [{ kind: "mark", id: "a.py" }] });
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
  const one = sum({ message: "Baseline", badge: { value: 1, tooltip: "1 conflict" }, menu: "w1", baseline: true }, { running: 1 });
  const two = sum({ badge: { value: 2, tooltip: "2 failed" }, menu: "w2", setup: "noCodex" }, { running: 2, queued: 1 });
  assert.equal(merged([one]).message, "Baseline");
  const all = merged([one, two]);
  assert.deepEqual([all.counts.running, all.counts.queued, all.message, all.baseline, all.setup], [3, 1, null, true, "noCodex"]);
  assert.deepEqual([all.badge, all.menu], [{ value: 3, tooltip: "1 conflict\n2 failed" }, "w1\n\nw2"]);
  assert.equal(merged([]).badge, null);
});

test("time goes on in steps of five seconds, then of minutes", () => {
  const since = (time: string): string => elapsed(`2026-01-01T${time}Z`, NOW);
  assert.equal(since("12:01:00"), "0s");
  assert.equal(since("12:00:05"), "55s");
  assert.equal(since("12:00:03"), "1m");
  assert.equal(since("11:30:00"), "31m");
  assert.equal(since("10:56:03"), "1h 05m");
  assert.equal(since("13:00:00"), "0s");
  assert.equal(timed("editing · {elapsed} · 1 file", "2026-01-01T12:01:00Z", NOW), "editing · 0s · 1 file");
  assert.equal(timed("done", undefined, NOW), "done");
});

test("the status bar says what runs and what needs somebody", () => {
  const text = (counts: Partial<Summary["counts"]>, quiet = false): string | undefined => statusText(sum({}, counts).counts, quiet)?.text;
  assert.equal(text({ running: 2, queued: 1 }), "$(sync~spin) Codex: 2 running, 1 queued");
  assert.equal(text({ conflicts: 1, attention: 1 }), "$(warning) Codex: 1 conflict");
  assert.equal(text({ conflicts: 2, attention: 3 }), "$(warning) Codex: 2 conflicts, 1 needs attention");
  assert.equal(text({ attention: 2 }), "$(warning) Codex: 2 need attention");
  assert.equal(text({ done: 1 }), "$(check) Codex: 1 done");
  assert.equal(text({ done: 1 }, true), undefined);
  assert.equal(text({}), undefined);
});
