// The same requests to anvil (started with --steps-tracing) and to the node, and their replies compared field by field.
//
//     node differential.cjs <anvil's URL> <the node's URL> [--all]
//
// What may differ is listed in `differential/accepted.cjs`, each with its reason. Where anvil does not
// answer as geth does, the request names geth's answer, and the node is held to that alone.
const { Both } = require("./differential/both.cjs");
const { tick } = require("./differential/world.cjs");
const accepted = require("./differential/accepted.cjs");

const [anvilUrl, nodeUrl] = process.argv.slice(2);

async function main() {
  const both = new Both(anvilUrl, nodeUrl, accepted);
  for (const part of ["chain", "send", "call", "logs", "trace", "powers", "refuse"]) {
    both.part = part;
    const id = await both.rpc("evm_snapshot");
    try {
      // The same time, and the same base fee from here on.
      await both.rpc("anvil_setNextBlockBaseFeePerGas", ["0x3b9aca00"]);
      await tick(both);
      await both.rpc("evm_mine");
      await require(`./differential/${part}.cjs`)(both);
    } catch (error) {
      both.differs("the rest of the part", { anvil: "(comes to its end)", node: error.message });
    }
    await both.rpc("evm_revert", [id]);
  }
  process.exitCode = both.report(process.argv.includes("--all")) ? 0 : 1;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
