import tseslint from "typescript-eslint";

export default tseslint.config({ ignores: ["dist", "node_modules", "*.mjs"] }, ...tseslint.configs.strictTypeChecked, {
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  rules: {
    // Numbers are what most texts are made of here.
    "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    // A listener of one call is an arrow.
    "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    // node:test's functions return promises that its runner awaits.
    "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: ["test"] }] }],
  },
});
