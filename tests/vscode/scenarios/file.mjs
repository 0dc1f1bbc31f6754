// A folder, and in it a file that is in conflict.
export default async (vscode, { folder, path }) => {
  await vscode.open({ folder, file: path });
  await vscode.editor(path).locator('.codelens-decoration').first().waitFor();
};
