// A button of the question that is open; `again`: what it must say when it comes once more.
export default async (vscode, { answer, again }) => {
  const dialog = vscode.dialog();
  await vscode.button(answer).click();
  if (!again) {
    await dialog.waitFor({ state: 'hidden' });
    return null;
  }
  await dialog.filter({ hasText: again }).waitFor();
  return dialog.innerText();
};
