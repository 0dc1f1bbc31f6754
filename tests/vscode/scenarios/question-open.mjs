// A command asks before it acts, and the question is left open. `choose`: the title of a list before it, taken as it is.
export default async (vscode, { command, choose, question }) => {
  const dialog = vscode.dialog().filter({ hasText: question });
  const list = vscode.quick().filter({ hasText: choose });
  await vscode.command(command, list);
  await list.locator('.monaco-list-row').first().waitFor();
  await vscode.pressUntil('Enter', dialog, 1, 180_000);
  return dialog.innerText();
};
