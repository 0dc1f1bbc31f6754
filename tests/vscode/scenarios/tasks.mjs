// Tasks for workers: for the selection of a file, from its menu; then those of a file that is written in the window. All
// of them are given to read-only workers. Tells what the first question held and what the list of tasks showed.
export default async (vscode, { folder, file, task, tasks }) => {
  const { page } = vscode;
  await vscode.open({ folder, file });
  await vscode.openView('Codex Sidecar', page.locator('.part.sidebar .welcome-view-content').filter({ hasText: 'No workers yet.' }));
  const asked = vscode.quick().filter({ hasText: 'Spawn Worker (1/2)' });
  const kind = vscode.quick().filter({ hasText: 'Spawn Worker (2/2)' });
  const readOnly = vscode.quickRow('Read only');

  const line = vscode.editor(file).locator('.view-line').first();
  await line.click();
  await page.keyboard.press('Control+A');
  const entry = page.locator('.monaco-menu .action-item').filter({ hasText: 'Spawn Worker from Selection...' }).first();
  await vscode.actUntil(() => line.click({ button: 'right' }), entry);
  await vscode.shot('tasks-menu');
  await entry.click();
  await asked.waitFor();
  const input = asked.locator('input').last();
  const value = await input.inputValue();
  await input.fill(value + task);
  await vscode.pressUntil('Enter', kind, 1, 180_000);
  await readOnly.click();
  await vscode.tree('w1 ·').waitFor();

  await vscode.command('Codex Sidecar: Spawn Worker...', asked);
  const written = page.locator('.editor-instance .monaco-editor[data-uri^="untitled:"]').first();
  await vscode.actUntil(() => asked.locator('.action-label[aria-label^="Write the task in an editor"]').click(), written);
  await written.locator('.view-line').first().click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(tasks);
  const list = vscode.quick().filter({ hasText: 'Spawn 2 workers from this file' });
  // The key means this only once VS Code knows what file this is, as its button in the title shows; before, it adds a line.
  await page.locator('.editor-actions .action-label[aria-label^="Spawn Workers from This File"]').first().waitFor();
  await vscode.pressUntil('Control+Enter', list, 6, 30_000);
  const ticks = list.locator('.monaco-list-row');
  await ticks.nth(1).waitFor();
  const listed = await ticks.evaluateAll(all => all.map(row => `${row.ariaLabel}: ${row.querySelector('input')?.checked ?? row.ariaChecked}`));
  await vscode.shot('tasks-listed');
  await vscode.pressUntil('Enter', kind, 1, 180_000);
  await readOnly.click();
  await vscode.tree('w3 ·').waitFor();
  return { value, listed };
};
