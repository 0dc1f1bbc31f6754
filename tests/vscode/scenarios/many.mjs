// Times in milliseconds with very many rows, for `python -m benchmarks.vscode`.
export default async (vscode, { folder, text, worker, file, appears }) => {
  if (appears) {
    await vscode.tree(appears).waitFor();
    return Date.now();
  }
  const start = Date.now();
  await vscode.open({ folder });
  const group = vscode.tree(text);
  await vscode.openView('Codex Sidecar', group);
  const ready = Date.now() - start;
  const open = async (row, shows) => {
    const begun = Date.now();
    await row.locator('.monaco-tl-twistie').click();
    await shows.waitFor();
    return Date.now() - begun;
  };
  const row = vscode.tree(worker);
  const jobs = await open(group, row);
  const files = await open(row, vscode.tree(file));
  return { ready, jobs, files };
};
