// A quick fix of a conflict opens the merge editor. Tells what its panes are called and what its result holds so far.
export default async (vscode, { folder, path, line, choice }) => {
  if (folder) await vscode.open({ folder, file: path, line });
  await vscode.editor(path).locator('.squiggly-warning').first().waitFor();
  const entry = vscode.page.locator('.action-widget .monaco-list-row.action').filter({ hasText: choice }).first();
  await vscode.pressUntil('Control+.', entry);
  await entry.click();
  const merge = vscode.page.locator('.merge-editor');
  await merge.locator('.code-view.result').filter({ hasText: /\d+ Conflicts? Remaining/ }).waitFor();
  await vscode.page.locator('.tab.active').filter({ hasText: 'Merging:' }).waitFor();
  const heads = await merge.locator('.code-view.input .header').allInnerTexts();
  return {
    tab: await vscode.page.locator('.tab.active').innerText(),
    heads: heads.map(head => head.split(/\n+/)),
    ...(await vscode.merged()),
  };
};
