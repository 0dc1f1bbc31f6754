// The difference that is open; `shows` is in its right or left text.
export default async (vscode, { text, shows }) => {
  await vscode.page.locator('.tab.active').filter({ hasText: text }).waitFor();
  const editor = vscode.page.locator('.monaco-diff-editor');
  await editor.locator('.view-line').filter({ hasText: shows }).first().waitFor();
  return (await editor.innerText()).replace(/\u00a0/g, ' ');
};
