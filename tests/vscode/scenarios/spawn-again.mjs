// One more worker that can edit files, spawned with keys while others are there already; with `file` that is opened first.
// Tells what its row says at once.
export default async (vscode, { prompt, file, row }) => {
  const { page } = vscode;
  if (file) {
    const choice = vscode.quickRow(file);
    await vscode.actUntil(async () => {
      await vscode.pressUntil('Control+P', vscode.quick());
      await vscode.quick().locator('.quick-input-box input').fill(file);
      await choice.waitFor({ timeout: 8000 });
      await page.keyboard.press('Enter');
    }, vscode.editor(file), 5, 15_000);
  }
  const asked = vscode.quick().filter({ hasText: 'Spawn Worker (1/2)' });
  await vscode.command('Codex Sidecar: Spawn Worker...', asked);
  await asked.locator('input').last().fill(prompt);
  const kind = vscode.quick().filter({ hasText: 'Spawn Worker (2/2)' });
  await vscode.pressUntil('Enter', kind, 1, 180_000);
  await kind.locator('.monaco-list-row.focused').filter({ hasText: 'Can edit files' }).waitFor();
  await page.keyboard.press('Enter');
  await vscode.openView('Codex Sidecar', vscode.tree(row));
  return vscode.tree(row).getAttribute('aria-label');
};
