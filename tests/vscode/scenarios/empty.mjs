// A repository in which nothing has happened yet: what it is for, and one button.
export default async (vscode, { folder }) => {
  await vscode.open({ folder });
  const welcome = vscode.page.locator('.part.sidebar .welcome-view-content').filter({ hasText: 'No workers yet.' });
  await vscode.openView('Codex Sidecar', welcome);
  const button = welcome.locator('.monaco-button').filter({ hasText: 'Spawn Worker' });
  await button.first().waitFor();
  return { buttons: await button.count(), toasts: await vscode.toasts().count() };
};
