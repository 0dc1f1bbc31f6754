// A folder, and in it a file; the extension's view has come up, so the server of the folder is there.
export default async (vscode, { folder, file }) => {
  await vscode.open({ folder, file });
  await vscode.openView('Codex Sidecar', vscode.page.locator('.part.sidebar .welcome-view-content').filter({ hasText: 'No workers yet.' }));
};
