// Times in milliseconds, for `python -m benchmarks.vscode`; the machine decides most of them, so nothing is asserted.
export default async (vscode, { folder, file, text, problem }) => {
  if (problem) {
    const row = (await vscode.problem(problem)).first();
    await row.waitFor();
    return Date.now();
  }
  const row = vscode.tree(text);
  const start = Date.now();
  await vscode.open({ folder, file });
  await vscode.openView('Codex Sidecar', row);
  const ready = Date.now() - start;
  const editor = vscode.page.locator('.runtime-extensions-editor');
  await vscode.command('Developer: Show Running Extensions', editor);
  const ours = editor.locator('.monaco-list-row').filter({ hasText: 'Codex Sidecar' }).filter({ hasText: /Activation: \d+ms/ }).first();
  // The slowest ones stand first, and only what is in sight has a row.
  await vscode.actUntil(() => editor.locator('.monaco-list').first().press('End'), ours);
  const activation = Number(/Activation: (\d+)ms/.exec(await ours.innerText())[1]);
  await vscode.page.keyboard.press('Control+W');
  return { start, ready, activation };
};
