// A second window on the same folder: a worker is cancelled in it and it is closed. Tells what both say of the workers.
import { until } from '../harness.mjs';
import cancel from './cancel.mjs';

const rows = ({ page }) => page.locator('.part.sidebar .monaco-list-row').evaluateAll(all => all.map(row => row.ariaLabel));

/** What both say, once it is the same: the one that is behind draws a little later. */
const both = (...windows) => until(async () => {
  const [one, other] = await Promise.all(windows.map(rows));
  return JSON.stringify(one) === JSON.stringify(other) && [one, other];
}, 'both windows say the same');

export default async (vscode, { folder, texts, worker, row, gone }) => {
  const second = await vscode.another();
  try {
    await second.open({ folder });
    await second.openView('Codex Sidecar', second.tree(texts[0]));
    for (const text of texts) await second.tree(text).waitFor();
    const before = await both(vscode, second);
    await second.page.bringToFront();
    await cancel(second, { row, gone, worker, running: texts[0] });
    await second.shot('windows-second');
    await vscode.page.bringToFront();
    await vscode.tree(gone).waitFor();
    return { before, after: await both(vscode, second) };
  } finally {
    await second.page.close();
  }
};
