// The report of "Check Setup".
export default async (vscode, { shows }) => {
  const editor = vscode.page.locator('.editor-instance .monaco-editor[data-uri*="Codex%20Sidecar%20Setup"]').first();
  await vscode.command('Codex Sidecar: Check Setup', editor);
  await editor.locator('.view-line').filter({ hasText: shows }).first().waitFor();
  return vscode.lines(editor);
};
