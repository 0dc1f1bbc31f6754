// The walkthrough: its steps with their pictures, which VS Code draws in a page of their own; then a step's button, which
// has something play in a terminal until Ctrl+C.
import { until } from '../harness.mjs';

export default async (vscode, { step, button, playing, over }) => {
  const { page } = vscode;
  const steps = page.locator('.gettingStartedContainer .getting-started-step');
  await vscode.command('Codex Sidecar: Open Walkthrough', steps.first());
  const titles = await steps.locator('.step-title').allInnerTexts();
  const pictures = [];
  for (const [i, title] of titles.entries()) {
    await steps.nth(i).click();
    const picture = await until(async () => {
      for (const frame of page.frames()) {
        const svg = await frame.evaluate(() => {
          const found = document.querySelector('svg[viewBox="0 0 480 300"]');
          return found && { label: found.getAttribute('aria-label'), stroke: getComputedStyle(found).stroke };
        }).catch(() => null); // A frame may go while it is asked.
        if (svg && !pictures.some(({ label }) => label === svg.label)) return svg;
      }
      return null;
    }, `the picture of step ${i + 1}`);
    await vscode.shot(`walkthrough-${i + 1}`);
    pictures.push({ title, ...picture });
  }
  const color = await page.evaluate(() => getComputedStyle(document.querySelector('.monaco-workbench')).getPropertyValue('--vscode-foreground'));
  await steps.filter({ hasText: step }).locator('.monaco-button').filter({ hasText: button }).click();
  const terminal = page.locator('.terminal-wrapper.active .xterm-rows');
  await terminal.filter({ hasText: playing }).waitFor();
  await vscode.shot('walkthrough-playing');
  await terminal.click({ force: true });
  await page.keyboard.press('Control+C');
  await terminal.filter({ hasText: over }).waitFor();
  await vscode.shot('walkthrough-played');
  await page.keyboard.press('Enter');
  await terminal.waitFor({ state: 'detached' });
  return { pictures, color };
};
