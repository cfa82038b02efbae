// A trader's story: Uniswap V2 with the code that its authors published, deployed and used with viem.
const fs = require("fs");
const viem = require("viem");
const { mnemonicToAccount } = require("viem/accounts");
const { foundry } = require("viem/chains");
const { compile } = require("./lib/compile.cjs");
const { MNEMONIC, assert, refused, story, tells, url } = require("./lib/story.cjs");

const published = (name) => {
  const { abi, bytecode } = JSON.parse(fs.readFileSync(require.resolve(name), "utf8"));
  return { abi, bytecode: bytecode.startsWith("0x") ? bytecode : `0x${bytecode}` };
};
const Factory = published("@uniswap/v2-core/build/UniswapV2Factory.json");
const Pair = published("@uniswap/v2-core/build/UniswapV2Pair.json");
const Router = published("@uniswap/v2-periphery/build/UniswapV2Router02.json");
const WETH = published("@uniswap/v2-periphery/build/WETH9.json");
const { Coin } = compile("Coin.sol", "Picture.sol", "Board.sol");
const DEADLINE = 10n ** 12n;
const ether = viem.parseEther;

/** What the pair pays for an amount, less its fee of 0.3%. */
const paid = (amount, reserveIn, reserveOut) =>
  (amount * 997n * reserveOut) / (reserveIn * 1000n + amount * 997n);

