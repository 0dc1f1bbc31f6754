// A second window on the same folder: a worker is cancelled in it and it is closed. Tells what both say of the workers.
import cancel from './cancel.mjs';

const rows = ({ page }) => page.locator('.part.sidebar .monaco-list-row').evaluateAll(all => all.map(row => row.ariaLabel));

export default async (vscode, { folder, texts, worker, row, gone }) => {
  const second = await vscode.another();
  try {
    await second.open({ folder });
    await second.openView('Codex Sidecar', second.tree(texts[0]));
    for (const text of texts) await second.tree(text).waitFor();
    const before = [await rows(vscode), await rows(second)];
    await second.page.bringToFront();
    await cancel(second, { row, gone, worker, running: texts[0] });
    await second.shot('windows-second');
    await vscode.page.bringToFront();
    await vscode.tree(gone).waitFor();
    return { before, after: [await rows(vscode), await rows(second)] };
  } finally {
    await second.page.close();
  }
};
