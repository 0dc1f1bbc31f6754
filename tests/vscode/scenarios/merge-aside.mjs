// While a file is merged, the file itself offers nothing else to do about its conflict; then the merge is shown again.
import { setTimeout as sleep } from 'node:timers/promises';

/** Lenses that VS Code knows from before are drawn first, and new ones come within this time. */
const LENS_MS = 2_000;

export default async (vscode, { path }) => {
  const tab = name => vscode.page.locator(`.tabs-container .tab[aria-label^="${name}"]`);
  const file = path.split('/').at(-1);
  await tab(file).click();
  await vscode.editor(path).locator('.squiggly-warning').first().waitFor();
  const lens = vscode.editor(path).locator('.codelens-decoration');
  await lens.first().waitFor({ state: 'detached' });
  await sleep(LENS_MS);
  const lenses = await lens.count();
  await tab(`Merging: ${file}`).click();
  await vscode.page.locator('.merge-editor').waitFor();
  return lenses;
};
