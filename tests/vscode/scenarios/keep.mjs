// The quick fixes of a conflict, and the one that keeps a worker's version.
export default async (vscode, { folder, path, line, choice, question, confirm }) => {
  await vscode.open({ folder, file: path, line });
  await vscode.editor(path).locator('.squiggly-warning').first().waitFor();
  const menu = vscode.page.locator('.action-widget:not(.action-list-submenu-panel)');
  const entry = menu.locator('.monaco-list-row.action').filter({ hasText: choice }).first();
  await vscode.pressUntil('Control+.', entry);
  const titles = await menu.locator('.monaco-list-row.action').allInnerTexts();
  await vscode.shot('keep-menu');
  await entry.click();
  await vscode.dialog().filter({ hasText: question }).waitFor();
  const text = await vscode.dialog().innerText();
  await vscode.shot('keep-question');
  await vscode.button(confirm).click();
  await vscode.editor(path).locator('.squiggly-warning').first().waitFor({ state: 'detached' });
  return { titles, text };
};
