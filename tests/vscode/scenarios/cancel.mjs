// A running worker that has changed a file is cancelled from the palette.
export default async (vscode, { row, gone, worker = 'w1', running = 'Running (1)' }) => {
  await vscode.openView('Codex Sidecar', vscode.tree(running));
  const choice = vscode.quickRow(row);
  await vscode.command('Codex Sidecar: Cancel Worker...', choice);
  await choice.click();
  const dialog = vscode.dialog().filter({ hasText: `Cancel ${worker}` });
  await dialog.waitFor();
  const text = await dialog.innerText();
  await vscode.shot('cancel-question');
  await vscode.button('Cancel Worker').click();
  await vscode.tree(gone).waitFor();
  return text;
};
