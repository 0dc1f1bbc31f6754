// The view's button opens a terminal in which Codex itself asks who signs in; it is left with Ctrl+C.
import { until } from '../harness.mjs';

export default async (vscode, { button, says }) => {
  const { page } = vscode;
  await page.locator('.part.sidebar .welcome-view-content .monaco-button').filter({ hasText: button }).click();
  const terminal = page.locator('.terminal-wrapper.active .xterm-rows');
  await terminal.filter({ hasText: says }).waitFor();
  await vscode.shot('sign-in-terminal');
  const terminals = page.locator('.terminal-wrapper.active');
  await until(async () => {
    if (!(await terminals.count())) return true;
    await terminal.click({ force: true, timeout: 3000 }).catch(() => undefined); // It may have gone meanwhile.
    await page.keyboard.press('Control+C');
    return terminal.waitFor({ state: 'detached', timeout: 15_000 }).then(() => true, () => false);
  }, 'the terminal has gone');
};
