// Leaves the folder, so that its extension host ends.
export default async vscode => {
  await vscode.page.goto('about:blank');
};
