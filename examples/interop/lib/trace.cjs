// Draws the call tree of a transaction: `polity trace`.
const { execFile } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");
const { says, url } = require("./story.cjs");

/** The `polity` binary: what `POLITY` names, or the one that was built in this repository. */
function polity() {
  const built = ["release", "debug"].map((kind) => path.join(__dirname, "../../../target", kind, "polity"));
  return [process.env.POLITY, ...built].find((file) => file && fs.existsSync(file));
}

/**
 * Draws a transaction into a file in the folder `POLITY_TRACES`, or the system's for what is temporary. Gives the
 * tree as text; nothing where there is no binary.
 */
async function trace(name, id) {
  const binary = polity();
  if (!binary) return says(`${id}: set POLITY to the binary to draw it`);
  const folder = process.env.POLITY_TRACES ?? fs.mkdtempSync(path.join(os.tmpdir(), "polity-"));
  const file = path.join(folder, `${name}.svg`);
  const args = ["trace", id, "--rpc-url", url.ethereum, "--svg", file];
  const tree = await new Promise((resolve, reject) => {
    const ended = (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(stdout));
    execFile(binary, args, { timeout: 60_000 }, ended);
  }).catch((error) => {
    // One that happens to lie there may be older than the story.
    if (process.env.POLITY) throw error;
    says(`${binary} does not draw ${id}: ${error.message.trim()}`);
  });
  if (!tree) return tree;
  says(`polity trace ${id} --svg ${file}`);
  for (const line of tree.trim().split("\n")) says(line);
  return tree;
}

module.exports = { trace };
