// A command that asks before it acts; `answer` is the button, without one the person leaves with Escape.
export default async (vscode, { folder, command, pick, question, answer }) => {
  if (folder) await vscode.open({ folder });
  const dialog = vscode.dialog().filter({ hasText: question });
  if (pick) {
    const row = vscode.quickRow(pick);
    await vscode.command(command, row);
    await row.click();
    await dialog.waitFor();
  } else {
    await vscode.command(command, dialog);
  }
  const text = await dialog.innerText();
  await vscode.shot(`question-${question.replace(/\W+/g, '-')}`);
  if (answer) await vscode.button(answer).click();
  else await vscode.page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  return text;
};
