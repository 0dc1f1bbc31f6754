// Runs inside the extension host, for tests only: what a scenario gives to `inHost` is evaluated here, with the whole
// API of VS Code; and it counts what VS Code asks of the view of the extension under test. The file that CODEX_SIDECAR_TEST_HOST
// names says where the extension host of the newest window listens.
const fs = require('node:fs');
const http = require('node:http');
const Module = require('node:module');
const vscode = require('vscode');

/** How often VS Code has asked the view for a row, by the row's id, and for children, by the parent's. */
const asked = { items: [], children: [] };

/** A copy of `object`, whose members VS Code may have frozen, with some of them replaced. */
const replaced = (object, members) => Object.create(Object.getPrototypeOf(object), {
  ...Object.getOwnPropertyDescriptors(object),
  ...Object.fromEntries(Object.entries(members).map(([name, value]) => [name, { value, enumerable: true }])),
});

const ids = new WeakMap();
const counting = provider => replaced(provider, {
  getTreeItem: node => {
    const item = provider.getTreeItem(node);
    ids.set(node, item.id);
    asked.items.push(item.id);
    return item;
  },
  getChildren: node => {
    asked.children.push(node ? ids.get(node) : '');
    return provider.getChildren(node);
  },
});

const watched = api => replaced(api, {
  window: replaced(api.window, {
    createTreeView: (id, options) => api.window.createTreeView(id, { ...options, treeDataProvider: counting(options.treeDataProvider) }),
  }),
});

// Every extension has an API object of its own, so it must be caught where the extension under test asks for it.
const load = Module._load;
Module._load = function (request, parent, ...rest) {
  const loaded = load.call(this, request, parent, ...rest);
  return request === 'vscode' && parent?.filename?.includes('codex-sidecar.codex-sidecar-') ? watched(loaded) : loaded;
};

async function evaluate(request) {
  let body = '';
  for await (const part of request) body += part;
  const { code, facts } = JSON.parse(body);
  return new Function(`return (${code})`)()({ vscode, asked }, facts);
}

exports.activate = context => {
  const server = http.createServer((request, response) => {
    const answer = told => response.end(JSON.stringify(told));
    evaluate(request).then(value => answer({ value: value ?? null }), error => answer({ error: String(error.stack ?? error) }));
  });
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1', () => {
    const file = process.env.CODEX_SIDECAR_TEST_HOST;
    fs.writeFileSync(`${file}.new`, String(server.address().port));
    fs.renameSync(`${file}.new`, file);
  });
  context.subscriptions.push({ dispose: () => server.close() });
};
