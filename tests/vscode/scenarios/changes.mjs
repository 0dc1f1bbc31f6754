// What one worker changed, beside what was before.
export default async (vscode, { row, title, lines }) => {
  const { page } = vscode;
  const choice = vscode.quickRow(row);
  await vscode.command('Codex Sidecar: Open Worker Changes', choice);
  await choice.click();
  const tab = page.locator('.tab.active').filter({ hasText: title });
  await tab.waitFor();
  const entries = page.locator('.multiDiffEntry');
  for (const line of lines) await entries.locator('.view-line').filter({ hasText: line }).first().waitFor();
  const headers = (await entries.locator('.header').allInnerTexts()).map(text => text.replace(/\s+/g, ' ').trim());
  const text = (await entries.locator('.view-lines').allInnerTexts()).join('\n').replace(/\u00a0/g, ' ');
  return { title: (await tab.innerText()).trim(), headers, text };
};
