// A person types while workers edit files: what the window does meanwhile of its own accord.
import fs from 'node:fs';

const watch = () => {
  const seen = { toasts: 0, tabs: 0, items: 0, progress: 0, active: [] };
  const look = () => {
    const count = selector => document.querySelectorAll(selector).length;
    seen.toasts = Math.max(seen.toasts, count('.notifications-toasts .notification-list-item'));
    seen.tabs = Math.max(seen.tabs, count('.tabs-container .tab'));
    seen.items = Math.max(seen.items, count('.statusbar-item[id^="codex-sidecar."]'));
    seen.progress = Math.max(seen.progress, count('[id="status.progress"]'));
    const active = document.querySelector('.tab.active')?.dataset.resourceName ?? '(none)';
    if (!seen.active.includes(active)) seen.active.push(active);
  };
  look();
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['class'] });
  window.codexSeen = seen;
};

export default async (vscode, { file, before, begin, after }) => {
  const { page } = vscode;
  await vscode.openView('Codex Sidecar', vscode.tree(before));
  await vscode.editor(file).locator('.view-line').first().click();
  await page.keyboard.press('Control+Home');
  await page.evaluate(watch);
  const words = 'two workers edit twenty files while somebody writes this'.split(' ');
  let typed = '';
  const done = vscode.tree(after);
  for (let i = 0; i < 20 || !(await done.isVisible()); i++) {
    if (i === 3) fs.writeFileSync(begin, '');
    const word = words[i % words.length] + (i % words.length === words.length - 1 ? '\n' : ' ');
    await page.keyboard.type(word, { delay: 20 });
    typed += word;
  }
  const lines = typed.split('\n');
  const position = `Ln ${lines.length}, Col ${lines[lines.length - 1].length + 1}`;
  await page.locator('[id="status.editor.selection"]').filter({ hasText: position }).waitFor();
  await page.keyboard.press('Control+S');
  await page.locator('.tab.active:not(.dirty)').waitFor();
  const rows = await page.locator('.part.sidebar .monaco-list-row').evaluateAll(all => all.map(row => row.ariaLabel));
  return { typed, rows, ...(await page.evaluate(() => window.codexSeen)) };
};
