// Times in milliseconds with very many rows, for `python -m benchmarks.vscode --many`; nothing is asserted.
//
// With `folder` it opens that. If `worker` is named our view comes to the front, and the group `text` and that worker are
// opened; with `rows` then all workers, until the view has so many rows. `view` comes to the front until it shows the
// row `text`; `appears` waits for a row. Always tells the gaps between frames so far, as [begin, length]; no
// frame is drawn while the page's one thread is busy, so a long gap is a stutter.
import { until } from '../harness.mjs';

const SIDEBAR = '.part.sidebar .monaco-list';

const record = () => {
  const gaps = (window.codexGaps = []);
  let last = performance.now();
  const frame = () => {
    const now = performance.now();
    gaps.push([performance.timeOrigin + last, now - last]);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
};

async function timed(act) {
  const begun = Date.now();
  await act();
  return Date.now() - begun;
}

/** Opens all workers of the group, from the last one up. */
async function expand({ page }, workers, rows) {
  await page.locator(SIDEBAR).first().focus(); // A click on a row opens what is behind it.
  await page.keyboard.press('End');
  const height = () => page.locator(`${SIDEBAR} .monaco-list-rows`).first().evaluate(one => one.offsetHeight);
  for (let i = 0; i < workers; i++) {
    const before = await height();
    await page.keyboard.press('ArrowRight');
    await until(async () => (await height()) > before, `worker ${i + 1} from below is open`);
    await page.keyboard.press('ArrowUp');
  }
  await until(async () => (await height()) >= rows * 22, `the view has ${rows} rows`);
  await page.keyboard.press('Home');
}

export default async (vscode, { folder, text, worker, file, workers, rows, view, appears }) => {
  const { page } = vscode;
  const seen = {};
  if (folder) {
    await page.addInitScript(record);
    const start = Date.now();
    await vscode.open({ folder });
    seen.opened = Date.now();
    if (worker) {
      const group = vscode.tree(text);
      await vscode.openView('Codex Sidecar', group);
      seen.ready = Date.now() - start;
      const row = vscode.tree(worker);
      const twistie = one => one.locator('.monaco-tl-twistie').click();
      seen.jobs = await timed(async () => { await twistie(group); await row.waitFor(); });
      seen.files = await timed(async () => { await twistie(row); await vscode.tree(file).waitFor(); });
      seen.calm = Date.now();
      if (rows) {
        await twistie(row);
        await expand(vscode, workers, rows);
      }
    }
  }
  if (view) seen.front = await timed(() => vscode.openView(view, vscode.tree(text)));
  if (appears) await vscode.tree(appears).waitFor();
  seen.now = Date.now();
  seen.gaps = await page.evaluate(() => window.codexGaps);
  return seen;
};
