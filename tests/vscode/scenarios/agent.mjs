// What an agent of VS Code does when its model calls a tool of an MCP server. `confirm`: the title of the question that
// VS Code asks the person first; the answer is yes. Without it nothing may be asked.
export default async (vscode, { tool, input, confirm }) => {
  const call = vscode.inHost(async ({ vscode: api }, { tool, input }) => {
    const named = () => api.lm.tools.map(one => one.name).filter(name => name.endsWith(`_${tool}`));
    // The extension host hears of a server's tools after the window has listed them.
    for (let i = 0; i < 600 && !named().length; i++) await new Promise(resolve => setTimeout(resolve, 100));
    const names = named();
    if (names.length !== 1) throw new Error(`${names.length} tools ${tool} among ${api.lm.tools.map(one => one.name)}`);
    const { content } = await api.lm.invokeTool(names[0], { input, toolInvocationToken: undefined });
    return content.map(part => part.value);
  }, { tool, input });
  const asked = vscode.dialog().waitFor().then(() => vscode.dialog().innerText());
  asked.catch(() => undefined); // Nothing was asked until the window closed.
  const first = await Promise.race([call, asked.then(question => ({ question }))]);
  if (Boolean(confirm) !== 'question' in first) throw new Error(`asked: ${first.question ?? 'nothing'}`);
  if (confirm) {
    if (!first.question.includes(confirm)) throw new Error(`asked: ${first.question}`);
    await vscode.shot(`agent-${tool}-asked`);
    await vscode.button('Yes').click();
  }
  return call;
};
