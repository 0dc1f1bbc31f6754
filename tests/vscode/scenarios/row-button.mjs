// A button of a row, and a line of the document that it opens.
export default async (vscode, { row, button, document, line }) => {
  const found = vscode.tree(row);
  await vscode.openView('Codex Sidecar', found);
  await found.hover();
  await vscode.shot('row-button');
  await found.locator(`.action-label[aria-label^="${button}"]`).click();
  await vscode.editorWithin(document).locator('.view-line').filter({ hasText: line }).first().waitFor();
  return found.getAttribute('aria-label');
};
