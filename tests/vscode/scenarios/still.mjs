// What a row shows and has read out over time, each text once: for `seconds`, or else until it says something else.
import { setTimeout as sleep } from 'node:timers/promises';

const watch = text => {
  const said = [];
  const look = () => {
    for (const row of document.querySelectorAll('.part.sidebar .monaco-list-row')) {
      const now = `${row.getAttribute('aria-label')} | ${row.textContent}`;
      if (row.textContent.includes(text) && said.at(-1) !== now) said.push(now);
    }
  };
  look();
  new MutationObserver(look).observe(document.querySelector('.part.sidebar'), {
    subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['aria-label'],
  });
  window.codexSaid = said;
};

export default async (vscode, { row, seconds }) => {
  const { page } = vscode;
  await vscode.openView('Codex Sidecar', vscode.tree(row));
  await page.evaluate(watch, row);
  if (seconds) await sleep(seconds * 1000);
  else await page.waitForFunction(() => window.codexSaid.length > 1);
  return page.evaluate(() => window.codexSaid);
};
