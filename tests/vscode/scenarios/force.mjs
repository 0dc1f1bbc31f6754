// A worker that does not end is cancelled, and then stopped by force.
export default async (vscode, { row, question, stopped }) => {
  const { page } = vscode;
  const running = vscode.tree(row);
  await vscode.openView('Codex Sidecar', running);
  await vscode.rowButton(running, 'Cancel Worker', vscode.dialog().filter({ hasText: question }));
  await vscode.button('Cancel Worker').click();
  const stopping = vscode.tree(row).filter({ hasText: 'stopping…' });
  await stopping.waitFor();
  const label = await stopping.getAttribute('aria-label');
  const early = await stopping.locator('.action-label[aria-label^="Force Stop"]').count();
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
