// What the view and the status bar say of workers that run and wait: rows with these texts, and none with `gone`.
// With `folder` it opens that first.
export default async (vscode, { folder, texts, gone, status }) => {
  if (folder) await vscode.open({ folder });
  await vscode.openView('Codex Sidecar', vscode.tree(texts[0]));
  for (const text of texts) await vscode.tree(text).waitFor();
  if (gone) await vscode.tree(gone).waitFor({ state: 'detached' });
  const item = vscode.status('codex-sidecar.codex-sidecar.codexSidecar.status').filter({ hasText: status });
  await item.waitFor();
  const rows = await vscode.page.locator('.part.sidebar .monaco-list-row').evaluateAll(all => all.map(row => row.ariaLabel));
  return { rows, status: (await item.innerText()).trim() };
};
