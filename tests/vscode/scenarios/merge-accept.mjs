// Takes one side of the conflict, in the merge editor only; `remaining`: what is left then.
export default async (vscode, { accept, remaining = '0 Conflicts Remaining' }) => {
  const merge = vscode.page.locator('.merge-editor');
  if (accept) await merge.getByText(accept, { exact: true }).first().click();
  await merge.locator('.code-view.result').filter({ hasText: remaining }).waitFor();
  return vscode.merged();
};
