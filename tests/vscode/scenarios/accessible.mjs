// What a screen reader is told of the view, the status item and, while there is one, the dialog; and what axe has
// against them. Only parts that are drawn from our words are looked at: the rows of our view, our status item and our
// dialog. Toolbars and the dialog's icon (which it names without a role) are VS Code's.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ROW = '.part.sidebar .pane-body .monaco-list-row';

export default async (vscode, { rows = [], status, dialog }) => {
  const { page } = vscode;
  for (const text of rows) await vscode.openView('Codex Sidecar', vscode.tree(text));
  const item = vscode.status('codex-sidecar.codex-sidecar.codexSidecar.status');
  if (status) await item.filter({ hasText: status }).waitFor();
  if (dialog) await vscode.dialog().filter({ hasText: dialog }).waitFor();
  await page.evaluate(`${AXE}; undefined`);
  const violations = await page.evaluate(async row => {
    const ours = [row, '.statusbar-item[id^="codex-sidecar"]', '.monaco-dialog-box'].filter(one => document.querySelector(one));
    const { violations } = await globalThis.axe.run({ include: ours.map(one => [one]), exclude: [['.monaco-toolbar'], ['#monaco-dialog-icon']] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html, target }) => ({ id, target: String(target), html: html.slice(0, 200) })))
      // A row's label is read as a sentence with the state in it, so it is not the text that is seen: "w1, add retries, running".
      .filter(({ id, html }) => !(id === 'label-content-name-mismatch' && html.includes('monaco-list-row')));
  }, ROW);
  return {
    rows: await page.locator(ROW).evaluateAll(all => all.map(row => row.getAttribute('aria-label'))),
    status: (await item.count()) ? await item.locator('a').first().getAttribute('aria-label') : null,
    dialog: (await vscode.dialog().count()) ? await vscode.dialog().evaluate(one =>
      one.getAttribute('aria-labelledby').split(' ').map(id => document.getElementById(id)?.innerText).join(' ').trim()) : null,
    violations,
  };
};
