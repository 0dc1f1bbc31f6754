// What the window shows of a conflict that has come up while it was open.
export default async (vscode, { path, message }) => {
  const toast = vscode.toasts().filter({ hasText: path }).first();
  await toast.waitFor({timeout: 300_000 }); // The workers have yet to run.
  const buttons = await toast.locator('.monaco-button').allInnerTexts();
  const row = (await vscode.problem(message)).first();
  await row.waitFor();
  // Before its text is there a lens holds its place with a space.
  const lens = vscode.editor(path).locator('.codelens-decoration').filter({ hasText: /\w/ }).first();
  await lens.waitFor();
  await vscode.editor(path).locator('.squiggly-warning').first().waitFor();
  const item = vscode.page.locator('.activitybar .action-item:has(.action-label[aria-label^="Codex Sidecar"])');
  await item.locator('.badge-content').filter({ hasText: /^1$/ }).waitFor();
  await vscode.openView('Codex Sidecar', vscode.tree('Needs attention (1)'));
  return { buttons, row: await row.innerText(), lens: await lens.innerText() };
};
