// How often VS Code asks the extension for which row, and for whose children, from when the file `go` lets a worker go on
// until a row shows `shows`; ids are without the repository. With `folder` it opens that first, and expands rows.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../harness.mjs';

const take = vscode => vscode.inHost(({ asked }) => {
  const own = ids => ids.splice(0).map(id => id.replace(/^[^:]*:/, ''));
  return { items: own(asked.items), children: own(asked.children) };
});

async function prepare(vscode, folder, expand) {
  await vscode.open({ folder });
  await vscode.inHost(() => null); // It must be there before the view, to see what is asked.
  for (const text of expand) {
    const row = vscode.tree(text);
    await vscode.openView('Codex Sidecar', row);
    const open = vscode.page.locator('.part.sidebar .monaco-list-row[aria-expanded="true"]').filter({ hasText: text }).first();
    await vscode.actUntil(() => row.locator('.monaco-tl-twistie').click({ timeout: 5000 }), open);
  }
  await until(async () => (await take(vscode)).children.includes(''), 'the view is asked for its rows');
}

export default async (vscode, { folder, expand, go, shows }) => {
  if (folder) await prepare(vscode, folder, expand);
  await until(async () => (await sleep(1000), await take(vscode)).items.length === 0, 'the view is at rest');
  fs.writeFileSync(go, '');
  await vscode.tree(shows).waitFor();
  await sleep(500); // What asks for more than it needs does so right then.
  return take(vscode);
};
