// Pictures for the documentation, made by `python -m scripts.pictures`; the conflict and the workers are there already.
import path from 'node:path';

export default async (vscode, { folder, file, line, conflict, rows, directory }) => {
  const { page } = vscode;
  const picture = (name, clip) => page.screenshot({ path: path.join(directory, `${name}.png`), clip });
  await vscode.open({ folder, file, line });
  await vscode.openView('Codex Sidecar', vscode.tree(rows[0]));
  const edge = await page.locator('.part.sidebar').boundingBox();
  await page.mouse.move(edge.x + edge.width + 1, 500);
  await page.mouse.down();
  await page.mouse.move(edge.x + 470, 500, { steps: 5 });
  await page.mouse.up();
  for (const row of rows) await vscode.tree(row).waitFor();
  await vscode.tree(conflict).locator('.monaco-tl-twistie').click();
  await vscode.editor(file).locator('.codelens-decoration').first().waitFor();
  const problem = (await vscode.problem(conflict.replace(/^.*\//, ''))).first();
  await problem.waitFor();
  await page.mouse.move(900, 300);
  await page.keyboard.press('Control+1');
  await page.locator('.monaco-hover, .workbench-hover-container').first().waitFor({ state: 'hidden' });
  await picture('vscode-conflict');
  await picture('vscode-workers', { x: 0, y: 30, width: 520, height: 340 });

  const later = vscode.toasts().locator('.monaco-button').filter({ hasText: 'Later' }).first();
  if (await later.isVisible()) await later.click();
  await page.keyboard.press('Control+J');
  await page.locator('.markers-panel').waitFor({ state: 'hidden' });
  const left = page.locator('text=1 Conflict Remaining');
  await vscode.actUntil(() => vscode.editor(file).locator('.codelens-decoration a').filter({ hasText: 'Merge...' }).click(), left);
  await page.keyboard.press('Control+B');
  await page.locator('.part.sidebar').waitFor({ state: 'hidden' });
  await page.mouse.move(900, 500);
  await picture('vscode-merge');
};
