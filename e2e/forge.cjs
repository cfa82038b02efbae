// A contract developer's story with forge: a script that deploys, `forge create`, and tests on a fork.
const fs = require("fs");
const os = require("os");
const path = require("path");
const { runner } = require("./lib/foundry.cjs");
const { assert, refused, rpc, story, tells, url } = require("./lib/story.cjs");

// The first account of the well-known mnemonic.
const KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const SOLC = path.join(__dirname, "lib", "solc.cjs");

story(async () => {
  const project = fs.mkdtempSync(path.join(os.tmpdir(), "polity-forge-"));
  process.on("exit", () => fs.rmSync(project, { recursive: true, force: true }));
  fs.cpSync(path.join(__dirname, "foundry"), project, { recursive: true });
  const forge = (...args) => runner("forge", { cwd: project })(...args);

  await tells("forge build", () => forge("build", "--use", SOLC));

  const script = async (...flags) => {
    const output = await forge("script", "script/Deploy.s.sol", "--use", SOLC, "--rpc-url", url,
      "--private-key", KEY, "--broadcast", ...flags);
    assert.match(output, /ONCHAIN EXECUTION COMPLETE/);
    const file = path.join(project, "broadcast", "Deploy.s.sol", "31337", "run-latest.json");
    const { transactions, receipts } = JSON.parse(fs.readFileSync(file, "utf8"));
    assert.equal(transactions.length, 10);
    for (const { status } of receipts) assert.equal(status, "0x1");
    return { transactions, receipts };
  };

  await tells("forge script --broadcast", async () => {
    await script();
    const gift = await rpc("eth_getBalance", "0x000000000000000000000000000000000000bEEF", "latest");
    assert.equal(gift, "0xde0b6b3a7640000");
  });

  const deployed = await tells("forge script --broadcast --slow", async () => {
    const { transactions, receipts } = await script("--slow");
    const made = (name) => transactions.find(({ contractName, transactionType }) =>
      contractName === name && transactionType === "CREATE").contractAddress;
    const first = receipts.find(({ contractAddress }) => contractAddress?.toLowerCase() === made("Counter").toLowerCase());
    return { COUNTER: made("Counter"), FACTORY: made("Factory"), FIRST: BigInt(first.blockNumber).toString() };
  });

  await tells("forge create", async () => {
    const output = await forge("create", "src/Counter.sol:Counter", "--use", SOLC, "--rpc-url", url,
      "--private-key", KEY, "--broadcast", "--json", "--constructor-args", 7);
    const { deployedTo } = JSON.parse(output);
    const number = await rpc("eth_call", { to: deployedTo, data: "0x8381f58a" }, "latest");
    assert.equal(BigInt(number), 7n);
    const wrong = await refused(forge("create", "src/Counter.sol:Counter", "--use", SOLC, "--rpc-url", url,
      "--private-key", `0x${"11".repeat(32)}`, "--broadcast", "--constructor-args", 7));
    assert.match(wrong.message, /insufficient funds/i);
  });

  await tells("forge test --fork-url", async () => {
    const block = BigInt(await rpc("eth_blockNumber")).toString();
    const env = { ...process.env, ...deployed, BLOCK: block, RPC: url, NO_COLOR: "1" };
    const test = runner("forge", { cwd: project, env });
    const output = await test("test", "--use", SOLC, "--fork-url", url, "--no-storage-caching", "--json");
    const results = Object.values(JSON.parse(output)).flatMap(({ test_results }) => Object.entries(test_results));
    assert.equal(results.length, 5);
    for (const [name, { status, reason }] of results) assert.equal(status, "Success", `${name}: ${reason}`);
  });
});
