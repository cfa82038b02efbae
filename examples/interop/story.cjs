#!/usr/bin/env node
// Uniswap V2 trades an SPL token: with cast from Ethereum, and with a client of Solana's from Solana.
//
//   node story.cjs [URL of Ethereum's JSON-RPC] [URL of Solana's]
const fs = require("fs");
const path = require("path");
const kit = require("@solana/kit");
const system = require("@solana-program/system");
const token = require("@solana-program/token");
const viem = require("viem");
const { compile, published } = require("./lib/compile.cjs");
const { deploy } = require("./lib/deploy.cjs");
const ethereum = require("./lib/ethereum.cjs");
const gateway = require("./lib/gateway.cjs");
const solana = require("./lib/solana.cjs");
const { trace } = require("./lib/trace.cjs");
const { assert, says, shown, step, story, tells } = require("./lib/story.cjs");

const { commitment } = solana;
const { ASSOCIATED_TOKEN_PROGRAM_ADDRESS, TOKEN_PROGRAM_ADDRESS } = token;
const POLITY = "0x0000000000000000000000000000706F6C697479";
const DEADLINE = 10n ** 12n;

/** Amounts of the two tokens: GOLD is OpenZeppelin's ERC-20, SPL a mint of Solana's Token program. */
const decimals = { gold: 9, spl: 6 };
const gold = (amount) => viem.parseUnits(String(amount), decimals.gold);
const spl = (amount) => viem.parseUnits(String(amount), decimals.spl);

const bytes32 = (key) => viem.toHex(gateway.bytesOf(key));

