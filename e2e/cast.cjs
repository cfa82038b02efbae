// An operator's story with cast: everything by hand, from a terminal.
const { compile } = require("./lib/compile.cjs");
const { runner } = require("./lib/foundry.cjs");
const { MNEMONIC, assert, refused, story, tells } = require("./lib/story.cjs");

const { bytecode } = compile("Coin.sol", "Picture.sol", "Board.sol").Board;
const cast = runner("cast");
const json = async (...args) => JSON.parse(await cast(...args, "--json"));

story(async () => {
  const at = (index) => ["--mnemonic", MNEMONIC, "--mnemonic-index", index];
  const [alice, bob] = await Promise.all([0, 1].map((index) => cast("wallet", "address", ...at(index))));
  const key = await cast("wallet", "private-key", MNEMONIC, 0);
  const signer = ["--private-key", key];

  await tells("the chain", async () => {
    assert.equal(await cast("chain-id"), "31337");
    assert.equal(await cast("block-number"), "0");
    assert.equal(await cast("balance", alice, "--ether"), "10000.000000000000000000");
    assert.equal(await cast("nonce", alice), "0");
    assert.match(await cast("client"), /\//);
    assert.ok(BigInt(await cast("gas-price")) >= BigInt(await cast("base-fee")));
    assert.equal((await json("block", "latest")).number, "0x0");
    assert.equal(await cast("rpc", "net_version"), '"31337"');
    assert.match(await cast("age"), /20\d\d/);
  });

  const board = await tells("cast send --create", async () => {
    const constructor = await cast("abi-encode", "constructor(address)", alice);
    const receipt = await json("send", ...signer, "--create", bytecode + constructor.slice(2));
    assert.equal(receipt.status, "0x1");
    const computed = await cast("compute-address", alice, "--nonce", 0);
    assert.equal(receipt.contractAddress.toLowerCase(), computed.split(" ").at(-1).toLowerCase());
    assert.ok(Number(await cast("codesize", receipt.contractAddress)) > 500);
    return receipt.contractAddress;
  });

  const sent = await tells("cast send and cast call", async () => {
    const receipt = await json("send", ...signer, board, "post(string)", "by hand");
    assert.equal(receipt.status, "0x1");
    assert.equal(await cast("call", board, "count()(uint256)"), "1");
    const note = await cast("call", board, "notes(uint256)(address,string)", 0);
    assert.deepEqual(note.split("\n"), [alice, '"by hand"']);
    assert.equal(await cast("storage", board, 1), "0x".padEnd(65, "0") + "1");
    assert.match(await cast("call", board, "divide(uint256,uint256)(uint256)", 84, 2), /^42/);
    return receipt.transactionHash;
  });

  await tells("what was sent is found again", async () => {
    const transaction = await json("tx", sent);
    assert.equal(transaction.blockNumber, "0x2");
    const receipt = await json("receipt", sent);
    assert.equal(receipt.logs.length, 1);
    const logs = await json("logs", "--from-block", 0, "--address", board,
      "Posted(uint256 indexed,address indexed,string)", "0", alice);
    assert.deepEqual(logs.map((log) => log.transactionHash), [sent]);
    const block = await json("block", 2, "--full");
    assert.equal(block.transactions[0].hash, sent);
    assert.equal(await cast("block", 2, "-f", "hash"), receipt.blockHash);
  });

  await tells("cast run shows what happened inside", async () => {
    const trace = await cast("run", sent, "--quick");
    assert.match(trace, /post|8ee93cf3/);
    assert.match(trace, /Posted|emit/);
    assert.match(trace, /Transaction successfully executed/);
    assert.match(await cast("call", board, "count()(uint256)", "--trace"), /Traces:/);
  });

  await tells("estimates and access lists", async () => {
    const gas = Number(await cast("estimate", board, "post(string)", "how much?", "--from", alice));
    assert.ok(gas > 50_000 && gas < 150_000);
    assert.match(await cast("access-list", board, "count()", "--from", alice), /gas used|accessList|0x0{63}1/i);
  });

  await tells("refusals", async () => {
    const long = await refused(cast("call", board, "post(string)", "x".repeat(40)));
    const selector = await cast("sig", "TooLong(uint256,uint256)");
    assert.ok(long.message.includes(selector) || /TooLong/.test(long.message), long.message);
    const gift = await refused(cast("send", ...signer, board, "post(string)", "x", "--value", 13));
    assert.match(gift.message, /an unlucky gift/);
    const poor = await refused(cast("send", ...signer, bob, "--value", "99999ether"));
    assert.match(poor.message, /insufficient funds/i);
    const unknown = await refused(cast("rpc", "eth_doesNotExist"));
    assert.match(unknown.message, /-32601|not found/i);
  });

  await tells("every type of transaction", async () => {
    const legacy = await json("send", ...signer, bob, "--value", "1gwei", "--legacy");
    assert.equal(legacy.type, "0x0");
    const dynamic = await json("send", ...signer, bob, "--value", "1gwei");
    assert.equal(dynamic.type, "0x2");
    const lent = await json("send", ...at(1), bob, "--auth", board);
    assert.equal(lent.type, "0x4");
    assert.equal(await cast("code", bob), `0xef0100${board.slice(2).toLowerCase()}`);
  });

  await tells("signed here, published later", async () => {
    const raw = await cast("mktx", ...signer, bob, "--value", 7);
    const { value, hash } = JSON.parse(await json("decode-transaction", raw));
    assert.equal(value, "0x7");
    const receipt = JSON.parse(await cast("publish", raw));
    assert.deepEqual([receipt.transactionHash, receipt.status], [hash, "0x1"]);
    const again = await refused(cast("publish", raw));
    assert.match(again.message, /nonce too low|already known|already imported/i);
  });

  await tells("the node signs", async () => {
    const receipt = await json("send", "--unlocked", "--from", bob, alice, "--value", 1);
    assert.equal(receipt.from.toLowerCase(), bob.toLowerCase());
    const message = await cast("rpc", "personal_sign", "0x68656c6c6f", alice).catch(() =>
      cast("rpc", "eth_sign", alice, "0x68656c6c6f"));
    assert.equal(JSON.parse(message), await cast("wallet", "sign", "hello", ...signer));
  });

  await tells("powers over the chain", async () => {
    const before = Number(await cast("block-number"));
    await cast("rpc", "anvil_mine", "0x5");
    assert.equal(Number(await cast("block-number")), before + 5);
    await cast("rpc", "anvil_setBalance", bob, "0x2a");
    assert.equal(await cast("balance", bob), "42");
    // A proof is of a block.
    await cast("rpc", "evm_mine");
    const proof = JSON.parse(await cast("rpc", "eth_getProof", bob, "[]", "latest"));
    assert.equal(proof.balance, "0x2a");
    assert.match(await cast("tx-pool", "status"), /pending/);
  });
});
