// A command that asks before it acts. `pick`: a row that is chosen before; `choose`: the title of a list of check boxes,
// which is taken as it is. `answer` is the button, without one the person leaves with Escape; `told`: what is said then.
export default async (vscode, { folder, command, pick, choose, question, answer, told }) => {
  if (folder) await vscode.open({ folder });
  const dialog = vscode.dialog().filter({ hasText: question });
  if (pick) {
    const row = vscode.quickRow(pick);
    await vscode.command(command, row);
    await row.click();
    await dialog.waitFor();
  } else if (choose) {
    const list = vscode.quick().filter({ hasText: choose });
    await vscode.command(command, list);
    await list.locator('.monaco-list-row').first().waitFor();
    await vscode.shot(`choose-${choose.replace(/\W+/g, '-')}`);
    await vscode.pressUntil('Enter', dialog, 1, 180_000);
  } else {
    await vscode.command(command, dialog);
  }
  const text = await dialog.innerText();
  await vscode.shot(`question-${question.replace(/\W+/g, '-')}`);
  if (answer) await vscode.button(answer).click();
  else await vscode.page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  if (told) await vscode.toasts().filter({ hasText: told }).first().waitFor();
  return text;
};
