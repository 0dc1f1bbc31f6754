// A transcript that grows: it is opened with keys, followed at its end, and left alone where the person reads.
// The worker waits for each file of `go` in turn and then prints a screen and more; then it waits for the next.
import fs from 'node:fs';

export default async (vscode, { row, go, waits, heading }) => {
  const { page } = vscode;
  const running = vscode.tree(row);
  await vscode.openView('Codex Sidecar', running);
  await page.locator('.part.sidebar .monaco-list').first().focus();
  await page.keyboard.press('Home');
  const focused = page.locator('.part.sidebar .monaco-list-row.focused').filter({ hasText: row });
  for (let i = 0; i < 5 && !(await focused.isVisible()); i++) await page.keyboard.press('ArrowDown');
  const tab = page.locator('.tab.active[data-resource-name$=".md"]');
  await vscode.pressUntil('Enter', tab, 1, 180_000);
  const name = await tab.getAttribute('data-resource-name');
  const preview = await tab.locator('.monaco-icon-label.italic').count();
  const line = text => vscode.editorWithin(name).locator('.view-line').filter({ hasText: text }).first();

  await line(waits[0]).waitFor();
  fs.writeFileSync(go[0], '');
  await line(waits[1]).waitFor();
  await vscode.shot('follow-end');

  const outline = page.locator('.outline-tree .monaco-list-row');
  await vscode.command('Explorer: Focus on Outline View', outline.filter({ hasText: waits[1] }).first());
  const commands = (await outline.allInnerTexts()).map(text => text.trim());
  await line(waits[1]).click();
  await page.keyboard.press('Control+Home');
  await line(heading).waitFor();
  fs.writeFileSync(go[1], '');
  await outline.filter({ hasText: waits[2] }).first().waitFor(); // So the page has grown.
  const stayed = await line(heading).isVisible();
  await vscode.shot('follow-top');

  await page.keyboard.press('Control+End');
  await line(waits[2]).waitFor();
  fs.writeFileSync(go[2], '');
  await line(waits[3]).waitFor();

  await page.keyboard.type('zzz');
  await page.locator('.monaco-editor-overlaymessage').first().waitFor();
  const refused = !(await vscode.editorWithin(name).locator('.view-lines').innerText()).includes('zzz');
  return { name, preview, tabs: await vscode.tabs().count(), commands, stayed, refused };
};