story(async () => {
  const { Coin, Custody, IPolity, Swap } = compile("coin/Coin.sol", "Custody.sol", "Swap.sol", "Polity.sol");
  const eth = ethereum.client();
  const sol = solana.client();
  const [max, bob] = [eth.wallet(0), eth.wallet(1)];
  const [maxAddress, bobAddress] = [max, bob].map(({ account }) => account.address);
  const polity = { address: POLITY, abi: IPolity.abi };
  const look = (address) => ({ address, abi: Coin.abi });

  // What the story looks at before and after each step: filled in as things come to be.
  const watched = {};
  const balances = async () => {
    const all = await Promise.all(
      Object.entries(watched).map(async ([name, [decimals, ask]]) => [name, { amount: await ask(), decimals }]),
    );
    return Object.fromEntries(all);
  };
  const watchErc20 = (name, of, contract, owner) => {
    watched[name] = [decimals[of], () => eth.read(contract, "balanceOf", owner)];
  };
  const watchSpl = (name, of, account) => {
    watched[name] = [decimals[of], async () => {
      const found = await token.fetchMaybeToken(sol.rpc, account, { commitment });
      return found.exists ? found.data.amount : 0n;
    }];
  };
  const tokenAccount = async (owner, mint, tokenProgram = TOKEN_PROGRAM_ADDRESS) => {
    const [account] = await token.findAssociatedTokenPda({ owner, mint, tokenProgram });
    return account;
  };
  /** Makes a token account; the gateway makes those of its own, for the associated token program does not know it. */
  const makeTokenAccount = async (payer, owner, mint, tokenProgram = TOKEN_PROGRAM_ADDRESS) => {
    const programAddress =
      tokenProgram === TOKEN_PROGRAM_ADDRESS ? ASSOCIATED_TOKEN_PROGRAM_ADDRESS : tokenProgram;
    const ata = await tokenAccount(owner, mint, tokenProgram);
    return token.getCreateAssociatedTokenIdempotentInstruction(
      { payer, ata, owner, mint, tokenProgram }, { programAddress },
    );
  };

  const { ana, mint, anaTokens, held } = await tells("Solana: Ana makes a token with the Token program", async () => {
    const [ana, mint] = [await sol.wallet(100), await kit.generateKeyPairSigner()];
    const space = BigInt(token.getMintSize());
    const lamports = await sol.rpc.getMinimumBalanceForRentExemption(space).send();
    const anaTokens = await tokenAccount(ana.address, mint.address);
    const held = await gateway.custody(mint.address);
    watchSpl("SPL, Ana's token account", "spl", anaTokens);
    watchSpl("SPL, in custody", "spl", held.account);
    await step(balances, async () => {
      await sol.send(ana,
        system.getCreateAccountInstruction({
          payer: ana, newAccount: mint, lamports, space, programAddress: TOKEN_PROGRAM_ADDRESS,
        }),
        token.getInitializeMint2Instruction({
          mint: mint.address, decimals: decimals.spl, mintAuthority: ana.address,
        }),
        await makeTokenAccount(ana, ana.address, mint.address),
        // Where tokens of this mint lie in custody is an account like others: whoever deposits first pays for it.
        await makeTokenAccount(ana, held.owner, mint.address),
        token.getMintToInstruction({
          mint: mint.address, token: anaTokens, mintAuthority: ana, amount: spl(1000),
        }),
      );
      return { changes: { "SPL, Ana's token account": spl(1000) } };
    });
    says(`mint ${mint.address}`);
    return { ana, mint: mint.address, anaTokens, held };
  });

  const { view } = await tells("Solana: Ana deposits 500 SPL, for Max on Ethereum", async () => {
    const asset = gateway.assetOf(mint);
    const changes = { "SPL, Ana's token account": -spl(500), "SPL, in custody": spl(500) };
    await step(balances, async () => {
      const recipient = gateway.account.ethereum(maxAddress);
      await sol.send(ana, await gateway.deposit(ana, anaTokens, mint, spl(500), recipient));
      return { changes };
    });
    // The asset is an ERC-20 token at an address of its own, which somebody has to ask for once.
    const { request, result } = await eth.reader.simulateContract({
      ...polity, functionName: "tokenOf", args: [asset], account: maxAddress,
    });
    await eth.mined(await max.writeContract(request));
    const view = look(result);
    const about = await Promise.all(["name", "symbol", "decimals"].map((what) => eth.read(view, what)));
    assert.equal(about[2], decimals.spl);
    assert.equal(await eth.read(view, "balanceOf", maxAddress), spl(500));
    assert.equal(await eth.read(view, "totalSupply"), spl(500));
    says(`on Ethereum it is the ERC-20 token ${view.address}: ${about[0]} (${about[1]})`);
    return { view };
  });

  // Ana is known on Ethereum by the alias of her wallet, recorded so that it resolves.
  const { request, result: anaAlias } = await eth.reader.simulateContract({
    ...polity, functionName: "aliasOf", args: [gateway.MACHINE.solana, bytes32(ana.address)], account: maxAddress,
  });
  await eth.mined(await max.writeContract(request));

  const { coin, pair, router, swap, custody } = await tells("Ethereum: Max makes a market, Uniswap V2 as published", async () => {
    const weth = await eth.deploy(max, published("@uniswap/v2-periphery/build/WETH9.json"));
    const Factory = published("@uniswap/v2-core/build/UniswapV2Factory.json");
    const factory = await eth.deploy(max, Factory, maxAddress);
    const Router = published("@uniswap/v2-periphery/build/UniswapV2Router02.json");
    const router = await eth.deploy(max, Router, factory.address, weth.address);
    const coin = await eth.deploy(max, Coin, gold(1000));
    const swap = await eth.deploy(max, Swap, router.address);
    const custody = await eth.deploy(max, Custody);
    await eth.write(max, coin, "transfer", bobAddress, gold(100));
    watchErc20("GOLD, Max", "gold", coin, maxAddress);
    watchErc20("GOLD, Bob", "gold", coin, bobAddress);
    watchErc20("GOLD, Ana's alias", "gold", coin, anaAlias);
    watchErc20("SPL on Ethereum, Max", "spl", view, maxAddress);
    watchErc20("SPL on Ethereum, Ana's alias", "spl", view, anaAlias);
    // Nothing may stay behind.
    watchErc20("GOLD, Swap.sol", "gold", coin, swap.address);
    watchErc20("SPL on Ethereum, Swap.sol", "spl", view, swap.address);
    await eth.write(max, coin, "approve", router.address, viem.maxUint256);
    await eth.write(max, view, "approve", router.address, viem.maxUint256);
    let pair;
    await step(balances, async () => {
      const amounts = [gold(800), spl(400)];
      const args = [coin.address, view.address, ...amounts, 0n, 0n, maxAddress, DEADLINE];
      await eth.write(max, router, "addLiquidity", ...args);
      pair = await eth.read(factory, "getPair", coin.address, view.address);
      return { changes: { "GOLD, Max": -gold(800), "SPL on Ethereum, Max": -spl(400) } };
    });
    watchErc20("GOLD, the pair", "gold", coin, pair);
    watchErc20("SPL on Ethereum, the pair", "spl", view, pair);
    const { "GOLD, the pair": first, "SPL on Ethereum, the pair": second } = await balances();
    assert.deepEqual([first.amount, second.amount], [gold(800), spl(400)]);
    says(`the pair GOLD / SPL is ${pair}`);
    return { coin, pair, router, swap, custody };
  });

  const quote = async (amount, ...path) =>
    (await eth.read(router, "getAmountsOut", amount, path)).at(-1);
  const where = [mint, TOKEN_PROGRAM_ADDRESS, held.account, held.owner].map(bytes32);
  const signature = "swapToSolana(address,address,uint256,uint256,(bytes32,bytes32,bytes32,bytes32),bytes32)";
  const key = ["--mnemonic", ethereum.MNEMONIC, "--mnemonic-index", 1];
  const transactions = {};

  transactions.cast = await tells("cast: Bob sells GOLD for SPL, and Ana's token account on Solana is paid, in one transaction", async () => {
    await ethereum.cast("send", ...key, coin.address, "approve(address,uint256)", swap.address, gold(10));
    const { hash } = await step(balances, async () => {
      const bought = await quote(gold(10), coin.address, view.address);
      const out = await ethereum.cast("send", "--json", ...key, swap.address, signature, coin.address, view.address,
        gold(10), bought, `(${where.join(",")})`, bytes32(anaTokens));
      const receipt = JSON.parse(out);
      assert.equal(receipt.status, "0x1");
      says(`cast send ${swap.address} 'swapToSolana(...)': ${BigInt(receipt.gasUsed)} gas`);
      return { hash: receipt.transactionHash, changes: {
        "GOLD, Bob": -gold(10), "GOLD, the pair": gold(10), "SPL on Ethereum, the pair": -bought,
        "SPL, in custody": -bought, "SPL, Ana's token account": bought,
      } };
    });
    return hash;
  });

  await tells("the same to an account that is no token account: nothing happens on either side", async () => {
    await ethereum.cast("send", ...key, coin.address, "approve(address,uint256)", swap.address, gold(10));
    await step(balances, async () => {
      // With gas of our own, for an estimate would refuse to send it.
      const out = await ethereum.cast("send", "--json", ...key, "--gas-limit", 1_000_000, swap.address, signature,
        coin.address, view.address, gold(10), 0, `(${where.join(",")})`, bytes32(ana.address));
      assert.equal(JSON.parse(out).status, "0x0");
      const [mint, tokenProgram, custodyAccount, custody] = where;
      const refused = await eth.reader.simulateContract({
        address: swap.address, abi: [...Swap.abi, ...IPolity.abi.filter(({ type }) => type === "error")],
        functionName: "swapToSolana", account: bobAddress,
        args: [coin.address, view.address, gold(10), 0n, { mint, tokenProgram, custodyAccount, custody },
          bytes32(ana.address)],
      }).then(() => assert.fail("it was not refused"), (error) => error.walk((cause) => cause.data?.errorName));
      says(`reverted: ${refused.data.errorName}: ${refused.data.args[0]}`);
      assert.equal(refused.data.errorName, "Stopped");
      return { changes: {} };
    });
  });

  /** An instruction of Ana's that calls a contract on Ethereum. */
  const calls = (contract, functionName, ...args) => gateway.call(
    ana, gateway.account.ethereum(contract.address),
    viem.hexToBytes(viem.encodeFunctionData({ ...contract, functionName, args })),
  );
  /** What Swap.sol returned to a transaction of Solana's. */
  const returned = ({ meta }) => {
    const { status, output } = gateway.answer(new Uint8Array(Buffer.from(meta.returnData.data[0], "base64")));
    assert.equal(status, "success");
    return BigInt(viem.toHex(output));
  };

  transactions.once = await tells("a client of Solana's: Ana deposits SPL, sells it on Uniswap and has GOLD, in one transaction", async () => {
    const { signature } = await step(balances, async () => {
      const bought = await quote(spl(50), view.address, coin.address);
      const spender = gateway.account.ethereum(swap.address);
      const done = await sol.send(ana,
        solana.units(1_000_000),
        await gateway.deposit(ana, anaTokens, mint, spl(50), gateway.account.solana(ana.address)),
        gateway.approve(ana, gateway.assetOf(mint), spender, spl(50)),
        await calls(swap, "swap", view.address, coin.address, spl(50), bought),
      );
      assert.equal(returned(done), bought);
      says(`${done.meta.computeUnitsConsumed} compute units`);
      return { signature: done.signature, changes: {
        "SPL, Ana's token account": -spl(50), "SPL, in custody": spl(50), "SPL on Ethereum, the pair": spl(50),
        "GOLD, the pair": -bought, "GOLD, Ana's alias": bought,
      } };
    });
    return signature;
  });

  transactions.twice = await tells("a client of Solana's: Ana sells GOLD, and her token account is paid: Solana, Ethereum, Solana", async () => {
    const { signature } = await step(balances, async () => {
      const bought = await quote(gold(20), coin.address, view.address);
      const [mint, tokenProgram, custodyAccount, custody] = where;
      const done = await sol.send(ana,
        solana.units(1_000_000),
        await calls(coin, "approve", swap.address, gold(20)),
        // The token account that is paid is not among this transaction's accounts: see README.md.
        await calls(swap, "swapToSolana", coin.address, view.address, gold(20), bought,
          { mint, tokenProgram, custodyAccount, custody }, bytes32(anaTokens)),
      );
      assert.equal(returned(done), bought);
      says(`${done.meta.computeUnitsConsumed} compute units`);
      return { signature: done.signature, changes: {
        "GOLD, Ana's alias": -gold(20), "GOLD, the pair": gold(20), "SPL on Ethereum, the pair": -bought,
        "SPL, in custody": -bought, "SPL, Ana's token account": bought,
      } };
    });
    return signature;
  });

  await tells("the same with the token account among the transaction's accounts is refused, and nothing happens", async () => {
    await step(balances, async () => {
      const [mint, tokenProgram, custodyAccount, custody] = where;
      const touched = { address: anaTokens, role: kit.AccountRole.WRITABLE };
      const payment = await calls(swap, "swapToSolana", coin.address, view.address, gold(1), 0n,
        { mint, tokenProgram, custodyAccount, custody }, bytes32(anaTokens));
      const accounts = [...payment.accounts, touched];
      const simulated = await sol.simulate(ana, solana.units(1_000_000),
        await calls(coin, "approve", swap.address, gold(1)), { ...payment, accounts });
      assert.notEqual(simulated.err, null);
      // The program's log has what the contract reverted with.
      const reverted = simulated.logs.map((line) => line.match(/the callee reverted: (0x[0-9a-f]*)/)).find(Boolean);
      const { errorName, args } = viem.decodeErrorResult({ abi: IPolity.abi, data: reverted[1] });
      assert.deepEqual([errorName, args[0]], ["Stopped", `AccountInUse: ${anaTokens}`]);
      says(`${errorName}: ${args[0]}`);
      return { changes: {} };
    });
  });

  transactions.order = await tells("a program of Solana's, a limit order: it calls the contract, and undoes all where that gave too little", async () => {
    const code = fs.readFileSync(path.join(__dirname, "solana/program/limit.so"));
    const program = await deploy(sol, ana, code);
    says(`program ${program}`);
    const target = viem.hexToBytes(swap.address);
    // Ana signed for the program, and so it calls in her name: the contract's sender is her wallet's alias.
    const order = async (amount, minimum) => {
      const data = viem.encodeFunctionData({
        ...swap, functionName: "swap", args: [coin.address, view.address, amount, 0n],
      });
      const accounts = [...(await calls(swap, "router")).accounts, { address: gateway.GATEWAY, role: kit.AccountRole.READONLY }];
      const least = new Uint8Array(new BigUint64Array([minimum]).buffer);
      return { programAddress: program, accounts, data: Uint8Array.of(...least, ...target, ...viem.hexToBytes(data)) };
    };
    const approved = await calls(coin, "approve", swap.address, gold(5));
    await step(balances, async () => {
      const bought = await quote(gold(5), coin.address, view.address);
      const { err, logs } = await sol.simulate(
        ana, solana.units(1_000_000), approved, await order(gold(5), bought + 1n));
      assert.deepEqual(err, { InstructionError: [2n, { Custom: 2n }] }, logs.join("\n"));
      return { changes: {} };
    });
    const { signature } = await step(balances, async () => {
      const bought = await quote(gold(5), coin.address, view.address);
      const done = await sol.send(ana, solana.units(1_000_000), approved, await order(gold(5), bought));
      assert.equal(Buffer.from(done.meta.returnData.data[0], "base64").readBigUInt64LE(), bought);
      return { signature: done.signature, changes: {
        "GOLD, Ana's alias": -gold(5), "GOLD, the pair": gold(5), "SPL on Ethereum, the pair": -bought,
        "SPL on Ethereum, Ana's alias": bought,
      } };
    });
    return signature;
  });

  await tells("Custody.sol: Bob's GOLD is a token on Solana, moves there, and comes back", async () => {
    const cleo = await sol.wallet(10);
    const arrives = gateway.account.solana(ana.address);
    await eth.write(bob, coin, "approve", custody.address, gold(30));
    await eth.write(bob, custody, "deposit", coin.address, gold(30), arrives[0], viem.toHex(arrives.subarray(1)));
    const asset = await eth.read(custody, "assetOf", coin.address);
    const goldMint = gateway.alias(gateway.account.asset(asset));
    const [from, to] = await Promise.all([ana, cleo].map(({ address }) =>
      tokenAccount(address, goldMint, gateway.GATEWAY)));
    // What Ana holds shows as soon as the asset's mint is known and she has a token account.
    watchSpl("GOLD on Solana, Ana's token account", "gold", from);
    watchSpl("GOLD on Solana, Cleo's token account", "gold", to);
    watchErc20("GOLD, in custody", "gold", coin, custody.address);
    await step(balances, async () => {
      await sol.send(ana, gateway.register(gateway.account.asset(asset)));
      await sol.send(ana,
        await makeTokenAccount(ana, ana.address, goldMint, gateway.GATEWAY),
        await makeTokenAccount(ana, cleo.address, goldMint, gateway.GATEWAY));
      return { changes: { "GOLD on Solana, Ana's token account": gold(30) } };
    });
    const { data: mintData } = await token.fetchMint(sol.rpc, goldMint, { commitment });
    assert.deepEqual([mintData.decimals, mintData.supply], [decimals.gold, gold(30)]);
    const balance = await sol.rpc.getTokenAccountBalance(from, { commitment }).send();
    assert.equal(balance.value.uiAmountString, "30");
    const supply = await sol.rpc.getTokenSupply(goldMint, { commitment }).send();
    assert.equal(supply.value.amount, String(gold(30)));
    const owned = await sol.rpc.getTokenAccountsByOwner(
      ana.address, { programId: gateway.GATEWAY }, { commitment, encoding: "jsonParsed" }).send();
    assert.deepEqual(owned.value.map(({ pubkey }) => pubkey), [from]);
    assert.equal(owned.value[0].account.owner, gateway.GATEWAY);
    assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.amount, String(gold(30)));

    await step(balances, async () => {
      const { meta } = await sol.send(ana, token.getTransferCheckedInstruction(
        { source: from, mint: goldMint, destination: to, authority: ana, amount: gold(12), decimals: decimals.gold },
        { programAddress: gateway.GATEWAY },
      ));
      const amounts = meta.postTokenBalances.map(({ uiTokenAmount }) => uiTokenAmount.amount).sort();
      assert.deepEqual(amounts, [gold(12), gold(18)].map(String).sort());
      return { changes: {
        "GOLD on Solana, Ana's token account": -gold(12), "GOLD on Solana, Cleo's token account": gold(12),
      } };
    });

    // Back: Cleo allows the contract to take the asset, and asks it for the tokens.
    await step(balances, async () => {
      const data = viem.encodeFunctionData({
        ...custody, functionName: "withdraw", args: [coin.address, gold(12), bobAddress],
      });
      const target = gateway.account.ethereum(custody.address);
      await sol.send(cleo,
        solana.units(1_000_000),
        gateway.approve(cleo, asset, target, gold(12)),
        await gateway.call(cleo, target, viem.hexToBytes(data)),
      );
      return { changes: {
        "GOLD on Solana, Cleo's token account": -gold(12), "GOLD, in custody": -gold(12), "GOLD, Bob": gold(12),
      } };
    });
  });

  await tells("the gateway's program sends an asset to any machine: Ana pays Bob, who takes GOLD out on Ethereum", async () => {
    const asset = await eth.read(custody, "assetOf", coin.address);
    const { result } = await eth.reader.simulateContract({
      ...polity, functionName: "tokenOf", args: [asset], account: bobAddress,
    });
    watchErc20("GOLD of the ledger, Bob", "gold", look(result), bobAddress);
    const from = await tokenAccount(ana.address, gateway.alias(gateway.account.asset(asset)), gateway.GATEWAY);
    await step(balances, async () => {
      await sol.send(ana, gateway.send(ana, asset, gateway.account.ethereum(bobAddress), gold(8), [from]));
      return { changes: { "GOLD on Solana, Ana's token account": -gold(8), "GOLD of the ledger, Bob": gold(8) } };
    });
    await step(balances, async () => {
      await eth.write(bob, look(result), "approve", custody.address, gold(8));
      await eth.write(bob, custody, "withdraw", coin.address, gold(8), bobAddress);
      return { changes: { "GOLD of the ledger, Bob": -gold(8), "GOLD, in custody": -gold(8), "GOLD, Bob": gold(8) } };
    });
  });

  await tells("what is in custody is what the ledger says", async () => {
    const { "SPL, in custody": vault, "GOLD, in custody": coins } = await balances();
    assert.equal(vault.amount, await eth.read(view, "totalSupply"));
    const goldView = look(await eth.reader.simulateContract({
      ...polity, functionName: "tokenOf", args: [await eth.read(custody, "assetOf", coin.address)], account: maxAddress,
    }).then(({ result }) => result));
    assert.equal(coins.amount, await eth.read(goldView, "totalSupply"));
    says(`${shown(vault.amount, decimals.spl)} SPL on Solana, ${shown(coins.amount, decimals.gold)} GOLD on Ethereum`);
  });

  await tells("the call trees", async () => {
    const machines = { cast: /evm.*\bsvm/s, once: /svm.*\bevm/s, twice: /svm.*\bevm.*\bsvm/s, order: /svm.*\bevm/s };
    for (const [name, id] of Object.entries(transactions)) {
      const tree = await trace(name, id);
      if (tree) assert.match(tree.replace(/^transaction .*/, ""), machines[name]);
    }
  });
});
