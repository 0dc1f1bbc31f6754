// The MCP server that the extension offers to chat agents: VS Code lists it, starts it and asks it for its tools.
export default async (vscode, { server }) => {
  const row = vscode.quickRow(server);
  await vscode.command('MCP: List Servers', row);
  await row.click();
  const start = vscode.quickRow('Start Server');
  await start.waitFor();
  await start.click();
  const found = vscode.page.locator('.output-view .view-line, .panel .view-line').filter({ hasText: /Discovered\s\d+\stools/ }).first();
  await found.waitFor();
  await vscode.command('MCP: List Servers', row.filter({ hasText: 'Running' }));
  await vscode.shot('mcp-running');
  await vscode.page.keyboard.press('Escape');
  return Number(/Discovered (\d+) tools/.exec((await found.innerText()).replace(/\u00a0/g, ' '))[1]);
};
