// Takes one JSON request a line on stdin, {scenario, name, ...facts}, and answers one JSON line for each on stdout:
// {ok: true, value} or {ok: false, error}. The scenario is the default export of scenarios/<scenario>.mjs. One VS Code
// serves them all; a picture of how each one ended lies in the directory `shots`. The end of stdin stops everything.
import readline from 'node:readline';
import { VSCode } from './harness.mjs';

const options = JSON.parse(process.argv[2]);
const vscode = new VSCode(options);
const say = answer => process.stdout.write(`${JSON.stringify(answer)}\n`);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => void vscode.stop().then(() => process.exit(1)));
}

try {
  await vscode.start();
  say({ ok: true });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { scenario, name, ...facts } = JSON.parse(line);
    try {
      const { default: play } = await import(`./scenarios/${scenario}.mjs`);
      const value = await play(vscode, facts);
      await vscode.shot(name);
      say({ ok: true, value: value ?? null });
    } catch (error) {
      await vscode.shot(`FAILED-${name}`).catch(() => undefined); // The first error is the one to tell.
      vscode.saveLogs(`${options.shots}/logs-${name}`);
      say({ ok: false, error: String(error.stack ?? error) });
    }
  }
} catch (error) {
  say({ ok: false, error: String(error.stack ?? error) });
  process.exitCode = 1;
} finally {
  await vscode.stop();
}
