// Waits for what the view says while it has no rows, and tells its text and its buttons; with `folder` it opens that first.
export default async (vscode, { folder, text }) => {
  if (folder) await vscode.open({ folder });
  const welcome = vscode.page.locator('.part.sidebar .welcome-view-content').filter({ hasText: text });
  await vscode.openView('Codex Sidecar', welcome);
  const texts = await welcome.locator('p, .monaco-button').allInnerTexts();
  return { texts, toasts: await vscode.toasts().count() };
};
