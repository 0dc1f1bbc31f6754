// A button of a row, and a line of the document that it opens.
export default async (vscode, { row, button, document, line }) => {
  const found = vscode.tree(row);
  await vscode.openView('Codex Sidecar', found);
  const shown = vscode.editorWithin(document).locator('.view-line').filter({ hasText: line }).first();
  await vscode.rowButton(found, button, shown);
  return found.getAttribute('aria-label');
};
