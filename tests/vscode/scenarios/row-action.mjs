// An action of a row, from its menu; `shows` is the title of what it asks.
export default async (vscode, { row, action, shows }) => {
  const found = vscode.tree(row);
  await vscode.openView('Codex Sidecar', found);
  const entry = vscode.page.locator('.monaco-menu .action-item').filter({ hasText: action }).first();
  await vscode.actUntil(() => found.click({ button: 'right' }), entry);
  await vscode.shot('row-menu');
  await entry.click();
  await vscode.quick().filter({ hasText: shows }).waitFor();
};
