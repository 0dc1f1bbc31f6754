// A worker that does not end is cancelled, and then stopped by force.
const watch = text => {
  const look = () => {
    const rows = [...document.querySelectorAll('.part.sidebar .monaco-list-row')];
    const row = rows.find(one => one.textContent.includes(text) && one.textContent.includes('stopping…'));
    if (row && window.codexEarly === null) window.codexEarly = row.querySelectorAll('.action-label[aria-label^="Force Stop"]').length;
  };
  window.codexEarly = null;
  new MutationObserver(look).observe(document.querySelector('.part.sidebar'), { subtree: true, childList: true, characterData: true });
};

export default async (vscode, { row, question, stopped }) => {
  const { page } = vscode;
  const running = vscode.tree(row);
  await vscode.openView('Codex Sidecar', running);
  await vscode.rowButton(running, 'Cancel Worker', vscode.dialog().filter({ hasText: question }));
  await page.evaluate(watch, row); // It is offered soon after, on a busy machine before anybody has looked.
  await vscode.button('Cancel Worker').click();
  const stopping = vscode.tree(row).filter({ hasText: 'stopping…' });
  await stopping.waitFor();
  const label = await stopping.getAttribute('aria-label');
  const early = await page.evaluate(() => window.codexEarly);
  await vscode.rowButton(stopping, 'Force Stop', vscode.tree('Needs attention (1)'));
  const ended = vscode.tree(row).filter({ hasText: stopped });
  await ended.waitFor();
  await ended.click({ button: 'right' });
  const menu = page.locator('.monaco-menu .action-item');
  await menu.filter({ hasText: "Roll Back This Worker's Files..." }).first().waitFor();
  const entries = (await menu.allInnerTexts()).map(text => text.trim()).filter(Boolean);
  await vscode.shot('force-menu');
  await page.keyboard.press('Escape');
  return { label, early, entries };
};
