// The window is loaded anew while a worker runs.
export default async (vscode, { folder }) => {
  const running = vscode.tree('w1 ·');
  await vscode.openView('Codex Sidecar', vscode.tree('Running (1)'));
  await running.waitFor();
  await vscode.open({ folder });
  await vscode.openView('Codex Sidecar', vscode.tree('Running (1)'));
  await running.waitFor();
  return running.getAttribute('aria-label');
};
