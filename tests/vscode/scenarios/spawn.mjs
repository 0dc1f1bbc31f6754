// A worker spawned with keys only; `dirty`: what is asked about uncommitted changes, which are taken, now and always.
export default async (vscode, { folder, prompt, dirty }) => {
  await vscode.open({ folder });
  const welcome = vscode.page.locator('.part.sidebar .welcome-view-content').filter({ hasText: 'No workers yet.' });
  await vscode.openView('Codex Sidecar', welcome);
  const asked = vscode.quick().filter({ hasText: 'Spawn Worker (1/2)' });
  await vscode.command('Codex Sidecar: Spawn Worker...', asked);
  await asked.locator('input').last().fill(prompt);
  const kind = vscode.quick().filter({ hasText: 'Spawn Worker (2/2)' });
  await vscode.pressUntil('Enter', kind, 1, 180_000);
  const rows = kind.locator('.monaco-list-row[aria-label]');
  await rows.nth(1).waitFor();
  const labels = await rows.evaluateAll(all => all.map(row => row.getAttribute('aria-label')));
  await vscode.shot('spawn-kinds');
  await vscode.page.keyboard.press('Enter');
  if (dirty) {
    const asks = vscode.quick().filter({ hasText: dirty });
    const remember = asks.locator('.monaco-list-row.focused').filter({ hasText: 'Remember my choice' });
    await asks.locator('.monaco-list-row').nth(2).waitFor();
    for (let i = 0; i < 5 && !(await remember.isVisible()); i++) await vscode.page.keyboard.press('ArrowDown');
    await vscode.pressUntil('Enter', asks.locator('.monaco-list-row').filter({ hasText: 'Remember my choice (on)' }), 1, 180_000);
    await asks.locator('.monaco-list-row.focused').filter({ hasText: 'Use them as the baseline' }).waitFor();
    await vscode.shot('spawn-dirty');
    await vscode.page.keyboard.press('Enter');
  }
  await vscode.tree('Running (1)').waitFor();
  const row = vscode.tree('w1 ·');
  await row.waitFor();
  await vscode.status('codex-sidecar.codex-sidecar.codexSidecar.status').filter({ hasText: 'Codex: 1 running' }).waitFor();
  return { labels, row: await row.getAttribute('aria-label'), toasts: await vscode.toasts().count() };
};
