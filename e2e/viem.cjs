// A front end's story with viem, over HTTP and WebSocket, and a test suite's with its test client.
const viem = require("viem");
const { mnemonicToAccount, privateKeyToAccount, generatePrivateKey } = require("viem/accounts");
const { foundry } = require("viem/chains");
const { compile } = require("./lib/compile.cjs");
const { MNEMONIC, assert, isAnvil, refused, rpc, story, tells, until, url, wsUrl } = require("./lib/story.cjs");

const { abi, bytecode } = compile("Board.sol").Board;
const { parseEther, parseGwei } = viem;
const ether = parseEther;

story(async () => {
  const chain = foundry;
  const accounts = [0, 1, 2].map((addressIndex) => mnemonicToAccount(MNEMONIC, { addressIndex }));
  const [account, friend, stranger] = accounts;
  const options = { chain, transport: viem.http(url), pollingInterval: 50, cacheTime: 0 };
  const client = viem.createPublicClient(options);
  const wallet = viem.createWalletClient({ ...options, account });
  const test = viem.createTestClient({ ...options, mode: "anvil" });
  const socket = viem.createPublicClient({ chain, transport: viem.webSocket(wsUrl) });
  const mined = async (hash) => {
    const receipt = await client.waitForTransactionReceipt({ hash, timeout: 15_000 });
    assert.equal(receipt.status, "success");
    return receipt;
  };
  const cause = async (promise, kind) => {
    const error = await refused(promise);
    const found = error.walk((inner) => inner instanceof kind);
    assert.ok(found, `no ${kind.name}: ${error.message}`);
    return found;
  };

  await tells("the chain and its funded accounts", async () => {
    assert.equal(await client.getChainId(), 31337);
    const addresses = await wallet.getAddresses();
    assert.equal(addresses[0], account.address);
    assert.equal((await wallet.request({ method: "eth_accounts" })).length, 10);
    assert.equal(await client.getBalance({ address: friend.address }), ether("10000"));
    const block = await client.getBlock({ blockNumber: 0n });
    assert.ok(block.gasLimit >= 30_000_000n && block.baseFeePerGas > 0n);
  });

  const board = await tells("a contract is deployed and its receipt awaited", async () => {
    const args = [account.address];
    const hash = await wallet.deployContract({ abi, bytecode, args });
    const receipt = await mined(hash);
    const from = { from: account.address, nonce: 0n };
    assert.equal(receipt.contractAddress, viem.getContractAddress(from).toLowerCase());
    const address = viem.getAddress(receipt.contractAddress);
    assert.ok((await client.getCode({ address })).length > 1000);
    const transaction = await client.getTransaction({ hash });
    assert.equal(transaction.blockNumber, receipt.blockNumber);
    assert.equal(transaction.type, "eip1559");
    const at = { address, abi };
    return { at, ...viem.getContract({ ...at, client: { public: client, wallet } }) };
  });

  await tells("a write is simulated, sent and seen", async () => {
    const { request, result } = await client.simulateContract({
      ...board.at, functionName: "post", args: ["hello"], account, value: 5n,
    });
    assert.equal(result, 0n);
    const receipt = await mined(await wallet.writeContract(request));
    const [log] = viem.parseEventLogs({ abi, logs: receipt.logs, eventName: "Posted" });
    assert.deepEqual(log.args, { id: 0n, author: account.address, text: "hello" });
    assert.deepEqual(await board.read.notes([0n]), [account.address, "hello"]);
    assert.equal(await client.getBalance({ address: board.address }), 5n);
    const slot = await client.getStorageAt({ address: board.address, slot: "0x0" });
    assert.equal(viem.getAddress(viem.slice(slot, 12)), account.address);
  });

  await tells("refusals are decoded", async () => {
    const write = (functionName, args, value) =>
      client.simulateContract({ ...board.at, functionName, args, account, value });
    const reverted = async (promise) =>
      (await cause(promise, viem.ContractFunctionRevertedError)).data ?? {};
    const long = await reverted(write("post", ["x".repeat(40)]));
    assert.deepEqual([long.errorName, long.args], ["TooLong", [40n, 32n]]);
    const unlucky = await cause(write("post", ["x"], 13n), viem.ContractFunctionRevertedError);
    assert.equal(unlucky.reason, "an unlucky gift");
    assert.equal((await reverted(board.read.divide([1n, 0n]))).args[0], 0x12n);
    await cause(board.read.notes([99n]), viem.ContractFunctionRevertedError);
    const estimate = client.estimateContractGas({ ...board.at, functionName: "post", args: ["x"], account, value: 13n });
    assert.match((await refused(estimate)).message, /an unlucky gift/);
    const deploy = wallet.deployContract({ abi, bytecode, args: [viem.zeroAddress] });
    assert.match((await refused(deploy)).message, /an owner is needed/);
  });

  await tells("what cannot be sent is named", async () => {
    const send = (fields) => wallet.sendTransaction({ to: friend.address, gas: 21_000n, ...fields });
    const nonce = await client.getTransactionCount({ address: account.address });
    await cause(send({ value: ether("20000") }), viem.InsufficientFundsError);
    await cause(send({ nonce: nonce - 1 }), viem.NonceTooLowError);
    await cause(send({ gas: 20_000n }), viem.IntrinsicGasTooLowError);
    await cause(send({ gas: 1n << 40n }), viem.BaseError);
    const pauper = privateKeyToAccount(generatePrivateKey());
    await cause(wallet.sendTransaction({ account: pauper, to: friend.address, value: 1n }), viem.InsufficientFundsError);
    assert.equal(await client.getTransactionCount({ address: account.address }), nonce);
  });

  await tells("fees are estimated", async () => {
    const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
    const { baseFeePerGas } = await client.getBlock();
    assert.ok(maxFeePerGas >= baseFeePerGas && maxPriorityFeePerGas <= maxFeePerGas);
    assert.ok((await client.getGasPrice()) >= baseFeePerGas);
    const gas = await client.estimateGas({ account, to: friend.address, value: 1n });
    assert.equal(gas, 21_000n);
    const blocks = 2;
    const history = await client.getFeeHistory({ blockCount: blocks, rewardPercentiles: [25, 75] });
    assert.equal(history.baseFeePerGas.length, blocks + 1);
    assert.equal(history.gasUsedRatio.length, blocks);
    assert.deepEqual(history.reward.map((row) => row.length), [2, 2]);
    assert.ok((await client.getBlobBaseFee()) >= 1n);
  });

  await tells("every type of transaction", async () => {
    const to = stranger.address;
    const gasPrice = parseGwei("3");
    const { accessList, gasUsed } = await client.createAccessList({
      account, to: board.address, data: viem.encodeFunctionData({ abi, functionName: "post", args: ["list"] }),
    });
    assert.equal(accessList[0].address.toLowerCase(), board.address.toLowerCase());
    assert.ok(accessList[0].storageKeys.length >= 1 && gasUsed > 21_000n);
    const sent = {
      legacy: { to, value: 1n, gasPrice, type: "legacy" },
      eip2930: { to: board.address, gasPrice, accessList, type: "eip2930",
        data: viem.encodeFunctionData({ abi, functionName: "post", args: ["list"] }) },
      eip1559: { to, value: 1n, maxFeePerGas: parseGwei("5"), maxPriorityFeePerGas: 7n },
    };
    for (const [type, fields] of Object.entries(sent)) {
      const receipt = await mined(await wallet.sendTransaction(fields));
      const transaction = await client.getTransaction({ hash: receipt.transactionHash });
      assert.deepEqual([receipt.type, transaction.type], [type, type]);
      const price = type === "eip1559"
        ? (await client.getBlock({ blockHash: receipt.blockHash })).baseFeePerGas + 7n : gasPrice;
      assert.equal(receipt.effectiveGasPrice, price);
    }
  });

  await tells("an account lends itself code (EIP-7702)", async () => {
    const signed = viem.createWalletClient({ ...options, account: friend });
    const authorization = await signed.signAuthorization({ contractAddress: board.address });
    const receipt = await mined(await wallet.sendTransaction({
      authorizationList: [authorization], to: friend.address,
      data: viem.encodeFunctionData({ abi, functionName: "post", args: ["lent"] }),
    }));
    assert.equal(receipt.type, "eip7702");
    assert.equal(receipt.logs[0].address, friend.address.toLowerCase());
    const code = await client.getCode({ address: friend.address });
    assert.equal(code, `0xef0100${board.address.slice(2).toLowerCase()}`);
    const { authorizationList } = await client.getTransaction({ hash: receipt.transactionHash });
    assert.equal(authorizationList[0].address, board.address.toLowerCase());
    const lent = { address: friend.address, abi, functionName: "count" };
    assert.equal(await client.readContract(lent), 1n);
  });

  await tells("events are watched and queried", async () => {
    const polled = [];
    const pushed = [];
    const heads = [];
    const pending = [];
    const event = { address: board.address, abi, eventName: "Posted" };
    const onError = (error) => { throw error; };
    const stop = [
      client.watchContractEvent({ ...event, onLogs: (logs) => polled.push(...logs), onError }),
      socket.watchContractEvent({ ...event, onLogs: (logs) => pushed.push(...logs), onError }),
      socket.watchBlocks({ onBlock: (block) => heads.push(block.number), onError }),
      socket.watchPendingTransactions({ onTransactions: (hashes) => pending.push(...hashes), onError }),
    ];
    // The subscriptions need their round trip.
    await socket.getBlockNumber();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const first = await client.getBlockNumber();
    const hashes = [];
    for (const text of ["a", "b", "c"]) {
      hashes.push((await mined(await board.write.post([text]))).transactionHash);
    }
    const texts = (logs) => logs.map((log) => log.args.text);
    await until("all were told", () =>
      polled.length >= 3 && pushed.length >= 3 && heads.length >= 3 && pending.length >= 3);
    stop.forEach((unwatch) => unwatch());
    assert.deepEqual(texts(polled), ["a", "b", "c"]);
    assert.deepEqual(texts(pushed), ["a", "b", "c"]);
    assert.deepEqual(heads.sort().slice(-3), [first + 1n, first + 2n, first + 3n]);
    assert.deepEqual(pending.slice(-3), hashes);
    const logs = await client.getContractEvents({ ...event, args: { author: account.address }, fromBlock: first + 2n });
    assert.deepEqual(texts(logs), ["b", "c"]);
    const blockHash = (await client.getBlock({ blockNumber: first + 1n })).hash;
    assert.deepEqual(texts(await client.getContractEvents({ ...event, blockHash })), ["a"]);
    const none = await client.getContractEvents({ ...event, args: { author: stranger.address }, fromBlock: 0n });
    assert.deepEqual(none, []);
  });

  await tells("many reads are one batch", async () => {
    const transport = viem.http(url, { batch: { batchSize: 100, wait: 5 } });
    const batched = viem.createPublicClient({ chain, transport });
    const ids = Array.from({ length: 100 }, (_, index) => BigInt(index));
    const sums = await Promise.all(
      ids.map((id) => batched.readContract({ ...board.at, functionName: "divide", args: [id * 7n, 7n] })));
    assert.deepEqual(sums, ids);
    const overSocket = await Promise.all(ids.map((id) =>
      socket.readContract({ ...board.at, functionName: "divide", args: [id * 7n, 7n] })));
    assert.deepEqual(overSocket, ids);
  });

  await tells("calls are simulated on another state and in a row", async () => {
    const address = viem.getAddress("0x00000000000000000000000000000000000000aa");
    const code = await client.getCode({ address: board.address });
    const stateOverride = [{ address, code, balance: 1n }];
    const read = { address, abi, functionName: "divide", args: [6n, 3n], stateOverride };
    assert.equal(await client.readContract(read), 2n);
    const to = board.address;
    const calls = [
      { account, to, abi, functionName: "post", args: ["simulated"] },
      { account, to, abi, functionName: "count" },
      { account, to, abi, functionName: "divide", args: [1n, 0n] },
    ];
    const expected = (await board.read.count()) + 1n;
    const simulations = [(await client.simulateBlocks({ blocks: [{ calls }] }))[0].calls];
    // It adds a call that deploys nothing, which geth takes and anvil does not.
    if (!(await isAnvil())) simulations.push((await client.simulateCalls({ account, calls })).results);
    for (const results of simulations) {
      assert.deepEqual(results.map(({ status }) => status), ["success", "success", "failure"]);
      assert.equal(results[1].result, expected);
    }
  });

  await tells("old blocks keep their state", async () => {
    const blockNumber = await client.getBlockNumber();
    const count = await board.read.count();
    await mined(await board.write.post(["newer"]));
    assert.equal(await board.read.count({ blockNumber }), count);
    assert.equal(await board.read.count(), count + 1n);
    const address = account.address;
    const nonce = await client.getTransactionCount({ address });
    assert.equal(await client.getTransactionCount({ address, blockNumber }), nonce - 1);
  });

  await tells("mining by hand, and the pool until then", async () => {
    await test.setAutomine(false);
    assert.equal(await test.getAutomine(), false);
    const number = await client.getBlockNumber();
    let nonce = await client.getTransactionCount({ address: account.address });
    const send = (fields) => wallet.sendTransaction({ to: stranger.address, value: 1n, gas: 21_000n, ...fields });
    const fees = (gwei) => ({ maxFeePerGas: parseGwei(`${20 * gwei}`), maxPriorityFeePerGas: parseGwei(`${gwei}`) });
    const hashes = [await send({ nonce, ...fees(2) }), await send({ nonce: nonce + 1, ...fees(1) })];
    // A gap, which waits.
    const late = await send({ nonce: nonce + 3 });
    const { pending, queued } = await test.getTxpoolStatus();
    assert.deepEqual([pending, queued], [2, 1]);
    const content = await test.getTxpoolContent();
    assert.ok(content.queued[account.address]?.[nonce + 3] ?? content.queued[account.address.toLowerCase()][nonce + 3]);
    const count = { address: account.address, blockTag: "pending" };
    assert.equal(await client.getTransactionCount(count), nonce + 2);
    assert.equal((await client.getTransaction({ hash: hashes[0] })).blockNumber, null);
    assert.match((await refused(send({ nonce, ...fees(2), value: 2n }))).message, /underpriced/);
    // A better offer takes the place of the first.
    const replacement = await send({ nonce, ...fees(3) });
    await test.mine({ blocks: 1 });
    assert.equal(await client.getBlockNumber(), number + 1n);
    const block = await client.getBlock({ includeTransactions: true });
    assert.deepEqual(block.transactions.map(({ hash }) => hash), [replacement, hashes[1]]);
    await refused(client.getTransactionReceipt({ hash: hashes[0] }));
    const dropped = await send({ account: friend, ...fees(1) });
    await test.dropTransaction({ hash: dropped });
    // Anvil drops no transaction that waits for another.
    if (await isAnvil()) await rpc("anvil_dropAllTransactions");
    else await test.dropTransaction({ hash: late });
    assert.deepEqual(await test.getTxpoolStatus(), { pending: 0, queued: 0 });
    await test.setAutomine(true);
    nonce = await client.getTransactionCount({ address: account.address });
    await mined(await send({ nonce }));
  });

  await tells("blocks at an interval", async () => {
    await test.setAutomine(false);
    await test.setIntervalMining({ interval: 1 });
    const number = await client.getBlockNumber();
    const hash = await board.write.post(["in time"]);
    await until("a block came", async () => (await client.getBlockNumber()) > number);
    await mined(hash);
    await test.setIntervalMining({ interval: 0 });
    await test.setAutomine(true);
  });

  await tells("the past comes back", async () => {
    const before = { count: await board.read.count(), number: await client.getBlockNumber() };
    const id = await test.snapshot();
    const receipt = await mined(await board.write.post(["forgotten"]));
    await test.setBalance({ address: stranger.address, value: 1n });
    await test.mine({ blocks: 5 });
    assert.equal(await client.getBlockNumber(), before.number + 6n);
    await test.revert({ id });
    assert.deepEqual({ count: await board.read.count(), number: await client.getBlockNumber() }, before);
    assert.ok((await client.getBalance({ address: stranger.address })) > 1n);
    await refused(client.getTransactionReceipt({ hash: receipt.transactionHash }));
    await mined(await board.write.post(["remembered"]));
  });

  await tells("time passes", async () => {
    const now = async () => (await client.getBlock()).timestamp;
    const start = await now();
    await test.increaseTime({ seconds: 3600 });
    await test.mine({ blocks: 1 });
    assert.ok((await now()) >= start + 3600n && (await now()) < start + 3700n);
    const timestamp = (await now()) + 1000n;
    await test.setNextBlockTimestamp({ timestamp });
    await mined(await board.write.post(["on time"]));
    assert.equal(await now(), timestamp);
    await test.mine({ blocks: 3, interval: 10 });
    assert.ok((await now()) >= timestamp + 21n);
    await test.setBlockTimestampInterval({ interval: 60 });
    const last = await now();
    await test.mine({ blocks: 2 });
    assert.equal(await now(), last + 120n);
    await test.removeBlockTimestampInterval();
    const [, time] = await board.read.surroundings({ blockTag: "latest" });
    assert.ok(time >= last + 120n);
  });

  await tells("accounts are what the test says", async () => {
    const address = viem.getAddress("0x00000000000000000000000000000000deadbeef");
    await test.setBalance({ address, value: ether("3") });
    await test.setNonce({ address, nonce: 7 });
    assert.equal(await client.getBalance({ address }), ether("3"));
    assert.equal(await client.getTransactionCount({ address }), 7);
    await test.impersonateAccount({ address });
    const hash = await wallet.sendTransaction({ account: address, to: stranger.address, value: ether("1") });
    const receipt = await mined(hash);
    assert.equal(receipt.from, address.toLowerCase());
    await test.stopImpersonatingAccount({ address });
    await refused(wallet.sendTransaction({ account: address, to: stranger.address, value: 1n }));
    const index = "0x0000000000000000000000000000000000000000000000000000000000000000";
    await test.setStorageAt({ address: board.address, index, value: viem.pad(friend.address) });
    assert.equal(await board.read.owner(), friend.address);
    const target = viem.getAddress("0x00000000000000000000000000000000000000c0");
    await test.setCode({ address: target, bytecode: "0x602a5f5260205ff3" });
    const { data } = await client.call({ to: target });
    assert.equal(viem.hexToBigInt(data), 42n);
  });

  await tells("the next block is what the test says", async () => {
    await test.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei("11") });
    await test.setCoinbase({ address: stranger.address });
    await test.mine({ blocks: 1 });
    const block = await client.getBlock();
    assert.equal(block.baseFeePerGas, parseGwei("11"));
    assert.equal(block.miner, stranger.address.toLowerCase());
    await test.setBlockGasLimit({ gasLimit: 40_000_000n });
    await test.mine({ blocks: 1 });
    assert.equal((await client.getBlock()).gasLimit, 40_000_000n);
  });

  await tells("the state goes to a file and back", async () => {
    const state = await test.dumpState();
    const count = await board.read.count();
    await test.setCode({ address: board.address, bytecode: "0x" });
    await refused(board.read.count());
    await test.loadState({ state });
    assert.equal(await board.read.count(), count);
  });

  await tells("messages are signed by the node", async () => {
    const message = "hello";
    const node = viem.createWalletClient({ ...options, account: account.address });
    const signature = await node.signMessage({ message });
    assert.equal(signature, await account.signMessage({ message }));
    const typed = {
      domain: { name: "Board", chainId: 31337 }, primaryType: "Note",
      types: { Note: [{ name: "text", type: "string" }, { name: "id", type: "uint256" }] },
      message: { text: "hello", id: 1n },
    };
    assert.equal(await node.signTypedData(typed), await account.signTypedData(typed));
    const hash = await node.sendTransaction({ to: stranger.address, value: 1n });
    await mined(hash);
  });
});
