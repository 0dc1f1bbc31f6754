// The view's button opens a terminal in which Codex itself asks who signs in; it is left with Ctrl+C.
export default async (vscode, { button, says }) => {
  const { page } = vscode;
  await page.locator('.part.sidebar .welcome-view-content .monaco-button').filter({ hasText: button }).click();
  const terminal = page.locator('.terminal-wrapper.active .xterm-rows');
  await terminal.filter({ hasText: says }).waitFor();
  await vscode.shot('sign-in-terminal');
  await terminal.click({ force: true });
  await page.keyboard.press('Control+C');
  await terminal.waitFor({ state: 'detached' });
};
