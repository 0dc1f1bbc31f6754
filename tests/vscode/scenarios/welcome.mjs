// Waits for what the view says while it has no rows, and tells its text and its buttons; with `folder` it opens that first,
// and `press` is the button that is pressed then.
export default async (vscode, { folder, text, press }) => {
  if (folder) await vscode.open({ folder });
  const welcome = vscode.page.locator('.part.sidebar .welcome-view-content').filter({ hasText: text });
  await vscode.openView('Codex Sidecar', welcome);
  const texts = await welcome.locator('p, .monaco-button').allInnerTexts();
  const toasts = await vscode.toasts().count();
  if (press) await welcome.locator('.monaco-button').filter({ hasText: press }).first().click();
  return { texts, toasts };
};
