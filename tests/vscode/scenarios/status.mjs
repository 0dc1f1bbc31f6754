// Waits until the status item says `text`, or is away where there is none. Tells what a screen reader is told of it.
export default async (vscode, { text }) => {
  const item = vscode.status('codex-sidecar.codex-sidecar.codexSidecar.status');
  if (!text) {
    await item.waitFor({ state: 'hidden' });
    return null;
  }
  const saying = item.filter({ hasText: text });
  await saying.waitFor();
  return saying.locator('a').first().getAttribute('aria-label');
};
