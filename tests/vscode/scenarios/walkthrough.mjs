// The walkthrough: its steps with their pictures, which VS Code draws in a page of their own; then a step's button, which
// has something play in a terminal until Ctrl+C. `ticked` are the steps that are done: at first, after the step `spawn`,
// after the step `step`, and after the first one.
import { until } from '../harness.mjs';

export default async (vscode, { spawn, step, button, playing, over }) => {
  const { page } = vscode;
  const steps = page.locator('.gettingStartedContainer .getting-started-step');
  const done = () => page.locator('.gettingStartedContainer [data-done-step-id].complete').evaluateAll(all =>
    all.map(one => one.getAttribute('data-done-step-id').replace(/^.*#/, '')));
  const ticks = id => page.locator(`.gettingStartedContainer [data-done-step-id$="#${id}"].complete`).waitFor();
  await vscode.command('Codex Sidecar: Open Walkthrough', steps.first());
  const ticked = [await done()];
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
  const asked = vscode.quick().filter({ hasText: 'Spawn Worker (1/2)' });
  await steps.filter({ hasText: spawn }).click();
  await steps.filter({ hasText: spawn }).locator('.monaco-button').click();
  await asked.waitFor();
  await page.keyboard.press('Escape');
  await ticks('spawn');
  ticked.push(await done());
  await steps.filter({ hasText: step }).click();
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
  await ticks('conflict');
  ticked.push(await done());
  await steps.first().click();
  await steps.first().locator('.monaco-button').click();
  await vscode.editorWithin('Codex%20Sidecar%20Setup').waitFor();
  await vscode.command('Codex Sidecar: Open Walkthrough', steps.first());
  await ticks('setup');
  ticked.push(await done());
  return { pictures, color, ticked };
};