story(async () => {
  const options = { chain: foundry, transport: viem.http(url), pollingInterval: 20, cacheTime: 0 };
  const client = viem.createPublicClient(options);
  const [maker, trader] = [0, 1].map((addressIndex) =>
    viem.createWalletClient({ ...options, account: mnemonicToAccount(MNEMONIC, { addressIndex }) }));
  const [makerAddress, traderAddress] = [maker, trader].map(({ account }) => account.address);
  const mined = async (hash) => {
    const receipt = await client.waitForTransactionReceipt({ hash, timeout: 15_000 });
    assert.equal(receipt.status, "success");
    return receipt;
  };
  const deploy = async ({ abi, bytecode }, ...args) => {
    const { contractAddress } = await mined(await maker.deployContract({ abi, bytecode, args }));
    return { address: viem.getAddress(contractAddress), abi };
  };
  const write = async (wallet, contract, functionName, args, value) =>
    mined(await wallet.writeContract({ ...contract, functionName, args, value }));
  const read = (contract, functionName, ...args) =>
    client.readContract({ ...contract, functionName, args });

  const { weth, factory, router, coins } = await tells("the exchange and two coins are deployed", async () => {
    const weth = await deploy(WETH);
    const factory = await deploy(Factory, makerAddress);
    const router = await deploy(Router, factory.address, weth.address);
    const coins = [await deploy(Coin, ether("1000000")), await deploy(Coin, ether("1000000"))];
    assert.equal(await read(router, "WETH"), weth.address);
    for (const coin of coins) await write(maker, coin, "approve", [router.address, viem.maxUint256]);
    return { weth, factory, router, coins };
  });
  const [a, b] = coins;

  const pair = await tells("liquidity makes a pair where CREATE2 says", async () => {
    const amounts = [ether("1000"), ether("4000")];
    const args = [a.address, b.address, ...amounts, 0n, 0n, makerAddress, DEADLINE];
    const receipt = await write(maker, router, "addLiquidity", args);
    const [created] = viem.parseEventLogs({ abi: Factory.abi, logs: receipt.logs, eventName: "PairCreated" });
    const [token0, token1] = [a.address, b.address].sort((x, y) => (BigInt(x) < BigInt(y) ? -1 : 1));
    const address = viem.getContractAddress({
      opcode: "CREATE2", from: factory.address, bytecode: Pair.bytecode,
      salt: viem.keccak256(viem.encodePacked(["address", "address"], [token0, token1])),
    });
    assert.deepEqual(created.args, [token0, token1, address, 1n]);
    assert.equal(await read(factory, "getPair", a.address, b.address), address);
    const pair = { address, abi: Pair.abi };
    // The first thousand shares are nobody's.
    assert.equal(await read(pair, "balanceOf", makerAddress), ether("2000") - 1000n);
    return pair;
  });
  /** The reserves, that of coin `a` first. */
  const reserves = async (blockNumber) => {
    const all = await client.readContract({ ...pair, functionName: "getReserves", blockNumber });
    const sorted = (await read(pair, "token0")) === a.address ? [all[0], all[1]] : [all[1], all[0]];
    return { a: sorted[0], b: sorted[1], time: all[2] };
  };

  await tells("a swap moves the reserves as the formula says", async () => {
    const before = await reserves();
    assert.deepEqual([before.a, before.b], [ether("1000"), ether("4000")]);
    const amount = ether("10");
    const expected = paid(amount, before.a, before.b);
    const path = [a.address, b.address];
    assert.deepEqual(await read(router, "getAmountsOut", amount, path), [amount, expected]);
    const args = [amount, expected, path, traderAddress, DEADLINE];
    const receipt = await write(maker, router, "swapExactTokensForTokens", args);
    assert.equal(await read(b, "balanceOf", traderAddress), expected);
    const after = await reserves();
    assert.deepEqual([after.a, after.b], [before.a + amount, before.b - expected]);
    const { timestamp } = await client.getBlock({ blockHash: receipt.blockHash });
    assert.equal(BigInt(after.time), timestamp % 2n ** 32n);
    const old = await reserves(receipt.blockNumber - 1n);
    assert.deepEqual([old.a, old.b], [before.a, before.b]);
  });

  await tells("ether is wrapped, paired and traded", async () => {
    const value = ether("50");
    const args = [a.address, ether("5000"), 0n, 0n, makerAddress, DEADLINE];
    await write(maker, router, "addLiquidityETH", args, value);
    assert.equal(await client.getBalance({ address: weth.address }), value);
    // Ether for coin b, over two pairs.
    const path = [weth.address, a.address, b.address];
    const sent = ether("1");
    const amounts = await read(router, "getAmountsOut", sent, path);
    const held = await read(b, "balanceOf", traderAddress);
    await write(trader, router, "swapExactETHForTokens", [0n, path, traderAddress, DEADLINE], sent);
    assert.equal(await read(b, "balanceOf", traderAddress), held + amounts[2]);
    // And back.
    await write(trader, b, "approve", [router.address, viem.maxUint256]);
    const back = await read(router, "getAmountsOut", amounts[2], [...path].reverse());
    const balance = await client.getBalance({ address: traderAddress });
    const { gasUsed, effectiveGasPrice } = await write(trader, router, "swapExactTokensForETH",
      [amounts[2], 0n, [...path].reverse(), traderAddress, DEADLINE]);
    const now = await client.getBalance({ address: traderAddress });
    assert.equal(now, balance + back[2] - gasUsed * effectiveGasPrice);
    assert.ok(back[2] < sent, "nobody trades for nothing");
  });

  await tells("bad trades are refused with their reason", async () => {
    const trade = (minimum, deadline) => client.simulateContract({
      ...router, functionName: "swapExactTokensForTokens", account: makerAddress,
      args: [ether("1"), minimum, [a.address, b.address], makerAddress, deadline],
    });
    const reason = async (promise) => (await refused(promise)).walk((error) => error.reason)?.reason;
    assert.equal(await reason(trade(ether("100"), DEADLINE)), "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT");
    assert.equal(await reason(trade(0n, 1n)), "UniswapV2Router: EXPIRED");
    const swap = client.simulateContract({
      ...pair, functionName: "swap", account: makerAddress, args: [0n, 1n, makerAddress, "0x"],
    });
    assert.equal(await reason(swap), "UniswapV2: INSUFFICIENT_INPUT_AMOUNT");
  });

  await tells("a hundred swaps in a row", async () => {
    let nonce = await client.getTransactionCount({ address: makerAddress });
    const hashes = [];
    for (let count = 0; count < 100; count++) {
      const path = count % 2 === 0 ? [a.address, b.address] : [b.address, a.address];
      const args = [ether("1"), 0n, path, makerAddress, DEADLINE];
      hashes.push(maker.writeContract({
        ...router, functionName: "swapExactTokensForTokens", args, nonce: nonce++, gas: 300_000n,
      }));
    }
    for (const hash of hashes) await mined(await hash);
  });

  await tells("the history tells the reserves", async () => {
    const events = (eventName) => client.getContractEvents({ ...pair, eventName, fromBlock: 0n });
    const swaps = await events("Swap");
    assert.equal(swaps.length, 1 + 2 + 100);
    const syncs = await events("Sync");
    const last = syncs.at(-1).args;
    const [reserve0, reserve1] = await read(pair, "getReserves");
    assert.deepEqual([last.reserve0, last.reserve1], [reserve0, reserve1]);
    let [r0, r1] = [syncs[0].args.reserve0, syncs[0].args.reserve1];
    for (const { args } of swaps) {
      r0 += args.amount0In - args.amount0Out;
      r1 += args.amount1In - args.amount1Out;
    }
    assert.deepEqual([r0, r1], [reserve0, reserve1]);
  });

  await tells("the shares are given back", async () => {
    const shares = await read(pair, "balanceOf", makerAddress);
    await write(maker, pair, "approve", [router.address, viem.maxUint256]);
    const now = await reserves();
    const args = [a.address, b.address, shares, 0n, 0n, makerAddress, DEADLINE];
    const held = await read(a, "balanceOf", makerAddress);
    await write(maker, router, "removeLiquidity", args);
    const left = await reserves();
    assert.equal(await read(a, "balanceOf", makerAddress), held + now.a - left.a);
    assert.equal(await read(pair, "totalSupply"), 1000n);
    assert.ok(left.a < now.a / 1000n);
  });
});
