// The button in the editor's title; `confirm` are the buttons by which VS Code asks about what is left. `toast`: what
// is said then; the merge is over when its tab has gone. With `answer` that was said already: it is answered, or
// closed where the answer is "close".
export default async (vscode, { confirm = [], toast, answer }) => {
  if (!answer) {
    await vscode.page.locator('.editor-actions .action-label[aria-label^="Finish Merge"]').first().click();
    for (const text of confirm) await vscode.button(text).click();
    await vscode.page.locator('.merge-editor').waitFor({ state: 'detached' });
  }
  if (!toast) return null;
  const said = await vscode.notice(toast, answer);
  const buttons = await said.locator('.monaco-button').allInnerTexts();
  if (answer === 'close') {
    await said.hover();
    await said.locator('.action-label[aria-label^="Clear Notification"]').click();
    await said.waitFor({ state: 'detached' });
  } else if (answer) await said.locator('.monaco-button').filter({ hasText: answer }).click();
  return buttons;
};
