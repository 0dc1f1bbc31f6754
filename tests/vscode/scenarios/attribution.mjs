// Who wrote the lines of the open file, as the setting says: behind the cursor's line, which is a decoration and so
// no text of the page, or as hints, which are.
import { until } from '../harness.mjs';

export default async (vscode, { path, line, text }) => {
  const editor = vscode.editor(path);
  if (line) {
    const input = vscode.quick().locator('.quick-input-box input');
    await vscode.pressUntil('Control+G', input);
    await input.fill(`:${line}`);
    await vscode.page.keyboard.press('Enter');
  }
  const behind = () => editor.locator('.view-lines .view-line').evaluateAll(all => all.flatMap(one => {
    const after = [...one.querySelectorAll('*')].map(part => getComputedStyle(part, '::after').content).filter(content => content.startsWith('"'));
    return after.map(content => `${one.textContent}|${JSON.parse(content)}`);
  }));
  return until(async () => {
    const shown = line ? (await behind()).join('\n').replace(/\u00a0/g, ' ') : await vscode.lines(editor);
    return shown.includes(text) && shown;
  }, `the editor shows ${text}`);
};
