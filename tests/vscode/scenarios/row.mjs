// Waits for a row of the view.
export default async (vscode, { text }) => {
  const row = vscode.tree(text);
  await vscode.openView('Codex Sidecar', row);
  return row.getAttribute('aria-label');
};
